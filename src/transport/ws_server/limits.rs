//! How many handshakes may be in flight before their service is known.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::Bound;
use crate::gate::source;
use crate::io::Alarm;
use crate::metrics::Metrics;

/// Handshakes in flight on some ports: of all sources, and of one source address.
///
/// A handshake lasts from accept until the service is known, or the connection ends.
pub struct Handshakes {
    /// For the log.
    ports: String,
    total: usize,
    per_source: usize,
    of_all: Alarm,
    of_source: Alarm,
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
    /// Limits for all sources and for one (an IPv4 address, or an IPv6 /64) on these ports. `bound` is
    /// the name of the first limit.
    pub fn new(
        ports: impl Into<String>,
        total: usize,
        per_source: usize,
        bound: Bound,
        metrics: &Metrics,
    ) -> Arc<Self> {
        let of_all = Alarm::new(bound, metrics);
        let of_source = Alarm::new(Bound::SourceHandshakes, metrics);
        let (ports, running) = (ports.into(), Mutex::default());
        Arc::new(Self { ports, total, per_source, of_all, of_source, running })
    }

    /// A permit, unless one of the limits is reached, which is counted and told.
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Permit> {
        let source = source(peer);
        let mut running = self.running.lock();
        if running.total >= self.total {
            drop(running);
            return self.refuse(peer, &self.of_all, self.total);
        }
        if !running.add(source, self.per_source) {
            drop(running);
            return self.refuse(peer, &self.of_source, self.per_source);
        }
        running.total += 1;
        Some(Permit { handshakes: self.clone(), source })
    }

    fn refuse<T>(&self, peer: IpAddr, alarm: &Alarm, limit: usize) -> Option<T> {
        if let Some(refused) = alarm.raise() {
            let (ports, bound) = (&self.ports, alarm.bound().as_str());
            tracing::warn!(
                ports, bound, limit, refused, last = %peer,
                "connections are refused: too many handshakes are in flight"
            );
        }
        None
    }
}

impl Permit {
    /// Counts it for the client that a trusted proxy names. `false` if that one has too many already.
    #[must_use]
    pub fn is_of(&mut self, client: IpAddr) -> bool {
        let client_source = source(client);
        if client_source == self.source {
            return true;
        }
        let handshakes = &self.handshakes;
        let mut running = handshakes.running.lock();
        if !running.add(client_source, handshakes.per_source) {
            drop(running);
            handshakes.refuse::<()>(client, &handshakes.of_source, handshakes.per_source);
            return false;
        }
        running.remove(self.source);
        self.source = client_source;
        true
    }
}

impl Running {
    fn add(&mut self, source: IpAddr, most: usize) -> bool {
        let of_source = self.sources.entry(source).or_default();
        if *of_source >= most {
            return false;
        }
        *of_source += 1;
        true
    }

    fn remove(&mut self, source: IpAddr) {
        if let Some(of_source) = self.sources.get_mut(&source) {
            *of_source -= 1;
            if *of_source == 0 {
                self.sources.remove(&source);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut running = self.handshakes.running.lock();
        running.total = running.total.saturating_sub(1);
        running.remove(self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshakes(total: usize, per_source: usize) -> (Arc<Handshakes>, Metrics) {
        let metrics = Metrics::new().unwrap();
        (Handshakes::new("p", total, per_source, Bound::PortHandshakes, &metrics), metrics)
    }

    #[test]
    fn one_source_cannot_take_every_place() {
        let (handshakes, metrics) = handshakes(3, 2);
        let enter = |ip: &str| handshakes.enter(ip.parse().unwrap());
        let first = enter("2001:db8::1");
        let _second = enter("2001:db8::2");
        assert!(enter("2001:db8::3").is_none());
        let _other = enter("10.0.0.1");
        assert!(enter("10.0.0.2").is_none(), "the limit of all");
        drop(first);
        assert!(enter("2001:db8::3").is_some());
        let text = metrics.encode().unwrap();
        for bound in ["port_handshakes", "source_handshakes"] {
            let line = format!("adit_bound_reached_total{{bound=\"{bound}\"}} 1");
            assert!(text.contains(&line), "{line}: {text}");
        }
    }

    #[test]
    fn the_client_behind_a_proxy_counts_once_it_is_known() {
        let (handshakes, _metrics) = handshakes(9, 2);
        let enter = |ip: &str| handshakes.enter(ip.parse().unwrap());
        let behind = |client: &str| {
            let mut permit = enter("10.0.0.1").unwrap();
            permit.is_of(client.parse().unwrap()).then_some(permit)
        };
        let clients = ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(|ip| behind(ip).unwrap());
        assert!(behind("192.0.2.1").is_none(), "two of one client");
        assert!(behind("192.0.2.2").is_some(), "the proxy has its places back");
        drop(clients);
        let running = handshakes.running.lock();
        assert_eq!((running.total, running.sources.len()), (0, 0));
    }
}
