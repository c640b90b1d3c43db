//! Which port is whose.
//!
//! Pure but for its memory: what the statuses say is the truth, and nobody binds another port. The
//! leader gives a port to a service that has none, and remembers it until the status says so. Every
//! replica remembers which ports were let go, and when: whoever leads next keeps them out of use
//! until nobody can still be sent there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use tokio::time::Instant;

use crate::control::claim::digest_of_port;
use crate::control::object::{Key, Object};
use crate::control::policy::Ports;

/// After the drain: for what still sends clients to a port that was let go.
const QUARANTINE: Duration = Duration::from_secs(60);

/// Ports of one namespace that may rest before it has them again.
const RESTING: usize = 64;

/// A service of an object, as one that has a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    /// The object.
    pub(crate) key: Key,
    /// An object of the same name later is another one.
    pub(crate) uid: Arc<str>,
    /// The service.
    pub(crate) service: Arc<str>,
}

impl Slot {
    /// A service of this object.
    pub(crate) fn new(object: &Object, service: &str) -> Self {
        Self { key: object.key.clone(), uid: object.uid.clone(), service: service.into() }
    }

    fn same_name(&self, other: &Self) -> bool {
        self.key == other.key && self.service == other.service
    }
}

/// A service that shall have a port.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    /// The service.
    pub(crate) slot: Slot,
    /// When its object was made.
    pub(crate) created: Option<jiff::Timestamp>,
    /// What its class allocates.
    pub(crate) range: Ports,
}

/// The ports that were allocated, and whose they are.
#[derive(Debug, Default)]
pub(crate) struct Allocation {
    /// Ports that the process has itself.
    reserved: Vec<u16>,
    /// By the statuses; each port once, each service once.
    held: BTreeMap<u16, Slot>,
    ports: BTreeMap<Slot, u16>,
    /// What this leader gave, while no status that came back says so.
    granted: BTreeMap<Slot, u16>,
    /// What was let go, by whom, and until when nobody else has it.
    quarantine: BTreeMap<u16, (Slot, Instant)>,
    /// How long tunnels of what has a port may go on.
    drains: BTreeMap<Slot, Duration>,
    /// Services for which no port is free.
    without: BTreeMap<Slot, Ports>,
}

impl Allocation {
    /// Nothing is allocated.
    pub(crate) fn new(reserved: Vec<u16>) -> Self {
        Self { reserved, ..Self::default() }
    }

    /// Takes over what the statuses say, as far as it is within what an object's class allocates. Of
    /// several services with one port the incumbent has it: who
    /// has held it longest, then the older object, then the name.
    pub(crate) fn follow<'a>(
        &mut self,
        objects: impl Iterator<Item = (&'a Object, Ports)>,
        now: Instant,
    ) {
        let mut claims = Vec::new();
        for (object, range) in objects {
            for listener in &object.status.listeners {
                let Some(port) = listener.target_port.filter(|port| self.may_have(*port, range))
                else {
                    continue;
                };
                let held = listener.claim.as_deref() == Some(&digest_of_port(port));
                let since: Option<jiff::Timestamp> =
                    listener.claimed_at.as_deref().filter(|_| held).and_then(|at| at.parse().ok());
                let rank = (since.is_none(), since, object.created.is_none(), object.created);
                claims.push((rank, Slot::new(object, &listener.name), port));
            }
        }
        claims.sort();
        let before = std::mem::take(&mut self.held);
        self.ports.clear();
        for (_, slot, port) in claims {
            self.held.entry(port).or_insert_with(|| {
                self.ports.insert(slot.clone(), port);
                slot
            });
        }
        self.granted.retain(|slot, _| !self.ports.contains_key(slot));
        for (port, slot) in before {
            if self.held.get(&port) != Some(&slot) {
                self.let_go(port, slot, now);
            }
        }
        self.quarantine.retain(|_, (_, until)| *until > now);
        let known = |slot: &Slot| self.ports.contains_key(slot) || self.granted.contains_key(slot);
        self.drains.retain(|slot, _| known(slot));
    }

    /// What the leader gave does not count for the next one, nor for itself in another term.
    pub(crate) fn forget(&mut self) {
        self.granted.clear();
        self.without.clear();
    }

    /// Gives a port to each of these services that has none. Who asks in what order means nothing.
    pub(crate) fn allocate(&mut self, mut wanted: Vec<Want>, now: Instant) {
        wanted.sort_by(|a, b| {
            let rank = |want: &Want| (want.created.is_none(), want.created);
            rank(a).cmp(&rank(b)).then_with(|| a.slot.cmp(&b.slot))
        });
        let slots: BTreeMap<&Slot, Ports> =
            wanted.iter().map(|want| (&want.slot, want.range)).collect();
        let gone: Vec<_> = self
            .granted
            .iter()
            .filter(|(slot, port)| !slots.get(slot).is_some_and(|range| range.contains(**port)))
            .collect();
        let gone: Vec<_> = gone.into_iter().map(|(slot, port)| (slot.clone(), *port)).collect();
        for (slot, port) in gone {
            self.granted.remove(&slot);
            self.let_go(port, slot, now);
        }
        self.without.clear();
        let mut taken: BTreeSet<u16> =
            self.held.keys().chain(self.granted.values()).copied().collect();
        let mut full: BTreeSet<(u16, u16)> = BTreeSet::new();
        let resting = self.resting();
        for Want { slot, range, .. } in wanted {
            if self.target(&slot).is_some() {
                continue;
            }
            let free = |port: &u16| {
                !taken.contains(port)
                    && self.may_have(*port, range)
                    && !self.quarantine.contains_key(port)
            };
            let ends = (range.first(), range.last());
            let again = self.again(&slot, range, &taken, &resting);
            let found = match again.is_none() && !full.contains(&ends) {
                true => probe(range, &slot).find(free),
                false => again,
            };
            if found.is_none() {
                // None of them is free for anybody: nobody else has to look through all.
                full.insert(ends);
            }
            match found {
                Some(port) => {
                    taken.insert(port);
                    self.quarantine.remove(&port);
                    self.granted.insert(slot, port);
                }
                None => {
                    self.without.insert(slot, range);
                }
            }
        }
    }

    /// When a port comes out of quarantine for a service that waits for one.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let ends = self.quarantine.values().map(|(_, until)| *until);
        ends.min().filter(|_| !self.without.is_empty())
    }

    /// The port that the service has by its status: the only one that may be bound.
    pub(crate) fn bound(&self, slot: &Slot) -> Option<u16> {
        self.ports.get(slot).copied()
    }

    /// The port that it has, or that its status is going to say.
    pub(crate) fn target(&self, slot: &Slot) -> Option<u16> {
        self.bound(slot).or_else(|| self.granted.get(slot).copied())
    }

    /// The ports of which none is left for it.
    pub(crate) fn exhausted(&self, slot: &Slot) -> Option<Ports> {
        self.without.get(slot).copied()
    }

    /// How long tunnels of the service may go on once it goes.
    pub(crate) fn drains(&mut self, slot: &Slot, drain: Duration) {
        if self.target(slot).is_some() {
            self.drains.insert(slot.clone(), drain);
        }
    }

    /// A port that rests and that this service may have nevertheless: its own, or, where its
    /// namespace has let go of many, the one that rests longest of those. So no namespace can make
    /// more ports rest than it ever held, and some.
    fn again(
        &self,
        slot: &Slot,
        range: Ports,
        taken: &BTreeSet<u16>,
        resting: &HashMap<Arc<str>, Vec<u16>>,
    ) -> Option<u16> {
        let may = |port: u16| !taken.contains(&port) && self.may_have(port, range);
        let of_namespace = resting.get(&slot.key.namespace).into_iter().flatten();
        let resting = of_namespace.filter_map(|port| Some((*port, self.quarantine.get(port)?)));
        let resting: Vec<_> = resting.map(|(port, (last, until))| (port, last, *until)).collect();
        let own = resting.iter().find(|(port, last, _)| last.same_name(slot) && may(*port));
        let many = || {
            let longest = resting.iter().filter(|(port, ..)| may(*port));
            longest.min_by_key(|(_, _, until)| *until).filter(|_| resting.len() >= RESTING)
        };
        own.or_else(many).map(|(port, ..)| *port)
    }

    /// The ports that rest, by the namespace that had them.
    fn resting(&self) -> HashMap<Arc<str>, Vec<u16>> {
        let mut resting: HashMap<_, Vec<_>> = HashMap::new();
        for (port, (last, _)) in &self.quarantine {
            resting.entry(last.key.namespace.clone()).or_default().push(*port);
        }
        resting
    }

    fn may_have(&self, port: u16, range: Ports) -> bool {
        range.contains(port) && !self.reserved.contains(&port)
    }

    fn let_go(&mut self, port: u16, slot: Slot, now: Instant) {
        let drain = self.drains.get(&slot).copied().unwrap_or_default();
        self.quarantine.insert(port, (slot, now + drain + QUARANTINE));
    }
}

/// Every port of the range, beginning with one that only the service's name decides: so it is likely
/// to have the same again, and ports of others are rarely in its way.
fn probe(range: Ports, slot: &Slot) -> impl Iterator<Item = u16> + use<> {
    let name = format!("{}/{}", slot.key, slot.service);
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    let seed = digest.as_ref().iter().take(4).fold(0u32, |seed, byte| seed << 8 | u32::from(*byte));
    let low = range.first();
    let count = u32::from(range.last().saturating_sub(low)) + 1;
    (0..count).map(move |step| {
        let offset = (u64::from(seed) + u64::from(step)) % u64::from(count);
        low.saturating_add(u16::try_from(offset).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests;
