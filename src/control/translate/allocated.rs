//! The ports of exposed services.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{Good, Translator, Verdict};
use crate::control::expose::{Exposed, Slot, Want};
use crate::control::object::{Key, Object};

impl Translator {
    /// Takes over which ports the statuses say.
    pub(super) fn follow_ports<'a>(
        &mut self,
        objects: impl Iterator<Item = &'a Object>,
        now: Instant,
    ) {
        let (policy, holders) = (self.policy.clone(), &self.holders);
        let ours = objects
            .filter(|object| !object.deleting)
            .filter_map(|object| Some((object, holders.class(&policy, object)?.allocate)));
        self.ports.follow(ours, now);
    }

    /// Gives every exposed service a port that has none, if this process leads. Nothing is bound by
    /// that: the status has to say it first.
    pub(super) fn allocate<'a>(
        &mut self,
        objects: impl Iterator<Item = &'a Object>,
        verdicts: &BTreeMap<Key, Verdict>,
        now: Instant,
    ) {
        let policy = self.policy.clone();
        let mut wanted = Vec::new();
        for object in objects {
            let Some(class) = self.holders.class(&policy, object) else { continue };
            let Some(verdict) = verdicts.get(&object.key) else { continue };
            let Some(good) = verdict.exposing() else { continue };
            for name in good.exposures.keys() {
                let slot = Slot::new(object, name);
                self.ports.drains(&slot, good.drain.min(class.limits.max_drain));
                if verdict.running().is_some() {
                    wanted.push(Want { slot, created: object.created, range: class.allocate });
                }
            }
        }
        if self.ledger.leads() {
            self.ports.allocate(wanted, now);
        }
    }

    /// The exposed services of an object, with their ports as far as the status says them.
    pub(in crate::control) fn exposed(&self, object: &Object, good: &Good) -> Vec<Exposed> {
        let exposed = good.exposures.iter().map(|(name, config)| Exposed {
            name: name.clone(),
            config: config.clone(),
            port: self.ports.bound(&Slot::new(object, name)),
        });
        exposed.collect()
    }
}
