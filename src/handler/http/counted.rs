//! A stream that counts: plain forwarding has no pipe whose bytes could be counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::io::{BoxIo, Chunk, Ending, Io};
use crate::metrics::ServiceMetrics;

/// Bytes so far, heads of requests and responses included, and when the last one moved.
pub(super) struct Count {
    pub(super) up: AtomicU64,
    pub(super) down: AtomicU64,
    began: Instant,
    /// In milliseconds since it began.
    moved: AtomicU64,
    /// A target is dialled: that has limits of its own.
    dialling: AtomicBool,
}

impl Count {
    pub(super) fn new() -> Self {
        let (up, down, moved, dialling) = Default::default();
        Self { up, down, began: Instant::now(), moved, dialling }
    }

    fn moved(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    /// Whether the client waits for a connection now.
    pub(super) fn dialling(&self, dialling: bool) {
        self.dialling.store(dialling, Ordering::Relaxed);
        self.moved();
    }

    /// Returns when nothing has moved for so long.
    pub(super) async fn silent(&self, idle: Option<Duration>) {
        let Some(idle) = idle else { return std::future::pending().await };
        loop {
            if self.dialling.load(Ordering::Relaxed) {
                self.moved();
            }
            let last = self.began + Duration::from_millis(self.moved.load(Ordering::Relaxed));
            // A time that no clock can show never comes.
            let Some(due) = last.checked_add(idle) else { return std::future::pending().await };
            if Instant::now() >= due {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }
}

/// A client's stream, whose movements are noticed.
pub(super) struct Watched {
    pub(super) io: BoxIo,
    pub(super) count: Arc<Count>,
}

impl Io for Watched {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        ready!(self.io.poll_read(cx, chunk))?;
        self.count.moved();
        Poll::Ready(Ok(()))
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_room(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        let before = chunk.len();
        let written = self.io.poll_write(cx, chunk);
        if chunk.len() != before {
            self.count.moved();
        }
        written
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
        self.count.moved();
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
        let before = chunk.len();
        let written = self.io.poll_write(cx, chunk);
        if chunk.len() != before {
            self.count.moved();
        }
        ready!(written)?;
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
