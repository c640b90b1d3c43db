//! An association that carries nothing to targets that are passed by.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::bypass;
use crate::base::Network;
use crate::config::model::Bypass;
use crate::io::{BoxIo, Chunk, Ending, Io};
use crate::metrics::ServiceMetrics;
use crate::proto::Wire;
use crate::proto::socks5::PacketHeader;

/// Packets on their way out: those that the service's bypasses match are dropped and counted, as
/// streams to such targets are refused.
pub struct Screened {
    packets: BoxIo,
    bypasses: Vec<Arc<Bypass>>,
    metrics: ServiceMetrics,
    /// The caller's chunk may pass, and is on its way.
    passing: bool,
}

impl Screened {
    /// Puts `bypasses` before `packets`.
    pub fn new(packets: BoxIo, bypasses: Vec<Arc<Bypass>>, metrics: ServiceMetrics) -> Self {
        Self { packets, bypasses, metrics, passing: false }
    }

    /// What is no packet with a target is for those below to drop.
    fn passes(&self, packet: &[u8]) -> bool {
        let Ok(Some((header, _))) = PacketHeader::decode(packet) else { return true };
        let target = header.address.target();
        !target.is_some_and(|target| bypass::matches(&self.bypasses, Network::Udp, &target))
    }
}

impl Io for Screened {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        self.packets.poll_read(cx, chunk)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.packets.poll_room(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if !self.passing {
            if !self.passes(chunk.data()) {
                self.metrics.refused("bypass");
                chunk.release();
                return Poll::Ready(Ok(()));
            }
            self.passing = true;
        }
        ready!(self.packets.poll_write(cx, chunk))?;
        self.passing = false;
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.packets.poll_flush(cx)
    }

    fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.packets.poll_close_write(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()> {
        self.packets.poll_end(cx, ending)
    }

    fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.packets.upkeep(cx)
    }

    fn peer_closed(&self) -> bool {
        self.packets.peer_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Origin, ServiceKey};
    use crate::io::full::Full;
    use crate::metrics::Metrics;

    #[test]
    fn there_is_no_more_room_than_below() {
        let metrics = Metrics::new().unwrap().service(&ServiceKey::new(Origin::Files, "s"));
        assert!(!Full::has_room_below(Screened::new(Box::new(Full), Vec::new(), metrics)));
    }
}
