//! A socket with one peer.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::too_long;
use crate::io::{Chunk, Io};
use crate::net::listen;

/// Datagrams to and from one address. What an ICMP message says of it (nobody listens there) is an
/// error of the stream.
pub(in crate::net) struct UdpIo(UdpSocket);

impl UdpIo {
    /// Takes a port for datagrams to `peer` only.
    pub(in crate::net) async fn connect(peer: SocketAddr) -> io::Result<Self> {
        let socket = listen::any_udp(peer)?;
        socket.connect(peer).await?;
        let local = socket.local_addr()?;
        if local == peer {
            // The kernel chose the port that was dialled: the answers would be the questions.
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(Self(socket))
    }

    /// The port's address.
    pub(in crate::net) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Io for UdpIo {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        loop {
            let mut room = ReadBuf::new(chunk.spare());
            let received = self.0.poll_recv(cx, &mut room);
            let length = room.filled().len();
            match received {
                Poll::Ready(Ok(())) if length > 0 => {
                    chunk.filled(length);
                    return Poll::Ready(Ok(()));
                }
                // Empty.
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(e)) => {
                    chunk.release();
                    return Poll::Ready(Err(e));
                }
                Poll::Pending => {
                    chunk.release();
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if chunk.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let sent = ready!(self.0.poll_send(cx, chunk.data()));
        chunk.release();
        match sent {
            Err(e) if !too_long(&e) => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close_write(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    crate::io::lies_on_nothing!();
}
