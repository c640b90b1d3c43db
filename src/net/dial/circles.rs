//! Connections of the process to itself, and how many of them stand in a row.
//!
//! A service may lead to another one of the same process. One that leads back to where it began, by
//! whatever name or chain, would open connections until the system has none left. A dial whose client
//! is a socket of our own stands behind that socket; a row of more than [`LONGEST`] is a circle.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use parking_lot::Mutex;

use crate::base::Network;

/// The most connections in a row. A client and a server of one process make two, or three with a port
/// forward.
pub const LONGEST: u32 = 16;

/// Sockets that are remembered. Who comes by one of them dials at once, or not at all.
const REMEMBERED: usize = 4096;

type Socket = (Network, SocketAddr);

/// The sockets that lead to this machine, the latest ones.
#[derive(Debug, Default)]
pub(super) struct Circles(Mutex<Latest>);

#[derive(Debug, Default)]
struct Latest {
    /// Which place in its row a socket has, from 1 on.
    places: HashMap<Socket, u32>,
    order: VecDeque<Socket>,
}

impl Circles {
    /// Takes down a socket that leads from `local` to `peer` for `client`; whether its row is no
    /// longer than [`LONGEST`].
    pub(super) fn enter(
        &self,
        network: Network,
        local: SocketAddr,
        peer: SocketAddr,
        client: Option<SocketAddr>,
    ) -> bool {
        let (local, peer) = (canonical(local), canonical(peer));
        // A socket to one of this machine's addresses has that address too; all of loopback is here.
        let here = local.ip() == peer.ip() || local.ip().is_loopback() && peer.ip().is_loopback();
        if !here {
            return true;
        }
        let mut latest = self.0.lock();
        let before = |client| latest.places.get(&(network, canonical(client))).copied();
        // Who comes over TCP may ask for datagrams, and the other way round.
        let other = |client| {
            let network = if network == Network::Tcp { Network::Udp } else { Network::Tcp };
            latest.places.get(&(network, canonical(client))).copied()
        };
        let place = client.and_then(|client| before(client).or_else(|| other(client))).unwrap_or(0);
        let place = place.saturating_add(1);
        latest.remember((network, local), place);
        place <= LONGEST
    }
}

impl Latest {
    fn remember(&mut self, socket: Socket, place: u32) {
        if self.places.insert(socket, place).is_none() {
            self.order.push_back(socket);
        }
        if self.order.len() > REMEMBERED
            && let Some(eldest) = self.order.pop_front()
        {
            self.places.remove(&eldest);
        }
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_row_of_our_own_connections_has_an_end() {
        let (circles, target) = (Circles::default(), at("127.0.0.1:80"));
        let mut client = Some(at("192.0.2.1:1"));
        for port in 1..=40_u16 {
            let local = at(&format!("127.0.0.1:{}", 1000 + port));
            let enters = circles.enter(Network::Tcp, local, target, client);
            assert_eq!(enters, u32::from(port) <= LONGEST, "{port}");
            client = Some(at(&format!("[::ffff:127.0.0.1]:{}", 1000 + port)));
        }
        let another =
            circles.enter(Network::Tcp, at("127.0.0.1:9"), target, Some(at("127.0.0.1:8")));
        assert!(another, "another client's row");
    }

    #[test]
    fn connections_to_other_machines_are_no_row() {
        let circles = Circles::default();
        let (local, far) = (at("192.0.2.1:1"), at("192.0.2.2:80"));
        for _ in 0..100 {
            assert!(circles.enter(Network::Tcp, local, far, Some(local)));
        }
        assert_eq!(circles.0.lock().order.len(), 0);
        let own = at("192.0.2.1:80");
        assert!(circles.enter(Network::Udp, local, own, None));
        assert_eq!(circles.0.lock().order.len(), 1);
    }

    #[test]
    fn no_more_are_remembered_than_the_latest() {
        let circles = Circles::default();
        for port in 1..=5000 {
            circles.enter(
                Network::Tcp,
                SocketAddr::new([127, 0, 0, 1].into(), port),
                at("127.0.0.1:80"),
                None,
            );
        }
        let latest = circles.0.lock();
        assert_eq!((latest.places.len(), latest.order.len()), (REMEMBERED, REMEMBERED));
    }
}
