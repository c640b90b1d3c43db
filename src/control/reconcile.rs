//! The loop: changes in, desired sets to the engine, statuses out. One task owns all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::BUILT_IN_CLASS;
use super::events::{Note, notes};
use super::object::{Key, Object};
use super::status::{Facts, READY, Status};
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
    /// Objects whose status somebody wrote: us, mostly.
    touched: BTreeSet<Key>,
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
    /// Whether the look is at all objects, or at those that were touched.
    all: bool,
}

impl Agenda {
    fn changed(&mut self) {
        let now = Instant::now();
        self.first_change.get_or_insert(now);
        self.last_change = Some(now);
    }

    fn look_soon(&mut self, all: bool) {
        self.look.get_or_insert(Instant::now() + SETTLE);
        self.all |= all;
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
            touched: BTreeSet::new(),
            listed,
            events,
            metrics,
        }
    }

    /// Runs until nobody sends changes any more.
    pub(super) async fn run(mut self, changes: &mut mpsc::Receiver<Change<Object>>) {
        let mut agenda = Agenda::default();
        let mut snapshots = self.snapshots.clone();
        loop {
            let (complete, retry_at) = (self.store.complete(), self.writer.retry_at());
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => {
                        if self.change(change) {
                            agenda.changed();
                        } else {
                            agenda.look_soon(false);
                        }
                    }
                    None => return,
                },
                () = at(agenda.translate_at()), if complete => {
                    agenda = Agenda::default();
                    self.translate();
                    self.look_at_all();
                }
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                                        agenda.look_soon(true);
                }
                () = at(agenda.look) => {
                    agenda.look = None;
                    if std::mem::take(&mut agenda.all) {
                        self.look_at_all();
                    } else {
                        self.look_at_touched();
                    }
                }
                written = self.writer.next() => self.written(written),
                () = at(retry_at) => self.writer.retry(),
            }
        }
    }

    /// Takes a change in; whether it may change what runs.
    fn change(&mut self, change: Change<Object>) -> bool {
        let matters = self.store.matters(&change);
        if let Change::Applied(object) = &change {
            self.writer.seen(object);
            self.touched.insert(object.key.clone());
        }
        let listed = matches!(change, Change::Listed { .. });
        self.store.change(change);
        if listed {
            tracing::info!(objects = self.store.objects().count(), "WsTunnels were listed");
            self.writer.listed();
        }
        matters
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
        self.writer.keep_objects(&self.store.objects().map(|object| &*object.uid).collect());
        if services_changed || first {
            let services = new.services.clone();
            self.engine.apply(DesiredSet { revision: self.revision, services });
        }
        self.translation = new;
        self.listed.send_if_modified(|listed| !std::mem::replace(listed, true));
    }

    /// Compares every object's status with what it should say, and writes the difference.
    fn look_at_all(&mut self) {
        let keys: Vec<_> = self.translation.verdicts.keys().cloned().collect();
        self.touched.clear();
        let mut ready = [0i64; 3];
        for status in self.look(keys) {
            count(&mut ready, &status);
        }
        for (state, count) in ["True", "False", "Unknown"].into_iter().zip(ready) {
            self.metrics.tunnels.with_label_values(&[BUILT_IN_CLASS, state]).set(count);
        }
    }

    /// The same for objects that only had their status written: what it should say is what it was.
    fn look_at_touched(&mut self) {
        let keys: Vec<_> = std::mem::take(&mut self.touched).into_iter().collect();
        self.look(keys);
    }

    fn look(&mut self, keys: Vec<Key>) -> Vec<Status> {
        let snapshot = self.snapshots.borrow().clone();
        // The process on its way out says nothing: the next one knows better.
        if snapshot.draining || self.revision == 0 {
            return Vec::new();
        }
        let now = Timestamp::now();
        keys.iter().filter_map(|key| self.look_at(key, &snapshot, now)).collect()
    }

    /// What the object shall say; it is written if it does not say so yet.
    fn look_at(&mut self, key: &Key, snapshot: &Snapshot, now: Timestamp) -> Option<Status> {
        let verdict = self.translation.verdicts.get(key)?;
        let object = self.store.get(key)?;
        if self.since.get(key).is_none_or(|since| *since > snapshot.revision) {
            return None;
        }
        self.translator.granted(object, verdict, snapshot, now);
        let ledger = &self.translator.ledger;
        let facts = Facts { object, verdict, snapshot, ledger, fronts: &self.fronts };
        let before = self.writer.intended(object);
        let status = facts.status(before, now)?;
        // Somebody may have seen a newer spec than we have.
        let newer = before.observed_generation.is_some_and(|seen| seen > object.generation);
        if status != *before && !newer {
            self.writer.put(Write::new(object, object.status.clone(), status.clone()));
        }
        Some(status)
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

fn count(ready: &mut [i64; 3], status: &Status) {
    let slot = match status.condition(READY).map(|c| c.status.as_str()) {
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
