//! Limits by client address, and what is kept for each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use parking_lot::Mutex;

use crate::config::model::Limits;

/// The most addresses that are kept apart. All others share one state: many addresses of one
/// attacker must not cost memory, nor lift a limit.
const MAX_ADDRESSES: usize = 65_536;

impl<V: Copy> Limits<V> {
    /// The limit of an address that its own line, or the longest CIDR, names.
    pub(super) fn named(&self, ip: IpAddr) -> Option<V> {
        let ip = ip.to_canonical();
        let fitting = self.nets.iter().filter(|(net, _)| net.contains(&ip));
        fitting.max_by_key(|(net, _): &&(IpNet, V)| net.prefix_len()).map(|(_, limit)| *limit)
    }
}

/// States by address, bounded. A state that is as good as new is forgotten.
pub(super) struct Addresses<S> {
    states: Mutex<States<S>>,
}

struct States<S> {
    by_ip: HashMap<IpAddr, Arc<S>>,
    /// For addresses beyond [`MAX_ADDRESSES`].
    rest: Option<Arc<S>>,
    /// The size at which forgotten states are looked for: twice what was left the last time.
    sweep_at: usize,
}

/// What [`Addresses`] keeps.
pub(super) trait State {
    /// Whether forgetting it changes nothing.
    fn is_fresh(&self) -> bool;
}

impl<S: State> Addresses<S> {
    pub(super) fn new() -> Self {
        let states = States { by_ip: HashMap::new(), rest: None, sweep_at: 64 };
        Self { states: Mutex::new(states) }
    }

    /// The state of an address, made by `new` if there is none.
    pub(super) fn of(&self, ip: IpAddr, new: impl FnOnce() -> S) -> Arc<S> {
        let mut states = self.states.lock();
        let ip = ip.to_canonical();
        if let Some(state) = states.by_ip.get(&ip) {
            return state.clone();
        }
        if states.by_ip.len() >= states.sweep_at {
            states.by_ip.retain(|_, state| Arc::strong_count(state) > 1 || !state.is_fresh());
            // At the bound the next look comes later too: not one for each new address.
            let left = states.by_ip.len();
            states.sweep_at = (2 * left).max(64);
        }
        if states.by_ip.len() >= MAX_ADDRESSES {
            return states.rest.get_or_insert_with(|| Arc::new(new())).clone();
        }
        let state = Arc::new(new());
        states.by_ip.insert(ip, state.clone());
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fresh(bool);

    impl State for Fresh {
        fn is_fresh(&self) -> bool {
            self.0
        }
    }

    fn ip(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    #[test]
    fn the_longest_prefix_wins() {
        let net = |text: &str| text.parse().unwrap();
        let nets = vec![(net("10.0.0.0/8"), 1), (net("10.1.0.0/16"), 2), (net("10.1.1.1/32"), 3)];
        let limits = Limits { service: None, each: None, nets };
        assert_eq!(limits.named([10, 1, 1, 1].into()), Some(3));
        assert_eq!(limits.named([10, 1, 1, 2].into()), Some(2));
        assert_eq!(limits.named([10, 2, 0, 0].into()), Some(1));
        assert_eq!(limits.named([11, 0, 0, 0].into()), None);
    }

    #[test]
    fn addresses_that_are_as_good_as_new_are_forgotten() {
        let addresses = Addresses::new();
        for n in 0..10_000 {
            addresses.of(ip(n), || Fresh(true));
        }
        assert!(addresses.states.lock().by_ip.len() <= 64);
    }

    #[test]
    fn addresses_beyond_the_bound_share_one_state() {
        let addresses = Addresses::new();
        let max = MAX_ADDRESSES as u32;
        for n in 0..max {
            addresses.of(ip(n), || Fresh(false));
        }
        let one = addresses.of(ip(max + 1), || Fresh(false));
        let other = addresses.of(ip(max + 2), || Fresh(false));
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(addresses.states.lock().by_ip.len(), MAX_ADDRESSES);
    }
}
