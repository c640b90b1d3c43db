//! The loop: changes in, desired sets to the engine, statuses out. One task owns all of it.

mod agenda;
pub(super) mod counted;
mod look;
mod parts;
mod rivals;

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::News;
use super::certificates::Unusable;
use super::events::Note;
use super::expose::Keeper;
use super::fleet::Fleet;
use super::lease::Leadership;
use super::object::{Key, Object};
use super::policy::{Labels, Policy};
use super::report::{self, Tunnels};
use super::secrets::Reader;
use super::services::Directory;
use super::store::Store;
use super::translate::{Outside, Translation, Translator};
use super::watch::Change;
use super::writer::Writer;
use crate::engine::{DesiredSet, Engine, Snapshot};
use crate::metrics::Metrics;
use agenda::Agenda;
use counted::Counted;
pub(super) use parts::Parts;
use rivals::Rivals;

/// Between looks at all objects when nothing happens: certificates end by themselves.
const LOOK: Duration = Duration::from_secs(60);

/// How long the first translation waits for what objects refer to, since the start: an API server
/// that does not give it must not keep the other objects from serving.
const PATIENCE: Duration = Duration::from_secs(15);

/// After a status that was not written, before it is looked at again: what another wrote instead
/// comes by the watch, mostly sooner.
const CONFLICT: Duration = Duration::from_secs(1);

/// Everything that the loop owns.
pub(super) struct Reconciler {
    store: Store,
    secrets: Reader,
    services: Directory,
    /// Says that some object has a serviceRef.
    services_wanted: watch::Sender<bool>,
    /// Until when the first translation waits for what objects refer to.
    patience: Instant,
    translator: Translator,
    policy: watch::Receiver<Arc<Policy>>,
    labels: watch::Receiver<Option<Arc<Labels>>>,
    /// The translator has classes to go by.
    governed: bool,
    /// Until when newer classes wait for the certificates that they name.
    governs_by: Option<Instant>,
    /// Other installations.
    rivals: Rivals,
    /// What was last said of the default certificates of classes that cannot be used, by class.
    unusable: Unusable,
    writer: Writer,
    keeper: Keeper,
    engine: Engine,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    fronts: Vec<u16>,
    translation: Translation,
    revision: u64,
    since: BTreeMap<Key, Since>,
    /// Objects whose status somebody wrote: us, mostly.
    touched: BTreeSet<Key>,
    /// Whether this process leads, as far as the loop has heard.
    leads: bool,
    /// When that changed.
    led_since: Instant,
    leadership: Leadership,
    fleet: watch::Receiver<Arc<Fleet>>,
    replica: Arc<str>,
    reports: watch::Sender<Option<Arc<Tunnels>>>,
    /// Since when no replica is ready.
    nobody: Option<Instant>,
    /// When a status that was held back may be looked at again.
    held: Option<Instant>,
    counted: Counted,
    /// The last replica ends: what leads to it is withdrawn.
    withdrawal: watch::Receiver<bool>,
    withdrawn: watch::Sender<bool>,
    listed: watch::Sender<bool>,
    events: mpsc::Sender<Note>,
    metrics: Metrics,
}

/// Since when an object is what it is.
struct Since {
    uid: Arc<str>,
    /// With its newest outcome: an older picture says nothing of it.
    revision: u64,
    at: Instant,
}

impl Reconciler {
    /// Runs until nobody sends changes any more.
    pub(super) async fn run(mut self, news: &mut mpsc::Receiver<News>) {
        let mut agenda = Agenda::default();
        let mut snapshots = self.snapshots.clone();
        let (mut leadership, mut fleet) = (self.leadership.clone(), self.fleet.clone());
        let (mut policy, mut labels) = (self.policy.clone(), self.labels.clone());
        let mut withdrawal = self.withdrawal.clone();
        self.govern();
        let mut look = tokio::time::interval(LOOK);
        loop {
            if let Some(when) = self.held.take() {
                agenda.look_by(when);
                agenda.all = true;
            }
            let complete = self.complete();
            let (retry_at, read_at) = (self.writer.retry_at(), self.secrets.retry_at());
            let govern_at = self.governs_by;
            let (keep_at, port_at) = (self.keeper.retry_at(), self.translator.ports.wake());
            tokio::select! {
                news = news.recv() => match news {
                    Some(News::Tunnels(change)) => {
                        if self.change(change) {
                            agenda.changed();
                        } else {
                            agenda.look_soon(false);
                        }
                    }
                    // What it changes is known when it was read.
                    Some(News::Secrets(change)) => self.secrets.change(change),
                    Some(News::Certificates(change)) => self.secrets.change_of_classes(change),
                    Some(News::Services(change)) => {
                        self.services.services(change);
                        agenda.changed();
                    }
                    Some(News::Slices(change)) => {
                        self.services.slices(change);
                        agenda.changed();
                    }
                    Some(News::Child(news)) => {
                        self.keeper.change(news);
                        agenda.look_soon(true);
                    }
                    None => return,
                },
                () = sleep_until(self.patience), if !complete && !self.impatient() => {}
                changed = self.secrets.next() => {
                    if changed {
                        if self.governs_by.is_some() {
                            self.govern();
                        }
                        agenda.changed();
                    } else {
                        self.say();
                    }
                }
                () = at(govern_at) => {
                    if self.govern() {
                        agenda.changed();
                    }
                }
                () = at(read_at) => self.secrets.retry(),
                _ = look.tick() => agenda.look_soon(true),
                () = at(agenda.translate_at()), if complete => {
                    agenda = Agenda::default();
                    self.translate();
                    self.look_at_all();
                }
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.counted.pictured(&self.snapshots.borrow());
                    self.say();
                    agenda.look_soon(true);
                }
                () = heard(&mut policy) => {
                    if self.govern() {
                        agenda.changed();
                    }
                }
                () = heard(&mut labels) => {
                    if self.govern() {
                        agenda.changed();
                    }
                }
                () = leadership.changed() => {
                    self.lead();
                    agenda.look_soon(true);
                }
                changed = fleet.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    agenda.look_soon(true);
                }
                () = heard(&mut withdrawal) => agenda.look_soon(true),
                () = at(agenda.look) => {
                    agenda.look = None;
                    if std::mem::take(&mut agenda.all) {
                        self.look_at_all();
                        if self.look_at_rivals() {
                            agenda.changed();
                        }
                    } else {
                        self.look_at_touched();
                    }
                }
                written = self.writer.next() => {
                    if written.is_none() {
                        agenda.look_by(Instant::now() + CONFLICT);
                        agenda.all = true;
                    }
                    self.written(written);
                    if *self.withdrawal.borrow() {
                        agenda.look_soon(true);
                    }
                }
                () = at(retry_at) => self.writer.retry(),
                () = self.keeper.next() => agenda.look_soon(true),
                () = at(keep_at) => {
                    self.keeper.retry();
                    agenda.look_soon(true);
                }
                () = at(port_at), if complete => {
                    self.translate();
                    agenda.look_soon(true);
                }
            }
        }
    }

    /// Whether everything is known that can be: what is acted on too early takes addresses away.
    fn complete(&self) -> bool {
        let services = self.services.settled() || !*self.services_wanted.borrow();
        let references = self.secrets.settled() && services;
        self.governed
            && self.store.complete()
            && (self.revision > 0 || references || self.impatient())
    }

    fn impatient(&self) -> bool {
        self.patience <= Instant::now()
    }

    /// Goes by the newest classes, once all is known that they go by: until then those before them
    /// count, so that nobody is cut for want of an answer. Whether it does.
    fn govern(&mut self) -> bool {
        let (policy, labels) = (self.policy.borrow().clone(), self.labels.borrow().clone());
        let unlabelled = policy.needs_labels() && labels.is_none();
        self.secrets.want_of_classes(self.translator.default_certificates(&policy));
        let until = *self.governs_by.get_or_insert_with(|| Instant::now() + PATIENCE);
        let over = until <= Instant::now();
        if !self.secrets.settled_of_classes() && !over {
            return false;
        }
        // The first classes cannot wait for ever: who has no labels that we know is not served.
        if unlabelled && (self.governed || !over) {
            if over {
                // The labels themselves are the next occasion.
                self.governs_by = None;
                tracing::warn!("the classes before go on until namespaces can be listed");
            }
            return false;
        }
        self.governs_by = None;
        self.translator.govern(policy, labels.unwrap_or_default());
        self.governed = true;
        let ours: Vec<_> = self.store.objects().cloned().collect();
        ours.iter().for_each(|object| self.want(object));
        true
    }

    /// Takes a change in; whether it may change what runs.
    fn change(&mut self, change: Change<Object>) -> bool {
        let matters = self.store.matters(&change, !self.leads) || self.changes_hands(&change);
        match &change {
            Change::Applied(object) => {
                self.writer.seen(object);
                self.translator.ledger.written(object);
                self.want(object);
                self.touched.insert(object.key.clone());
            }
            Change::Listed { objects, .. } => {
                for object in objects {
                    self.translator.ledger.written(object);
                    self.want(object);
                }
            }
            Change::Deleted(_) => {}
        }
        let listed = matches!(change, Change::Listed { .. });
        self.store.change(change);
        if listed {
            tracing::info!(objects = self.store.objects().count(), "WsTunnels were listed");
            self.writer.listed();
        }
        matters
    }

    /// Whether another installation takes the object, or gives it up.
    fn changes_hands(&self, change: &Change<Object>) -> bool {
        let Change::Applied(new) = change else { return false };
        let holders = self.translator.holders();
        self.store.get(&new.key).is_some_and(|old| holders.have(old) != holders.have(new))
    }

    /// Leadership was won or lost: who wins begins with what is stored and rewrites nothing of it.
    fn lead(&mut self) {
        self.leads = self.leadership.still_leader();
        self.led_since = Instant::now();
        self.translator.lead(self.leads);
        self.writer.forget();
        self.keeper.forget();
        self.rivals = Rivals::default();
        self.translator.outlive(Default::default());
        if !self.leads {
            self.metrics.tunnels.reset();
            self.metrics.tunnels_held_elsewhere.set(0);
        }
        // Claims are taken over from the statuses before any is granted anew.
        if self.complete() {
            self.translate();
        }
    }

    /// What an object refers to is read from now on, unless the object is another installation's.
    fn want(&mut self, object: &Object) {
        if !self.translator.is_ours(object) {
            return;
        }
        for key in object.secrets() {
            self.secrets.want(key);
        }
        if object.services().next().is_some() {
            self.services_wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        }
    }

    /// Hands the engine what shall run, if that is not what it has.
    fn translate(&mut self) {
        let now = Instant::now();
        // Also those of specs that go on running behind an edit that is refused.
        let ours = self.store.objects().filter(|object| self.translator.is_ours(object));
        let wanted = ours.clone().flat_map(|object| self.translator.used_by(object));
        self.secrets.keep(&wanted.chain(self.translator.secrets()).collect());
        let services = ours.flat_map(Object::services);
        let services = services.chain(self.translator.services()).collect();
        let outside =
            Outside { secrets: self.secrets.known(), services: &self.services.known(&services) };
        let new = self.translator.translate(self.store.objects(), outside, now);
        let certificates = self.translator.named_by_classes();
        self.unusable.warn(certificates, self.secrets.known());
        let generation = |key: &Key| self.store.get(key).map(|object| object.generation);
        self.counted.translated(&self.translation, &new, generation);
        let first = self.revision == 0;
        let services_changed = new.services != self.translation.services;
        if services_changed || first {
            self.revision += 1;
        }
        for (key, verdict) in &new.verdicts {
            let Some(uid) = self.store.get(key).map(|object| object.uid.clone()) else { continue };
            let known = self.since.get(key).is_some_and(|since| since.uid == uid);
            if !known || self.translation.verdicts.get(key) != Some(verdict) {
                self.since.insert(key.clone(), Since { uid, revision: self.revision, at: now });
            }
        }
        self.since.retain(|key, _| new.verdicts.contains_key(key));
        self.writer.keep_objects(&self.store.objects().map(|object| &*object.uid).collect());
        if services_changed || first {
            let services = new.services.clone();
            self.engine.apply(DesiredSet { revision: self.revision, services });
        }
        self.translation = new;
        self.say();
        self.listed.send_if_modified(|listed| !std::mem::replace(listed, true));
    }

    /// Tells the reporter what runs here, once the engine has done what it was told.
    fn say(&self) {
        let snapshot = self.snapshots.borrow().clone();
        if snapshot.draining || self.revision == 0 || snapshot.revision != self.revision {
            return;
        }
        let secrets = |object: &Object| self.secrets.digest(self.translator.used_by(object));
        let tunnels = report::tunnels(&self.translation, &self.store, &snapshot, secrets);
        self.reports.send_if_modified(|before| {
            let changed = before.as_deref() != Some(&tunnels);
            if changed {
                *before = Some(Arc::new(tunnels));
            }
            changed
        });
    }
}

/// Waits until then, or for ever.
async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}

/// Waits for news; who sends none any more has said all.
async fn heard<T>(news: &mut watch::Receiver<T>) {
    if news.changed().await.is_err() {
        pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
