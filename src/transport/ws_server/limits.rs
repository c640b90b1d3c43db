//! How many handshakes may be in flight before their service is known.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// Handshakes in flight: of the whole process, and of one source address.
///
/// A handshake lasts from accept until the service is known, or the connection ends.
pub struct Handshakes {
    total: usize,
    per_source: usize,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    total: usize,
    sources: HashMap<IpAddr, usize>,
}

/// The right to do one handshake; dropped when it is over.
pub struct Permit {
    handshakes: Arc<Handshakes>,
    source: IpAddr,
}

impl Handshakes {
    /// Limits for the process and for one source (an IPv4 address, or an IPv6 /64).
    pub fn new(total: usize, per_source: usize) -> Arc<Self> {
        Arc::new(Self { total, per_source, running: Mutex::default() })
    }

    /// A permit, unless one of the limits is reached.
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Permit> {
        let source = source(peer);
        let mut running = self.running.lock();
        if running.total >= self.total {
            return None;
        }
        let of_source = running.sources.entry(source).or_default();
        if *of_source >= self.per_source {
            return None;
        }
        *of_source += 1;
        running.total += 1;
        Some(Permit { handshakes: self.clone(), source })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut running = self.handshakes.running.lock();
        running.total = running.total.saturating_sub(1);
        if let Some(of_source) = running.sources.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                running.sources.remove(&self.source);
            }
        }
    }
}

/// Whoever has one IPv6 address has its /64.
fn source(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_take_every_place() {
        let handshakes = Handshakes::new(3, 2);
        let enter = |ip: &str| handshakes.enter(ip.parse().unwrap());
        let first = enter("2001:db8::1");
        let _second = enter("2001:db8::2");
        assert!(enter("2001:db8::3").is_none());
        let _other = enter("10.0.0.1");
        assert!(enter("10.0.0.2").is_none(), "the process's limit");
        drop(first);
        assert!(enter("2001:db8::3").is_some());
    }
}
