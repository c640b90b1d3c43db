//! An `Io` as tokio's traits, for handshakes and for hyper.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{BoxIo, Chunk, Io, Prefixed};

/// What a client may say before it is answered, in bytes, and still be heard leaving.
const EARLY: usize = 16 * 1024;

/// An [`Io`] with tokio's `AsyncRead` and `AsyncWrite`. Copies: use it for exchanges, not for bulk.
///
/// What one `write` takes leaves as one [`Io::poll_write`], so as one WebSocket message.
pub struct AsyncIo<I = BoxIo> {
    io: I,
    read: Chunk,
    write: Chunk,
}

impl AsyncIo {
    /// The stream again, with `leftover` and then what was read and not taken put back before it.
    /// Flush first: what was not yet written is lost.
    pub fn into_io(self, leftover: &[u8]) -> BoxIo {
        let (early, io) = self.into_parts(leftover);
        if early.is_empty() { io } else { Box::new(Prefixed::new(early, io)) }
    }
}

impl<I: Io> AsyncIo<I> {
    /// Wraps a stream.
    pub fn new(io: I) -> Self {
        Self { io, read: Chunk::new(), write: Chunk::new() }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &I {
        &self.io
    }

    /// The stream below. What is read from it here overtakes what was read and not taken.
    pub fn get_mut(&mut self) -> &mut I {
        &mut self.io
    }

    /// The next read gives these bytes, then what was read and not taken.
    pub fn put_back(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.read = Chunk::from_slice(&[bytes, self.read.data()].concat());
        }
    }

    /// `leftover` and what was read and not taken, and the stream below.
    /// Flush first: what was not yet written is lost.
    pub fn into_parts(mut self, leftover: &[u8]) -> (Chunk, I) {
        self.put_back(leftover);
        (self.read, self.io)
    }

    /// What comes next, without taking it: empty is the end. Dropped before it is ready, it loses
    /// nothing.
    ///
    /// # Errors
    /// The stream below broke.
    pub async fn peek(&mut self) -> io::Result<&[u8]> {
        if self.read.is_empty() {
            poll_fn(|cx| self.io.poll_read(cx, &mut self.read)).await?;
        }
        Ok(self.read.data())
    }

    /// Returns when the peer has ended both directions, or has broken off. One that has only finished
    /// sending may still want an answer: its FIN is no departure. What it sends is kept for the next
    /// read, up to [`EARLY`] bytes and what comes with the last of them; behind that a departure
    /// shows with the next write. Dropped before it is ready, it loses nothing.
    pub async fn departed(&mut self) -> io::Error {
        let mut finished = false;
        poll_fn(|cx| {
            if let Err(e) = self.io.upkeep(cx) {
                return Poll::Ready(e);
            }
            while !finished && self.read.len() < EARLY {
                let mut more = Chunk::new();
                match ready!(self.io.poll_read(cx, &mut more)) {
                    Err(e) => return Poll::Ready(e),
                    Ok(()) if more.is_empty() && self.io.peer_closed() => {
                        return Poll::Ready(io::ErrorKind::ConnectionAborted.into());
                    }
                    Ok(()) if more.is_empty() => finished = true,
                    Ok(()) if self.read.is_empty() => self.read = more,
                    Ok(()) => {
                        self.read = Chunk::from_slice(&[self.read.data(), more.data()].concat());
                    }
                }
            }
            Poll::Pending
        })
        .await
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.io.poll_write(cx, &mut self.write)
    }
}

impl<I: Io> AsyncRead for AsyncIo<I> {
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

impl<I: Io> AsyncWrite for AsyncIo<I> {
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

    /// Many small pieces (the records of TLS) leave as one write.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_drain(cx))?;
        let mut taken = 0;
        for buf in bufs {
            let n = this.write.append(buf);
            taken += n;
            if n < buf.len() {
                break;
            }
        }
        match this.poll_drain(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
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
