//! The Secrets that objects refer to: when each is read, and what is known of it.
//!
//! Watches only tell names and versions. What a Secret holds is asked for by name, and only of
//! those that some object names: when it is named first, and when its version is another one. That
//! it is gone is believed of a 404 alone: an error, a refusal or an incomplete list ends no tunnel.

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_lc_rs::digest;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::object::Key;
use super::watch::Change;
use crate::config::secrets::{SecretState, Secrets};
use crate::metrics::Metrics;
pub(super) use read::{Answer, Meta, Scope, Sort, reads, watched};

/// Reads at the same time.
const AT_ONCE: usize = 8;
/// After a failed read of one Secret, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How a Secret is read.
pub(super) type Read = Box<dyn Fn(Key) -> BoxFuture<'static, Answer> + Send>;

/// Reads Secrets. Drive it with [`Reader::next`].
pub(super) struct Reader {
    read: Read,
    /// What each watch is about.
    scopes: Vec<Scope>,
    /// Those that classes name: where no scope has them, a watch each does.
    of_classes: BTreeSet<Key>,
    entries: BTreeMap<Key, Entry>,
    waiting: BTreeSet<Key>,
    running: FuturesUnordered<BoxFuture<'static, (Key, Answer)>>,
    known: Secrets,
    metrics: Metrics,
}

/// What is known of a Secret that somebody names.
#[derive(Debug, Default)]
struct Entry {
    /// The version that was read, and which watch has it.
    read: Option<(String, Option<Sort>)>,
    reading: bool,
    /// The version that a watch told of since the read that runs began; empty for its end.
    heard: Option<String>,
    failed: Option<(Instant, Duration)>,
}

impl Reader {
    /// A reader of nothing yet.
    pub(super) fn new(read: Read, scopes: Vec<Scope>, metrics: Metrics) -> Self {
        Self {
            read,
            scopes,
            of_classes: BTreeSet::new(),
            entries: BTreeMap::new(),
            waiting: BTreeSet::new(),
            running: FuturesUnordered::new(),
            known: Secrets::default(),
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

    /// Wants this Secret too.
    pub(super) fn want(&mut self, key: Key) {
        if self.entries.contains_key(&key) {
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
        self.waiting.insert(key);
        self.start();
    }

    /// Wants those that classes name, and no others of them.
    pub(super) fn want_of_classes(&mut self, keys: BTreeSet<Key>) {
        for key in keys.difference(&self.of_classes) {
            let withheld = self.known.0.get(&place(key));
            if matches!(withheld, Some(SecretState::Withheld(_))) {
                self.entries.remove(key);
            }
        }
        self.of_classes = keys;
        for key in self.of_classes.clone() {
            self.want(key);
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
        self.waiting.retain(wanted);
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
        let Some(entry) = self.entries.get_mut(&meta.key) else { return };
        if entry.read.as_ref().is_some_and(|(version, _)| *version == meta.version) {
            entry.failed = None;
        } else {
            self.hear(&meta.key, &meta.version);
        }
    }

    fn hear(&mut self, key: &Key, version: &str) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.reading {
            entry.heard = Some(version.into());
        } else {
            self.waiting.insert(key.clone());
            self.start();
        }
    }

    fn start(&mut self) {
        while self.running.len() < AT_ONCE
            && let Some(key) = self.waiting.pop_first()
        {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.reading = true;
            let read = (self.read)(key.clone());
            self.running.push(Box::pin(async move { (key, read.await) }));
        }
    }

    /// The next answer; whether something else is known now. Waits for ever if nothing is read.
    pub(super) async fn next(&mut self) -> bool {
        let Some((key, answer)) = self.running.next().await else {
            return std::future::pending().await;
        };
        let changed = self.answered(&key, answer);
        self.start();
        changed
    }

    fn answered(&mut self, key: &Key, answer: Answer) -> bool {
        // Nobody wants it any more. One that was wanted anew meanwhile only hears of it early.
        let Some(entry) = self.entries.get_mut(key) else { return false };
        entry.reading = false;
        let heard = std::mem::take(&mut entry.heard);
        let known = match &answer {
            Answer::Found { version, .. } => heard.as_ref() == Some(version),
            Answer::Missing | Answer::Failed { .. } => false,
        };
        let again = heard.is_some() && !known;
        let state = match answer {
            Answer::Found { version, sort, state } => {
                entry.failed = None;
                entry.read = Some((version, sort));
                state
            }
            Answer::Missing => {
                entry.failed = None;
                entry.read = None;
                SecretState::Missing
            }
            Answer::Failed { why, forbidden } => {
                if forbidden {
                    self.metrics.kube_denied.with_label_values(&["get", "secrets"]).inc();
                }
                let delay = entry.failed.map_or(BACK_OFF.0, |(_, last)| (last * 2).min(BACK_OFF.1));
                if entry.failed.is_none() {
                    tracing::warn!(secret = %key, why, "cannot read a Secret; what is known of it stays");
                }
                let jitter = 0.8 + 0.4 * rand::random::<f64>();
                entry.failed = Some((Instant::now() + delay.mul_f64(jitter), delay));
                if again {
                    self.waiting.insert(key.clone());
                }
                match self.known.0.get(&place(key)) {
                    None | Some(SecretState::Unread(_)) => SecretState::Unread(why),
                    Some(_) => return false,
                }
            }
        };
        if again {
            self.waiting.insert(key.clone());
        }
        self.known.0.insert(place(key), state.clone()) != Some(state)
    }

    /// When a failed read is to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        let idle =
            self.entries.iter().filter(|(key, e)| !e.reading && !self.waiting.contains(*key));
        idle.filter_map(|(_, entry)| entry.failed).map(|(at, _)| at).min()
    }

    /// Tries again what is due.
    pub(super) fn retry(&mut self) {
        let now = Instant::now();
        let due = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.reading && entry.failed.is_some_and(|(at, _)| at <= now));
        let due: Vec<Key> = due.map(|(key, _)| key.clone()).collect();
        self.waiting.extend(due);
        self.start();
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
