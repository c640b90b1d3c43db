//! The port of a UDP ASSOCIATE (RFC 1928 section 7): the way in of an association.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::{Dropped, canonical};
use crate::base::{Host, ListenAddr};
use crate::io::{Chunk, Io};
use crate::metrics::ServiceMetrics;
use crate::net::listen::{BindError, bind_udp};
use crate::proto::socks5::PacketHeader;

/// The packets of one client, at a port of ours.
pub struct Associated {
    socket: UdpSocket,
    client: IpAddr,
    /// The client's address, once it has sent something.
    source: Option<SocketAddr>,
    metrics: ServiceMetrics,
}

impl Associated {
    /// Takes any port of the address `local` of ours, for packets from `client` only, and after the
    /// first one from its port only. Also returns what to tell the client.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn at(
        local: IpAddr,
        client: IpAddr,
        metrics: ServiceMetrics,
    ) -> Result<(Self, SocketAddr), BindError> {
        let addr = ListenAddr { host: Some(Host::Ip(local.to_canonical())), port: 0 };
        let socket = bind_udp(&addr)?;
        let local = socket.local_addr().map_err(|e| BindError::new(&addr, e))?;
        let client = client.to_canonical();
        Ok((Self { socket, client, source: None, metrics }, local))
    }

    /// Whether a datagram is the client's, and what it should be.
    fn check(&mut self, from: SocketAddr, datagram: &[u8]) -> Result<(), Dropped> {
        if from.ip() != self.client || self.source.is_some_and(|source| source != from) {
            return Err(Dropped::Stranger);
        }
        // Whoever reassembles no fragments drops them (RFC 1928 section 7).
        let whole = datagram.get(2) == Some(&0);
        match PacketHeader::span(datagram) {
            Some(header) if whole && header < datagram.len() => {
                self.source = Some(from);
                Ok(())
            }
            _ => Err(Dropped::Malformed),
        }
    }
}

impl Io for Associated {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        loop {
            let mut room = ReadBuf::new(chunk.spare());
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
            chunk.filled(length);
            match self.check(from, chunk.data()) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(why) => self.metrics.datagram_dropped(why.as_str()),
            }
            chunk.release();
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if chunk.is_empty() {
            return Poll::Ready(Ok(()));
        }
        // Nothing is answered before something was asked.
        if let Some(client) = self.source
            && ready!(self.socket.poll_send_to(cx, chunk.data(), client)).is_err()
        {
            self.metrics.datagram_dropped(Dropped::Unsent.as_str());
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
