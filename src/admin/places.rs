//! The places of connections to the admin port.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Open connections, up to a limit. A new connection always gets a place: beyond the limit the
/// source with the most connections loses its oldest one. A probe is short, so neither one source
/// nor many can keep it out.
pub(super) struct Places {
    limit: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// By number, so by age.
    connections: BTreeMap<u64, (IpAddr, CancellationToken)>,
}

/// A place; it is given back when the value is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    evicted: CancellationToken,
}

impl Places {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default() })
    }

    /// A place for a connection from this source, and whether another connection loses its own.
    pub(super) fn take(self: &Arc<Self>, source: IpAddr) -> (Place, bool) {
        let mut open = self.open.lock();
        let full = open.connections.len() >= self.limit;
        if full
            && let Some((_, evicted)) = open.victim().and_then(|at| open.connections.remove(&at))
        {
            evicted.cancel();
        }
        let (number, evicted) = (open.next, CancellationToken::new());
        open.next += 1;
        open.connections.insert(number, (source, evicted.clone()));
        (Place { places: self.clone(), number, evicted }, full)
    }
}

impl Open {
    /// The oldest connection of the sources that have the most.
    fn victim(&self) -> Option<u64> {
        let mut counts = HashMap::<IpAddr, usize>::new();
        for (source, _) in self.connections.values() {
            *counts.entry(*source).or_default() += 1;
        }
        let most = counts.values().max()?;
        let of_them = |source| counts.get(source) == Some(most);
        self.connections.iter().find(|(_, (source, _))| of_them(source)).map(|(at, _)| *at)
    }
}

impl Place {
    /// Waits until the connection has to go.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open.lock().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_with_the_most_connections_makes_room() {
        let places = Places::new(3);
        let source = |last: u8| IpAddr::from([10, 0, 0, last]);
        let taken: Vec<_> =
            [1, 2, 2, 3, 2].map(|last| places.take(source(last)).0).into_iter().collect();
        let evicted = taken.iter().map(|place| place.evicted.is_cancelled());
        assert_eq!(evicted.collect::<Vec<_>>(), [true, true, false, false, false]);
        drop(taken);
        assert!(places.open.lock().connections.is_empty());
    }
}
