//! A stream of which something was read too early.

use std::io;
use std::task::{Context, Poll};

use super::{Chunk, Ending, Io};

/// Gives back `prefix` before it reads on.
pub struct Prefixed<I> {
    prefix: Chunk,
    io: I,
}

impl<I: Io> Prefixed<I> {
    /// Puts `prefix` before what `io` has yet to say.
    pub fn new(prefix: Chunk, io: I) -> Self {
        Self { prefix, io }
    }
}

impl<I: Io> Io for Prefixed<I> {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return self.io.poll_read(cx, chunk);
        }
        *chunk = std::mem::take(&mut self.prefix);
        Poll::Ready(Ok(()))
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_room(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        self.io.poll_write(cx, chunk)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx)
    }

    fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_close_write(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()> {
        self.io.poll_end(cx, ending)
    }

    fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.io.upkeep(cx)
    }

    fn peer_closed(&self) -> bool {
        self.prefix.is_empty() && self.io.peer_closed()
    }
}
