//! A socket without a peer: the way out of an association.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::{Dropped, canonical};
use crate::base::{Host, Network, Origin};
use crate::io::{Chunk, Io};
use crate::metrics::ServiceMetrics;
use crate::net::guard::Guard;
use crate::proto::Wire;
use crate::proto::socks5::PacketHeader;

/// Addresses of which answers are awaited, where not everybody may answer.
const MAX_ASKED: usize = 1024;

/// Packets to and from any address that the guard allows. A name is not one: see
/// [`Named`](super::Named).
pub(in crate::net) struct Unconnected {
    socket: UdpSocket,
    /// IPv4 is written as IPv6.
    dual: bool,
    longest: usize,
    guard: Arc<Guard>,
    origin: Origin,
    metrics: ServiceMetrics,
    /// Under a guard only who was asked may answer: a tenant's association is no open port of ours.
    asked: Option<Asked>,
}

impl Unconnected {
    /// Packets with a payload of up to `longest` bytes; the rest of a longer answer is lost.
    pub(in crate::net) fn new(
        socket: UdpSocket,
        longest: usize,
        (guard, origin): (Arc<Guard>, Origin),
        metrics: ServiceMetrics,
    ) -> io::Result<Self> {
        let dual = socket.local_addr()?.is_ipv6();
        let asked = guard.is_on().then(Asked::default);
        Ok(Self { socket, dual, longest, guard, origin, metrics, asked })
    }

    /// Where a packet goes, and its header's length.
    fn destination(&self, packet: &[u8]) -> Result<(SocketAddr, usize), Dropped> {
        let Ok(Some((header, length))) = PacketHeader::decode(packet) else {
            return Err(Dropped::Malformed);
        };
        let (ip, port) = match (header.address.host, header.address.port) {
            (_, 0) => return Err(Dropped::Malformed),
            // As everywhere: a target without a host is this machine.
            (None, port) => (Ipv4Addr::LOCALHOST.into(), port),
            (Some(Host::Ip(ip)), port) => (ip, port),
            (Some(Host::Name(_)), _) => return Err(Dropped::Name),
        };
        if length == packet.len() {
            return Err(Dropped::Malformed);
        }
        if let Err(why) = self.guard.check(&self.origin, Network::Udp, ip, port) {
            self.metrics.egress_denied(why.as_str());
            return Err(Dropped::Denied);
        }
        Ok((SocketAddr::new(ip.to_canonical(), port), length))
    }

    fn dropped(&self, why: Dropped) {
        self.metrics.datagram_dropped(why.as_str());
    }
}

impl Io for Unconnected {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        loop {
            let spare = chunk.spare();
            let most = self.longest.min(spare.len());
            let mut room = ReadBuf::new(spare.get_mut(..most).unwrap_or_default());
            let received = self.socket.poll_recv_from(cx, &mut room);
            let length = room.filled().len();
            let from = match received {
                Poll::Ready(Ok(from)) => canonical(from),
                Poll::Ready(Err(e)) => {
                    chunk.release();
                    return Poll::Ready(Err(e));
                }
                Poll::Pending => {
                    chunk.release();
                    return Poll::Pending;
                }
            };
            if length == 0 {
                continue;
            }
            if self.asked.as_ref().is_some_and(|asked| !asked.has(from.ip())) {
                self.dropped(Dropped::Stranger);
                continue;
            }
            chunk.filled(length);
            chunk.prefix(&PacketHeader { fragment: 0, address: from.into() }.encode());
            return Poll::Ready(Ok(()));
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if chunk.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let sent = match self.destination(chunk.data()) {
            Err(why) => Err(why),
            Ok((to, header)) => {
                if let Some(asked) = &mut self.asked {
                    asked.add(to.ip());
                }
                let to = match to {
                    SocketAddr::V4(v4) if self.dual => {
                        SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
                    }
                    to => to,
                };
                let payload = chunk.data().get(header..).unwrap_or_default();
                ready!(self.socket.poll_send_to(cx, payload, to)).map_err(|_| Dropped::Unsent)
            }
        };
        if let Err(why) = sent {
            self.dropped(why);
        }
        chunk.release();
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close_write(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    crate::io::lies_on_nothing!();
}

/// The addresses that were asked, the latest ones.
#[derive(Default)]
struct Asked {
    ips: HashSet<IpAddr>,
    order: VecDeque<IpAddr>,
}

impl Asked {
    fn has(&self, ip: IpAddr) -> bool {
        self.ips.contains(&ip)
    }

    fn add(&mut self, ip: IpAddr) {
        if !self.ips.insert(ip) {
            return;
        }
        self.order.push_back(ip);
        if self.order.len() > MAX_ASKED
            && let Some(first) = self.order.pop_front()
        {
            self.ips.remove(&first);
        }
    }
}
