//! What objects should say, against what they say.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio::time::{Duration, Instant};

use super::Reconciler;
use crate::control::events::notes;
use crate::control::expose::wishes;
use crate::control::fleet::Fleet;
use crate::control::object::Key;
use crate::control::status::{Facts, Status};
use crate::control::translate::Verdict;
use crate::control::writer::{Write, Written};
use crate::engine::Snapshot;

/// How long the other replicas may take to run what this one runs before it is said of them. A
/// report is written once a second at most.
const LAG: Duration = Duration::from_secs(3);
/// How long another installation has to answer for an object whose class nobody here has.
const FOREIGN: Duration = Duration::from_secs(30);
/// How long no replica may be ready before that is said: a process that restarts is not worth it.
const NOBODY: Duration = Duration::from_secs(15);

impl Reconciler {
    /// Compares every object's status with what it should say, and writes the difference.
    pub(super) fn look_at_all(&mut self) {
        let keys: Vec<_> = self.translation.verdicts.keys().cloned().collect();
        self.touched.clear();
        if !self.leads {
            return;
        }
        if *self.withdrawal.borrow() {
            self.withdraw();
            return;
        }
        self.keep();
        let looked: HashMap<_, _> = self.look(keys.clone()).into_iter().collect();
        // An object that cannot be judged now is counted by what it says.
        let status = |key: &Key| match self.translation.verdicts.get(key)? {
            Verdict::Foreign => None,
            _ => looked.get(key).or_else(|| Some(self.writer.intended(self.store.get(key)?))),
        };
        let (translator, policy) = (&self.translator, self.translator.policy());
        let class = |key: &Key| {
            let class = self.store.get(key).and_then(|object| translator.class_of(object));
            class.map_or("", |class| &*class.name)
        };
        let classes = policy.classes().map(|class| &*class.name);
        let looked = keys.iter().filter_map(|key| Some((class(key), status(key)?)));
        self.counted.looked(classes, looked);
    }

    /// Sees to what leads to exposed services: also while no replica is ready, as endpoints have to
    /// say just that.
    fn keep(&mut self) {
        let fleet = self.fleet.borrow().clone();
        let unknown = self.revision == 0 || self.snapshots.borrow().draining;
        let Some(members) = &fleet.members else { return };
        if unknown || !self.leadership.still_leader() {
            return;
        }
        let made = (&self.translator, &self.translation);
        let wishes = wishes(self.keeper.instance(), &self.store, made, members);
        self.keeper.keep(&wishes, members);
    }

    /// The last replica ends: no Service leads to it any more, and no object says that it serves. What
    /// nobody withdraws now goes on naming addresses that other Pods will have.
    fn withdraw(&mut self) {
        if self.revision == 0 || !self.leadership.still_leader() {
            return;
        }
        let made = (&self.translator, &self.translation);
        let wishes = wishes(self.keeper.instance(), &self.store, made, &[]);
        let kept = self.keeper.keep(&wishes, &[]);
        let now = Timestamp::now();
        let ours = self.translation.verdicts.iter();
        let ours = ours.filter(|(_, verdict)| !matches!(verdict, Verdict::Foreign));
        let own = self.translator.holders().own.clone();
        let mut said = true;
        for object in ours.filter_map(|(key, _)| self.store.get(key)) {
            let before = self.writer.intended(object);
            let left = before.left(now);
            // What nobody holds was said by an adit that did not know of holders, or by nobody.
            let held = before.controller.as_deref().is_none_or(|holder| *holder == *own);
            let new = left != *before && !(before.controller.is_none() && before.is_refused());
            if held && before.is_said() && new {
                said = false;
                self.writer.put(Write::new(object, object.status.clone(), left));
            }
        }
        if kept && said && self.writer.is_idle() {
            self.withdrawn.send_replace(true);
        }
    }

    /// The same for objects that only had their status written: what it should say is what it was.
    pub(super) fn look_at_touched(&mut self) {
        let keys: Vec<_> = std::mem::take(&mut self.touched).into_iter().collect();
        if !*self.withdrawal.borrow() {
            self.look(keys);
        }
    }

    fn look(&mut self, keys: Vec<Key>) -> Vec<(Key, Status)> {
        let snapshot = self.snapshots.borrow().clone();
        let fleet = self.fleet.borrow().clone();
        // The process on its way out says nothing: the next one knows better.
        if snapshot.draining || self.revision == 0 || !self.leads || !fleet.listed {
            return Vec::new();
        }
        if !self.leadership.still_leader() {
            return Vec::new();
        }
        if fleet.own || !fleet.others.is_empty() {
            self.nobody = None;
        } else {
            let until = *self.nobody.get_or_insert_with(Instant::now) + NOBODY;
            if Instant::now() < until {
                self.held = Some(until);
                return Vec::new();
            }
        }
        let now = Timestamp::now();
        let looked = |key: Key| {
            let status = self.look_at(&key, &snapshot, &fleet, now)?;
            Some((key, status))
        };
        keys.into_iter().filter_map(looked).collect()
    }

    /// What the object shall say; it is written if it does not say so yet.
    fn look_at(
        &mut self,
        key: &Key,
        snapshot: &Snapshot,
        fleet: &Fleet,
        now: Timestamp,
    ) -> Option<Status> {
        let verdict = self.translation.verdicts.get(key)?;
        let object = self.store.get(key)?;
        let since = self.since.get(key).filter(|since| since.revision <= snapshot.revision)?;
        self.translator.granted(object, verdict, snapshot, now);
        let ledger = &self.translator.ledger;
        let (fronts, replica) = (&*self.fronts, &*self.replica);
        let (ports, standings) = (&self.translator.ports, self.keeper.standings());
        let balancers = self.keeper.balancers();
        let origin = key.origin();
        let denies = |network, addr| self.engine.denies(&origin, network, addr);
        let secrets = self.secrets.digest(self.translator.used_by(object));
        let facts = Facts {
            object,
            verdict,
            snapshot,
            ledger,
            ports,
            standings,
            balancers,
            denies: &denies,
            fronts,
            fleet,
            replica,
            secrets: secrets.as_deref(),
            installation: &self.translator.holders().own,
            class: self.translator.class_of(object).map(|class| &*class.name),
        };
        let before = self.writer.intended(object);
        if verdict.is_classless() && !self.translator.holders().is_own(object) {
            // Somebody answers for it, or did: this installation has nothing to add.
            if before.observed_generation == Some(object.generation) {
                return Some(before.clone());
            }
            let until = since.at + FOREIGN;
            if Instant::now() < until {
                self.held = Some(self.held.map_or(until, |held| held.min(until)));
                return Some(before.clone());
            }
        }
        let patience = since.at + LAG;
        if Instant::now() < patience && facts.waits_for_others() {
            self.held = Some(self.held.map_or(patience, |held| held.min(patience)));
            return Some(before.clone());
        }
        // A new leader asks first how Services stand that were there before it.
        let asked = self.led_since + LAG;
        if Instant::now() < asked && facts.asks_for_services() {
            self.held = Some(self.held.map_or(asked, |held| held.min(asked)));
            return Some(before.clone());
        }
        let status = facts.status(before, now)?;
        // Somebody may have seen a newer spec than we have.
        let newer = before.observed_generation.is_some_and(|seen| seen > object.generation);
        if status != *before && !newer {
            self.writer.put(Write::new(object, object.status.clone(), status.clone()));
        }
        Some(status)
    }

    /// Asks other installations that hold objects of a class here whether they are there. Whether one
    /// is gone now, or is back.
    pub(super) fn look_at_rivals(&mut self) -> bool {
        if !self.leads || self.revision == 0 || *self.withdrawal.borrow() {
            return false;
        }
        let (policy, holders) = (self.translator.policy(), self.translator.holders());
        let held = self.store.objects().filter_map(|object| {
            policy.class(object.class.as_deref())?;
            Some((holders.other(object)?, object))
        });
        let held: Vec<_> = held.collect();
        let count = held.iter().filter(|(_, object)| holders.have(object)).count();
        self.metrics.tunnels_held_elsewhere.set(count.try_into().unwrap_or(i64::MAX));
        let outlook = self.rivals.look(&held, &holders.own, Instant::now());
        for (installation, tunnels) in outlook.news {
            tracing::warn!(
                installation,
                tunnels,
                "another installation serves tunnels of a class that is here too, and keeps them: \
                 give classes different names, and one installation only a default class"
            );
        }
        for object in outlook.ask {
            self.writer.put(Write::question(object, &holders.own));
        }
        self.held = self.held.into_iter().chain(outlook.due).min();
        let gone = self.rivals.gone();
        if gone == holders.gone {
            return false;
        }
        for (installation, namespace) in gone.difference(&holders.gone) {
            tracing::warn!(
                installation, %namespace,
                "another installation does not answer: its tunnels are served here from now on"
            );
        }
        self.translator.outlive(gone);
        let ours: Vec<_> = self.store.objects().cloned().collect();
        ours.iter().for_each(|object| self.want(object));
        true
    }

    pub(super) fn written(&mut self, written: Option<Written>) {
        let Some(written) = written else { return };
        if written.asks {
            self.rivals.taken(&written.uid);
        }
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
