//! A stream that counts: plain forwarding has no pipe whose bytes could be counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use crate::io::{BoxIo, Chunk, Ending, Io};
use crate::metrics::ServiceMetrics;

/// Bytes so far, heads of requests and responses included.
#[derive(Default)]
pub(super) struct Count {
    pub(super) up: AtomicU64,
    pub(super) down: AtomicU64,
}

/// A stream to a target that counts what goes through it.
pub(super) struct Counted {
    pub(super) io: BoxIo,
    pub(super) count: Arc<Count>,
    pub(super) metrics: ServiceMetrics,
    /// The payload of the chunk that is being written.
    pub(super) writing: u64,
}

impl Io for Counted {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        ready!(self.io.poll_read(cx, chunk))?;
        let n = chunk.len() as u64;
        self.count.down.fetch_add(n, Ordering::Relaxed);
        self.metrics.bytes_down.inc_by(n);
        Poll::Ready(Ok(()))
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_room(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if self.writing == 0 {
            self.writing = chunk.len() as u64;
        }
        ready!(self.io.poll_write(cx, chunk))?;
        let n = std::mem::take(&mut self.writing);
        self.count.up.fetch_add(n, Ordering::Relaxed);
        self.metrics.bytes_up.inc_by(n);
        Poll::Ready(Ok(()))
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
        self.io.peer_closed()
    }
}
