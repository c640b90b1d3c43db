//! How a service does on all replicas together.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::condition::Finding;
use crate::base::Reason;
use crate::control::report::Entry;
use crate::control::translate::ALLOCATING;

/// One replica that counts, as to one object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// Its Pod's name.
    pub(super) name: &'a str,
    /// What it says of the object; `None` if it runs nothing of it.
    pub(super) entry: Option<&'a Entry>,
    /// It left objects out for want of room.
    pub(super) truncated: bool,
}

/// How one service does on one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// It serves as the newest spec, or as the one that is wanted, says.
    Serving,
    /// It should and does not.
    Failing(Reason, String),
    /// The replica has not taken the spec over.
    Behind(String),
}

/// Which generation of an object a replica shall run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This one.
    Newest(i64),
    /// One before this, which is invalid, or what is valid of it.
    UpTo(i64),
}

impl Wanted {
    /// Whether what runs is what shall run.
    pub(super) fn is(self, generation: i64) -> bool {
        match self {
            Self::Newest(newest) => generation == newest,
            Self::UpTo(newest) => generation <= newest,
        }
    }
}

impl Seen<'_> {
    /// How a service does there that clients reach by this port of the Pod: as its EndpointSlice has
    /// it, which leads to who says that the port is open.
    pub(super) fn doing_on(&self, service: &str, port: Option<u16>, wanted: Wanted) -> Doing {
        let doing = self.doing(service, wanted);
        match (port, self.entry) {
            (Some(port), Some(entry))
                if doing == Doing::Serving && entry.ports.get(service) != Some(&port) =>
            {
                Doing::Behind(format!("it does not say that port {port} is open there"))
            }
            _ => doing,
        }
    }

    /// How a service does there.
    pub(super) fn doing(&self, service: &str, wanted: Wanted) -> Doing {
        match self.entry {
            Some(entry) if wanted.is(entry.generation) => match entry.exceptions.get(service) {
                None if entry.leaves_out(service) => {
                    let words = "it does not serve all, and its report has no room to say why";
                    Doing::Failing(Reason::Pending, words.into())
                }
                None => Doing::Serving,
                Some(exception) if exception.message == ALLOCATING => {
                    Doing::Behind(ALLOCATING.into())
                }
                Some(exception) => Doing::Failing(exception.reason(), exception.message.clone()),
            },
            Some(entry) => Doing::Behind(format!("it still runs generation {}", entry.generation)),
            None if self.truncated => {
                Doing::Behind("its report has no room for this object".into())
            }
            None => Doing::Behind("it does not run this object".into()),
        }
    }
}

/// How a service does on all replicas.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    /// Replicas on which it serves.
    pub(super) serving: usize,
    /// Replicas that count.
    pub(super) of: usize,
    /// Names of replicas that fail, and their words.
    failing: Vec<(Arc<str>, Doing)>,
}

impl Fold {
    /// Adds up what the replicas do.
    pub(super) fn of(replicas: impl Iterator<Item = (Arc<str>, Doing)>) -> Self {
        let mut fold = Self { serving: 0, of: 0, failing: Vec::new() };
        for (name, doing) in replicas {
            fold.of += 1;
            match doing {
                Doing::Serving => fold.serving += 1,
                other => fold.failing.push((name, other)),
            }
        }
        fold
    }

    /// `2/3`.
    pub(super) fn text(&self) -> String {
        format!("{}/{}", self.serving, self.of)
    }

    /// Condition Programmed of the service.
    pub(super) fn finding(&self) -> Finding {
        if self.of == 0 {
            return Finding::not(
                Reason::NoReplica,
                "no Pod of the controller is ready, so no client is sent to one",
            );
        }
        let Some((_, first)) = self.failing.first() else {
            return Finding::is(Reason::Programmed, "");
        };
        let message = match (self.of, first) {
            // There is only one place that it can be about.
            (1, Doing::Failing(_, message) | Doing::Behind(message)) => message.clone(),
            _ => self.words(),
        };
        let allocating = |doing: &Doing| *doing == Doing::Behind(ALLOCATING.into());
        if self.failing.iter().all(|(_, doing)| allocating(doing)) {
            return Finding::not_yet(message);
        }
        if self.serving > 0 {
            return Finding::not(Reason::Partial, message);
        }
        if self.failing.iter().all(|(_, doing)| matches!(doing, Doing::Behind(_))) {
            return Finding::not_yet(message);
        }
        let reasons = self.failing.iter().filter_map(|(_, doing)| match doing {
            Doing::Failing(reason, _) => Some(*reason),
            Doing::Serving | Doing::Behind(_) => None,
        });
        Finding::not(reasons.into_iter().next().unwrap_or(Reason::Pending), message)
    }

    /// Every replica that fails; replicas with the same words share them.
    fn words(&self) -> String {
        let text = |doing: &Doing| match doing {
            Doing::Serving => String::new(),
            Doing::Failing(_, message) | Doing::Behind(message) => message.clone(),
        };
        let texts: BTreeSet<String> = self.failing.iter().map(|(_, doing)| text(doing)).collect();
        let one = |words: &String| {
            let names = self.failing.iter().filter(|(_, doing)| text(doing) == **words);
            let names: Vec<&str> = names.map(|(name, _)| &**name).collect();
            let word = if names.len() == 1 { "replica" } else { "replicas" };
            format!("{word} {}: {words}", names.join(", "))
        };
        texts.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}
