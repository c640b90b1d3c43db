//! How many handshakes may be in flight before their service is known.

use std::net::IpAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::base::Bound;
use crate::gate::sources::{Full, Held, Sources};
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
    places: Arc<Sources>,
}

/// The right to do one handshake; dropped when it is over.
pub struct Permit {
    handshakes: Arc<Handshakes>,
    place: Held,
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
        let (ports, places) = (ports.into(), Sources::new(total, per_source));
        Arc::new(Self { ports, total, per_source, of_all, of_source, places })
    }

    /// A permit, unless one of the limits is reached, which is counted and told. Where all permits are
    /// taken, one of the source with most of them ends for a source with fewer.
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Permit> {
        match self.places.enter(peer) {
            Ok((place, displaced)) => {
                if displaced {
                    self.tell(peer, &self.of_all, self.total);
                }
                Some(Permit { handshakes: self.clone(), place })
            }
            Err(Full::All) => {
                self.tell(peer, &self.of_all, self.total);
                None
            }
            Err(Full::OfSource) => {
                self.tell(peer, &self.of_source, self.per_source);
                None
            }
        }
    }

    fn tell(&self, peer: IpAddr, alarm: &Alarm, limit: usize) {
        if let Some(refused) = alarm.raise() {
            let (ports, bound) = (&self.ports, alarm.bound().as_str());
            tracing::warn!(
                ports, bound, limit, refused, last = %peer,
                "connections are refused: too many handshakes are in flight"
            );
        }
    }
}

impl Permit {
    /// Counts it for the client that a trusted proxy names. `false` if that one has too many already.
    #[must_use]
    pub fn is_of(&mut self, client: IpAddr) -> bool {
        let counted = self.place.is_of(client);
        if !counted {
            let handshakes = &self.handshakes;
            handshakes.tell(client, &handshakes.of_source, handshakes.per_source);
        }
        counted
    }

    /// Cancelled when the handshake must end for one of another source.
    pub fn gone(&self) -> CancellationToken {
        self.place.gone()
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
        let first = enter("2001:db8::1").unwrap();
        let second = enter("2001:db8::2").unwrap();
        assert!(enter("2001:db8::3").is_none());
        let _other = enter("10.0.0.1").unwrap();
        let _third = enter("10.0.0.2").expect("a place of the source with two");
        assert!(first.gone().is_cancelled() && !second.gone().is_cancelled());
        assert!(enter("10.0.0.3").map(drop).is_none(), "no source has more than one");
        drop(second);
        assert!(enter("10.0.0.3").is_some());
        let text = metrics.encode().unwrap();
        for (bound, count) in [("port_handshakes", 2), ("source_handshakes", 1)] {
            let line = format!("adit_bound_reached_total{{bound=\"{bound}\"}} {count}");
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
    }
}
