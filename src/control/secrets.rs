//! The Secrets that objects refer to: when each is read, and what is known of it.
//!
//! Watches only tell names and versions. What a Secret holds is asked for by name, and only of
//! those that some object names: when it is named first, and when its version is another one. That
//! it is gone is believed of a 404 alone: an error, a refusal or an incomplete list ends no tunnel.

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_lc_rs::digest;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::object::Key;
use super::queue::{BackOff, Lane, Queue};
use super::watch::Change;
use crate::base::name::is_subdomain;
use crate::config::secrets::{SecretState, Secrets};
use crate::metrics::Metrics;
pub(super) use read::{Answer, Meta, Scope, Sort, reads, watched};

/// Reads at the same time.
const AT_ONCE: usize = 8;
/// After a failed read of one Secret.
const BACK_OFF: BackOff =
    BackOff { first: Duration::from_secs(1), most: Duration::from_secs(60), spread: 0.2 };

/// How a Secret is read.
pub(super) type Read = Box<dyn Fn(Key) -> BoxFuture<'static, Answer> + Send>;

/// Reads Secrets. Drive it with [`Reader::next`].
pub(super) struct Reader {
    reads: Queue<Key, Heard, Answer>,
    /// What each watch is about.
    scopes: Vec<Scope>,
    /// Those that classes name: where no scope has them, a watch each does.
    of_classes: BTreeSet<Key>,
    entries: BTreeMap<Key, Entry>,
    known: Secrets,
    /// Counts what is heard.
    heard: u64,
    metrics: Metrics,
}

/// What is known of a Secret that somebody names.
#[derive(Debug, Default)]
struct Entry {
    /// The version that was read, and which watch has it.
    read: Option<(String, Option<Sort>)>,
    /// The last read failed.
    failing: bool,
}

/// Why a Secret is read. No two are the same: a read that runs is older than what is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    /// The version that a watch told of; empty for its end, or where it is named first.
    version: String,
    number: u64,
}

impl Reader {
    /// A reader of nothing yet.
    pub(super) fn new(read: Read, scopes: Vec<Scope>, metrics: Metrics) -> Self {
        Self {
            reads: Queue::new(AT_ONCE, Box::new(move |key, _| read(key))),
            scopes,
            of_classes: BTreeSet::new(),
            entries: BTreeMap::new(),
            known: Secrets::default(),
            heard: 0,
            metrics,
        }
    }

    /// What is known of the Secrets that are wanted.
    pub(super) fn known(&self) -> &Secrets {
        &self.known
    }

    /// A digest of which versions of these Secrets were read: replicas with the same one use the
    /// same Secrets. None of none. It says nothing of what they hold.
    pub(super) fn digest(&self, of: impl Iterator<Item = Key>) -> Option<String> {
        let read = |key: &Key| self.entries.get(key).and_then(|entry| entry.read.as_ref());
        let line = |key: Key| {
            let version = read(&key).map(|(version, _)| version.as_str()).unwrap_or_default();
            format!("{key}\n{version}\n")
        };
        let text: String = of.map(line).collect();
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let short = digest.as_ref().iter().take(8);
        (!text.is_empty()).then(|| short.map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether something is known of every wanted Secret.
    pub(super) fn settled(&self) -> bool {
        !self.known.0.values().any(|state| matches!(state, SecretState::Unread(_)))
    }

    /// Wants this Secret too. What cannot be the name of one is never asked for.
    pub(super) fn want(&mut self, key: Key) {
        if self.entries.contains_key(&key) || !is_subdomain(&key.name) {
            return;
        }
        self.entries.insert(key.clone(), Entry::default());
        let watched = self.scopes.iter().any(|scope| scope.may_have(&key));
        if !watched && !self.of_classes.contains(&key) {
            self.known.0.insert(place(&key), SecretState::Withheld(not_named(&key)));
            return;
        }
        let why = SecretState::Unread("it is being read".into());
        self.known.0.insert(place(&key), why);
        self.read(key, "");
    }

    /// Wants those that classes name, and no others of them.
    pub(super) fn want_of_classes(&mut self, keys: BTreeSet<Key>) {
        for key in keys.difference(&self.of_classes) {
            let withheld = self.known.0.get(&place(key));
            if matches!(withheld, Some(SecretState::Withheld(_))) {
                self.entries.remove(key);
            }
        }
        let before = std::mem::replace(&mut self.of_classes, keys);
        for key in self.of_classes.difference(&before).cloned().collect::<Vec<_>>() {
            match self.reads.waiting(&key) {
                // It waits for the turn of its namespace.
                Some(_) => self.read(key, ""),
                None => self.want(key),
            }
        }
    }

    /// Whether something is known of all that classes name.
    pub(super) fn settled_of_classes(&self) -> bool {
        let state = |key: &Key| self.known.0.get(&place(key));
        !self.of_classes.iter().any(|key| matches!(state(key), Some(SecretState::Unread(_))))
    }

    /// Forgets what is neither among these nor named by a class.
    pub(super) fn keep(&mut self, wanted: &BTreeSet<Key>) {
        let of_classes = &self.of_classes;
        let wanted = |key: &Key| wanted.contains(key) || of_classes.contains(key);
        self.entries.retain(|key, _| wanted(key));
        // An answer that is still on its way must not land after that of a later read.
        self.reads.retain(wanted);
        let entries = &self.entries;
        self.known.0.retain(|(namespace, name), _| {
            let key = Key { namespace: namespace.as_str().into(), name: name.as_str().into() };
            entries.contains_key(&key)
        });
    }

    /// Hears what a watch tells.
    pub(super) fn change(&mut self, change: Change<Meta>) {
        match change {
            Change::Applied(meta) => self.told(&meta),
            // It may have been made anew, or only left the watch's selector.
            Change::Deleted(key) => self.hear(&key, ""),
            Change::Listed { scope, objects } => {
                for meta in &objects {
                    self.told(meta);
                }
                let Some(scope) = self.scopes.get(scope) else { return };
                let listed: BTreeSet<&Key> = objects.iter().map(|meta| &meta.key).collect();
                let absent = self.entries.iter().filter(|(key, entry)| {
                    let read = entry.read.as_ref();
                    let ours = read.is_some_and(|(_, sort)| scope.has(key, sort.as_ref()));
                    ours && !listed.contains(key)
                });
                let absent: Vec<Key> = absent.map(|(key, _)| key.clone()).collect();
                for key in absent {
                    self.hear(&key, "");
                }
            }
        }
    }

    /// Hears what a watch of one that a class names tells. A list does not say which one it is about:
    /// those that are not in it are asked for.
    pub(super) fn change_of_classes(&mut self, change: Change<Meta>) {
        let Change::Listed { objects, .. } = change else { return self.change(change) };
        for meta in &objects {
            self.told(meta);
        }
        let known = |key: &&Key| self.entries.get(*key).is_some_and(|entry| entry.read.is_some());
        let absent = |key: &&Key| !objects.iter().any(|meta| meta.key == **key);
        let absent: Vec<Key> =
            self.of_classes.iter().filter(known).filter(absent).cloned().collect();
        for key in absent {
            self.hear(&key, "");
        }
    }

    fn told(&mut self, meta: &Meta) {
        let Some(entry) = self.entries.get(&meta.key) else { return };
        if entry.read.as_ref().is_none_or(|(version, _)| *version != meta.version) {
            self.hear(&meta.key, &meta.version);
        }
    }

    fn hear(&mut self, key: &Key, version: &str) {
        if self.entries.contains_key(key) {
            self.read(key.clone(), version);
        }
    }

    fn read(&mut self, key: Key, version: &str) {
        self.heard += 1;
        let heard = Heard { version: version.into(), number: self.heard };
        let lane = match self.of_classes.contains(&key) {
            true => Lane::First,
            false => Lane::Of(key.namespace.clone()),
        };
        self.reads.put(key, lane, heard);
    }

    /// The next answer; whether something else is known now. Waits for ever if nothing is read.
    pub(super) async fn next(&mut self) -> bool {
        let (key, heard, answer) = self.reads.next().await;
        self.answered(&key, heard, answer)
    }

    fn answered(&mut self, key: &Key, heard: Heard, answer: Answer) -> bool {
        let Some(entry) = self.entries.get_mut(key) else {
            self.reads.forget(key);
            return false;
        };
        let state = match answer {
            Answer::Found { version, sort, state } => {
                if self.reads.waiting(key).is_some_and(|heard| heard.version == version) {
                    self.reads.withdraw(key);
                }
                entry.read = Some((version, sort));
                state
            }
            Answer::Missing => {
                entry.read = None;
                SecretState::Missing
            }
            Answer::Failed { why, forbidden } => {
                if forbidden {
                    self.metrics.kube_denied.with_label_values(&["get", "secrets"]).inc();
                }
                if !std::mem::replace(&mut entry.failing, true) {
                    tracing::warn!(secret = %key, why, "cannot read a Secret; what is known of it stays");
                }
                self.reads.failed(key, heard, BACK_OFF);
                return match self.known.0.get_mut(&place(key)) {
                    Some(SecretState::Unread(known)) => {
                        std::mem::replace(known, why.clone()) != why
                    }
                    _ => false,
                };
            }
        };
        entry.failing = false;
        self.reads.succeeded(key);
        self.known.0.insert(place(key), state.clone()) != Some(state)
    }

    /// When a failed read is to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.reads.retry_at()
    }

    /// Tries again what is due.
    pub(super) fn retry(&mut self) {
        self.reads.retry();
    }
}

/// Why a Secret that no watch may have is not read.
fn not_named(key: &Key) -> String {
    let name = &key.name;
    format!(
        "Secret {name:?} is not among the secretNames of this installation, the only ones that the \
         controller may read: ask who installed it to add {name} (rbac.secretNames of the chart, \
         --secret-name={name}), or refer to one of those names"
    )
}

fn place(key: &Key) -> (String, String) {
    (key.namespace.to_string(), key.name.to_string())
}

#[cfg(test)]
mod tests;
