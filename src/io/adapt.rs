//! An `Io` as tokio's traits, for handshakes and for hyper.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{BoxIo, Chunk, Io, Prefixed};

/// An [`Io`] with tokio's `AsyncRead` and `AsyncWrite`. Copies: use it for exchanges, not for bulk.
///
/// What one `write` takes leaves as one [`Io::poll_write`], so as one WebSocket message.
pub struct AsyncIo {
    io: BoxIo,
    read: Chunk,
    write: Chunk,
}

impl AsyncIo {
    /// Wraps a stream.
    pub fn new(io: BoxIo) -> Self {
        Self { io, read: Chunk::new(), write: Chunk::new() }
    }

    /// The stream again, with `leftover` and then what was read and not taken put back before it.
    /// Flush first: what was not yet written is lost.
    pub fn into_io(self, leftover: &[u8]) -> BoxIo {
        if leftover.is_empty() && self.read.is_empty() {
            return self.io;
        }
        let prefix = if leftover.is_empty() {
            self.read
        } else {
            Chunk::from_slice(&[leftover, self.read.data()].concat())
        };
        Box::new(Prefixed::new(prefix, self.io))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.io.poll_write(cx, &mut self.write)
    }
}

impl AsyncRead for AsyncIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.io.upkeep(cx)?;
        if this.read.is_empty() {
            ready!(this.io.poll_read(cx, &mut this.read))?;
        }
        let n = this.read.len().min(buf.remaining());
        buf.put_slice(this.read.data().get(..n).unwrap_or_default());
        this.read.consume(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for AsyncIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_drain(cx))?;
        let n = this.write.append(buf);
        // Taken is taken: whatever the stream does not accept now leaves with the next call.
        match this.poll_drain(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(n)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        self.io.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        self.io.poll_close_write(cx)
    }
}
