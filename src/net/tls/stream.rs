//! TLS as an [`Io`].
//!
//! A half-close is a close_notify without a FIN, as GOST's is; the FIN comes with the end of both
//! directions. A peer that goes without a close_notify has ended all the same: gost's pipe does not
//! tell the two apart either, and what is carried (WebSocket frames, HTTP, SOCKS) has its own end.
//! So whoever can cut the connection can cut a stream of the plain listener `tls` short unnoticed,
//! as he could cut TCP.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{client, server};

use super::error::told;
use crate::io::{AsyncIo, Chunk, Ending, Io};

/// Bytes that a session encrypts at once. Its four records fit into one small buffer.
pub(super) const BUFFERED: usize = 64 * 1024;

macro_rules! io_of_tls {
    ($($stream:ident),*) => {
        $(
        impl<I: Io> Io for $stream::TlsStream<AsyncIo<I>> {
            fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
                let mut buf = ReadBuf::new(chunk.spare());
                let result = Pin::new(self).poll_read(cx, &mut buf);
                let read = buf.filled().len();
                match result {
                    Poll::Ready(Ok(())) => {
                        chunk.filled(read);
                        Poll::Ready(Ok(()))
                    }
                    Poll::Ready(Err(e)) => {
                        chunk.release();
                        Poll::Ready(match e.kind() {
                            io::ErrorKind::UnexpectedEof => Ok(()),
                            _ => Err(told(e)),
                        })
                    }
                    Poll::Pending => {
                        chunk.release();
                        Poll::Pending
                    }
                }
            }

            fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
                self.get_mut().0.get_mut().poll_room(cx)
            }

            fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
                while !chunk.is_empty() {
                    let written = ready!(Pin::new(&mut *self).poll_write(cx, chunk.data()));
                    match written.map_err(told)? {
                        0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        n => chunk.consume(n),
                    }
                }
                Poll::Ready(Ok(()))
            }

            fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(self).poll_flush(cx).map_err(told)
            }

            fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.get_mut().1.send_close_notify();
                Io::poll_flush(self, cx)
            }

            fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()> {
                if ready!(self.poll_close_write(cx)).is_err() {
                    return Poll::Ready(());
                }
                self.get_mut().0.get_mut().poll_end(cx, ending)
            }

            fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
                self.get_mut().0.get_mut().upkeep(cx)
            }

            fn peer_closed(&self) -> bool {
                self.get_ref().0.get_ref().peer_closed()
            }
        }
        )*
    };
}

io_of_tls!(client, server);
