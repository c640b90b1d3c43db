//! Streams and sessions without a finished request: few, whoever opens them.
//!
//! Whoever can reach a port can open them without credentials. So they are no connections of a class,
//! and they have a bound of their own in each namespace. Where it is reached, the eldest of the source
//! that has most of them gives way: a client that asks at once has asked before it is the eldest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Streams of one session that a handler has in hand before their request is finished. More of them
/// wait in the session, and no other session's for them.
pub const OF_SESSION: usize = 256;

/// The same of all sessions and other connections of a namespace, and sessions of which no stream has
/// had a finished request.
pub const OF_NAMESPACE: usize = 4096;

/// Those of one namespace.
#[derive(Debug)]
pub(super) struct Unrequested {
    most: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    total: usize,
    /// By source, the eldest first.
    sources: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
    /// How many each source has.
    sizes: BTreeSet<(usize, IpAddr)>,
}

/// One of them. Dropping it gives its place back.
#[derive(Debug)]
pub(super) struct Place {
    of: Arc<Unrequested>,
    source: IpAddr,
    id: u64,
    /// Cancelled when it must give way.
    gone: CancellationToken,
}

/// The address that connections of one client have in common: whoever has an IPv6 address has its /64.
pub fn source(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

impl Default for Unrequested {
    fn default() -> Self {
        Self { most: OF_NAMESPACE, waiting: Mutex::default() }
    }
}

impl Unrequested {
    /// One more of a client, and whether another one had to give way for it.
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr) -> (Place, bool) {
        let (source, gone) = (source(client), CancellationToken::new());
        let mut waiting = self.waiting.lock();
        let displaced = if waiting.total >= self.most { waiting.take_eldest() } else { None };
        let id = waiting.next;
        waiting.next += 1;
        waiting.total += 1;
        let of_source = waiting.sources.entry(source).or_default();
        of_source.insert(id, gone.clone());
        let size = of_source.len();
        waiting.resized(source, size - 1, size);
        drop(waiting);
        let displaced = displaced.map(|gone| gone.cancel()).is_some();
        (Place { of: self.clone(), source, id, gone }, displaced)
    }
}

impl Waiting {
    fn take_eldest(&mut self) -> Option<CancellationToken> {
        let (_, source) = *self.sizes.last()?;
        let (eldest, _) = self.sources.get(&source)?.first_key_value()?;
        self.remove(source, *eldest)
    }

    fn remove(&mut self, source: IpAddr, id: u64) -> Option<CancellationToken> {
        let of_source = self.sources.get_mut(&source)?;
        let gone = of_source.remove(&id)?;
        let size = of_source.len();
        if size == 0 {
            self.sources.remove(&source);
        }
        self.resized(source, size + 1, size);
        self.total -= 1;
        Some(gone)
    }

    fn resized(&mut self, source: IpAddr, before: usize, now: usize) {
        self.sizes.remove(&(before, source));
        if now > 0 {
            self.sizes.insert((now, source));
        }
    }
}

impl Place {
    /// Cancelled when it must give way.
    pub(super) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.waiting.lock().remove(self.source, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn the_eldest_of_the_source_with_most_gives_way_and_a_newcomer_never_does() {
        let all = Arc::new(Unrequested { most: 5, ..Unrequested::default() });
        let one = all.enter(ip(1)).0;
        let mut flood: Vec<_> = (0..4).map(|_| all.enter(ip(9)).0).collect();
        for round in 0..20 {
            // Of both: whoever floods displaces itself.
            let (next, displaced) = all.enter(ip(9));
            assert!(displaced && flood[round].gone.is_cancelled() && !next.gone.is_cancelled());
            flood.push(next);
        }
        let (newcomer, displaced) = all.enter(ip(2));
        assert!(displaced && !newcomer.gone.is_cancelled() && !one.gone.is_cancelled());
        assert_eq!(all.waiting.lock().total, 5);
        drop((one, flood, newcomer));
        let waiting = all.waiting.lock();
        assert_eq!((waiting.total, waiting.sources.len(), waiting.sizes.len()), (0, 0, 0));
    }

    #[test]
    fn a_subnet_of_ipv6_is_one_source() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(source(ip("2001:db8::1")), source(ip("2001:db8::ffff:1")));
        assert_ne!(source(ip("2001:db8::1")), source(ip("2001:db8:0:1::1")));
        assert_eq!(source(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }
}
