//! The loop: changes in, desired sets to the engine, statuses out. One task owns all of it.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::BUILT_IN_CLASS;
use super::events::{Note, notes};
use super::object::Key;
use super::status::Facts;
use super::store::Store;
use super::translate::{Translation, Translator};
use super::watch::Change;
use super::writer::{Write, Writer, Written};
use crate::engine::{DesiredSet, Engine, Snapshot};
use crate::metrics::Metrics;

/// Silence after a change before the set is translated, and the longest wait under constant changes.
const QUIET: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));
/// After a new picture of the engine, before statuses are looked at.
const SETTLE: Duration = Duration::from_millis(20);

/// Everything that the loop owns.
pub(super) struct Reconciler {
    store: Store,
    translator: Translator,
    writer: Writer,
    engine: Engine,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    fronts: Vec<u16>,
    translation: Translation,
    revision: u64,
    /// For each object, the revision with its newest outcome: an older picture says nothing of it.
    since: BTreeMap<Key, u64>,
    listed: watch::Sender<bool>,
    events: mpsc::Sender<Note>,
    metrics: Metrics,
}

/// When there is something to do.
#[derive(Default)]
struct Agenda {
    first_change: Option<Instant>,
    last_change: Option<Instant>,
    look: Option<Instant>,
}

impl Agenda {
    fn changed(&mut self) {
        let now = Instant::now();
        self.first_change.get_or_insert(now);
        self.last_change = Some(now);
    }

    fn translate_at(&self) -> Option<Instant> {
        let (first, last) = (self.first_change?, self.last_change?);
        Some((last + QUIET.0).min(first + QUIET.1))
    }
}

/// What the loop is made with.
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) translator: Translator,
    pub(super) writer: Writer,
    pub(super) engine: Engine,
    pub(super) fronts: Vec<u16>,
    pub(super) listed: watch::Sender<bool>,
    pub(super) events: mpsc::Sender<Note>,
    pub(super) metrics: Metrics,
}

impl Reconciler {
    /// A loop that has seen nothing yet.
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { store, translator, writer, engine, fronts, listed, events, metrics } = parts;
        Self {
            snapshots: engine.snapshot(),
            store,
            translator,
            writer,
            engine,
            fronts,
            translation: Translation::default(),
            revision: 0,
            since: BTreeMap::new(),
            listed,
            events,
            metrics,
        }
    }

    /// Runs until nobody sends changes any more.
    pub(super) async fn run(mut self, changes: &mut mpsc::Receiver<Change>) {
        let mut agenda = Agenda::default();
        let mut snapshots = self.snapshots.clone();
        loop {
            let (complete, retry_at) = (self.store.complete(), self.writer.retry_at());
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => {
                        self.change(change);
                        agenda.changed();
                    }
                    None => return,
                },
                () = at(agenda.translate_at()), if complete => {
                    agenda = Agenda::default();
                    self.translate();
                    self.look();
                }
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                                        agenda.look.get_or_insert(Instant::now() + SETTLE);
                }
                () = at(agenda.look) => {
                    agenda.look = None;
                    self.look();
                }
                written = self.writer.next() => self.written(written),
                () = at(retry_at) => self.writer.retry(),
            }
        }
    }

    fn change(&mut self, change: Change) {
        match &change {
            Change::Listed { objects, .. } => {
                tracing::info!(objects = objects.len(), "WsTunnels were listed");
                self.store.change(change);
                let uids: std::collections::HashSet<_> =
                    self.store.objects().map(|object| object.uid.clone()).collect();
                self.writer.listed(|uid| uids.contains(uid));
            }
            Change::Applied(object) => {
                self.writer.seen(object);
                self.store.change(change);
            }
            Change::Deleted(_) => self.store.change(change),
        }
    }

    /// Hands the engine what shall run, if that is not what it has.
    fn translate(&mut self) {
        let new = self.translator.translate(self.store.objects());
        let first = self.revision == 0;
        let services_changed = new.services != self.translation.services;
        if services_changed || first {
            self.revision += 1;
        }
        for (key, verdict) in &new.verdicts {
            if self.translation.verdicts.get(key) != Some(verdict) {
                self.since.insert(key.clone(), self.revision);
            }
        }
        self.since.retain(|key, _| new.verdicts.contains_key(key));
        if services_changed || first {
            let services = new.services.clone();
            self.engine.apply(DesiredSet { revision: self.revision, services });
        }
        self.translation = new;
        self.listed.send_if_modified(|listed| !std::mem::replace(listed, true));
    }

    /// Compares every object's status with what it should say, and writes the difference.
    fn look(&mut self) {
        let snapshot = self.snapshots.borrow().clone();
        // The process on its way out says nothing: the next one knows better.
        if snapshot.draining || self.revision == 0 {
            return;
        }
        let now = Timestamp::now();
        let mut ready = [0i64; 3];
        for (key, verdict) in &self.translation.verdicts {
            let Some(object) = self.store.get(key) else { continue };
            if self.since.get(key).is_none_or(|since| *since > snapshot.revision) {
                continue;
            }
            self.translator.granted(object, verdict, &snapshot, now);
            let facts = Facts {
                object,
                verdict,
                snapshot: &snapshot,
                ledger: &self.translator.ledger,
                fronts: &self.fronts,
            };
            let before = self.writer.intended(object);
            let Some(status) = facts.status(before, now) else { continue };
            count(&mut ready, &status);
            if before.observed_generation.is_some_and(|seen| seen > object.generation) {
                continue; // Somebody has seen a newer spec than we have.
            }
            if status != *before {
                let write = Write::new(object, object.status.clone(), status);
                self.writer.put(write);
            }
        }
        for (state, count) in ["True", "False", "Unknown"].into_iter().zip(ready) {
            self.metrics.tunnels.with_label_values(&[BUILT_IN_CLASS, state]).set(count);
        }
    }

    fn written(&mut self, written: Option<Written>) {
        let Some(written) = written else { return };
        // The watch may have been faster than the answer.
        if let Some(object) = self.store.get(&written.key).filter(|o| o.uid == written.uid) {
            self.writer.seen(object);
        }
        if let Some(note) = notes(&written)
            && self.events.try_send(note).is_err()
        {
            tracing::debug!(object = %written.key, "an Event was dropped: too many wait");
        }
    }
}

fn count(ready: &mut [i64; 3], status: &super::status::Status) {
    let slot = match status.condition(super::status::READY).map(|c| c.status.as_str()) {
        Some("True") => 0,
        Some("False") => 1,
        _ => 2,
    };
    if let Some(count) = ready.get_mut(slot) {
        *count += 1;
    }
}

/// Waits until then, or for ever.
async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}
