//! Places that source addresses share.
//!
//! Whoever reaches a port can ask for places without credentials. Where all are taken, the eldest of
//! the source that has most of them gives way: a client that hurries has gone on before that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// So many places, of which one source may have so many.
#[derive(Debug)]
pub struct Sources {
    most: usize,
    of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    total: usize,
    /// By source, the eldest first.
    sources: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
    /// How many each source has.
    sizes: BTreeSet<(usize, IpAddr)>,
}

/// One of the places. Dropping it gives it back.
#[derive(Debug)]
pub struct Held {
    of: Arc<Sources>,
    source: IpAddr,
    id: u64,
    gone: CancellationToken,
}

/// Why a client gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All places are taken, and none for it to displace.
    All,
    /// Its source has as many as one may have.
    OfSource,
}

/// The address that connections of one client have in common: whoever has an IPv6 address has its /64.
pub fn source(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

impl Sources {
    /// So many places, of which one source may have so many.
    pub fn new(most: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self { most, of_one, taken: Mutex::default() })
    }

    /// A place for a client, and whether another one had to give way for it. Only the eldest of a
    /// source that has more of them does: a burst of one source does not keep itself from going on.
    ///
    /// # Errors
    /// [`Full`].
    pub fn enter(self: &Arc<Self>, client: IpAddr) -> Result<(Held, bool), Full> {
        let source = source(client);
        let mut taken = self.taken.lock();
        let own = taken.of(source);
        if own >= self.of_one {
            return Err(Full::OfSource);
        }
        let largest = taken.sizes.last().map_or(0, |(size, _)| *size);
        if taken.total >= self.most && largest <= own + 1 {
            return Err(Full::All);
        }
        Ok(self.take(&mut taken, source))
    }

    /// A place for a client in any case, and whether another one had to give way for it.
    pub fn renew(self: &Arc<Self>, client: IpAddr) -> (Held, bool) {
        self.take(&mut self.taken.lock(), source(client))
    }

    fn take(self: &Arc<Self>, taken: &mut Taken, source: IpAddr) -> (Held, bool) {
        let displaced = if taken.total >= self.most { taken.take_eldest() } else { None };
        let (id, gone) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.put(source, id, gone.clone());
        let displaced = displaced.map(|gone| gone.cancel()).is_some();
        (Held { of: self.clone(), source, id, gone }, displaced)
    }
}

impl Taken {
    fn of(&self, source: IpAddr) -> usize {
        self.sources.get(&source).map_or(0, BTreeMap::len)
    }

    fn put(&mut self, source: IpAddr, id: u64, gone: CancellationToken) {
        let of_source = self.sources.entry(source).or_default();
        of_source.insert(id, gone);
        let size = of_source.len();
        self.total += 1;
        self.resized(source, size - 1, size);
    }

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

impl Held {
    /// Cancelled when it must give way.
    pub fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    /// Counts it for another client: the one that a trusted proxy names. `false` if that one's source
    /// has as many as one may have.
    #[must_use]
    pub fn is_of(&mut self, client: IpAddr) -> bool {
        let client = source(client);
        if client == self.source {
            return true;
        }
        let mut taken = self.of.taken.lock();
        if taken.of(client) >= self.of.of_one {
            return false;
        }
        if let Some(gone) = taken.remove(self.source, self.id) {
            taken.put(client, self.id, gone);
        }
        self.source = client;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.taken.lock().remove(self.source, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn nothing_is_taken(all: &Sources) -> bool {
        let taken = all.taken.lock();
        (taken.total, taken.sources.len(), taken.sizes.len()) == (0, 0, 0)
    }

    #[test]
    fn the_eldest_of_the_source_with_most_gives_way_and_a_newcomer_never_does() {
        let all = Sources::new(5, usize::MAX);
        let one = all.renew(ip(1)).0;
        let mut flood: Vec<_> = (0..4).map(|_| all.renew(ip(9)).0).collect();
        for round in 0..20 {
            // Of both: whoever floods displaces itself.
            let (next, displaced) = all.renew(ip(9));
            assert!(displaced && flood[round].gone.is_cancelled() && !next.gone.is_cancelled());
            flood.push(next);
        }
        let (newcomer, displaced) = all.renew(ip(2));
        assert!(displaced && !newcomer.gone.is_cancelled() && !one.gone.is_cancelled());
        assert_eq!(all.taken.lock().total, 5);
        drop((one, flood, newcomer));
        assert!(nothing_is_taken(&all));
    }

    #[test]
    fn many_sources_that_hold_every_place_leave_one_to_who_has_none() {
        let all = Sources::new(64, 8);
        let held: Vec<_> = (0..64).map(|n| all.enter(ip(100 + n % 8)).unwrap().0).collect();
        assert_eq!(all.enter(ip(100)).unwrap_err(), Full::OfSource);
        let newcomers: Vec<_> = (0..6).map(|n| all.enter(ip(n)).unwrap()).collect();
        assert!(newcomers.iter().all(|(held, displaced)| *displaced && !held.gone.is_cancelled()));
        assert_eq!(held.iter().filter(|held| held.gone.is_cancelled()).count(), 6);
        drop((held, newcomers));
        assert!(nothing_is_taken(&all));
    }

    #[test]
    fn a_burst_of_one_source_does_not_displace_itself() {
        let all = Sources::new(3, 3);
        let held: Vec<_> = (0..2).map(|_| all.enter(ip(1)).unwrap().0).collect();
        let other = all.enter(ip(2)).unwrap().0;
        assert_eq!(all.enter(ip(1)).unwrap_err(), Full::All);
        assert!(held.iter().chain([&other]).all(|held| !held.gone.is_cancelled()));
    }

    #[test]
    fn a_subnet_of_ipv6_is_one_source() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(source(ip("2001:db8::1")), source(ip("2001:db8::ffff:1")));
        assert_ne!(source(ip("2001:db8::1")), source(ip("2001:db8:0:1::1")));
        assert_eq!(source(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }
}
