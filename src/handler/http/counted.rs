//! A stream that counts: plain forwarding has no pipe whose bytes could be counted.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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

/// How long a client may take to hear our last word.
const LINGER: Duration = Duration::from_secs(1);

/// A client's stream once nobody serves it any more.
#[derive(Clone, Default)]
pub(super) struct Left(Arc<Mutex<Option<BoxIo>>>);

impl Left {
    /// Ends the stream. What the client still sends is read away for a moment: a socket that is
    /// dropped with unread bytes sends a reset, which would overtake the response (RFC 9112 section
    /// 9.6).
    pub(super) async fn linger(&self, stop: &CancellationToken) {
        let Some(mut io) = self.0.lock().take() else { return };
        let reads_away = async {
            poll_fn(|cx| io.poll_close_write(cx)).await?;
            loop {
                let mut chunk = Chunk::new();
                poll_fn(|cx| io.poll_read(cx, &mut chunk)).await?;
                if chunk.is_empty() {
                    return io::Result::Ok(());
                }
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(LINGER, reads_away) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// A client's stream, whose movements are noticed. When it is dropped, what it was is left.
pub(super) struct Watched {
    io: Option<BoxIo>,
    count: Arc<Count>,
    left: Left,
    /// What was read while hyper reads nothing.
    early: Chunk,
    /// The client has finished sending, and may still be there.
    finished: bool,
}

impl Watched {
    pub(super) fn new(io: BoxIo, count: Arc<Count>, left: Left) -> Self {
        Self { io: Some(io), count, left, early: Chunk::new(), finished: false }
    }

    /// Whether the client is still there: hyper does not look while a response is to come.
    fn notice(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(io) = &mut self.io else { return Err(io::ErrorKind::NotConnected.into()) };
        io.upkeep(cx)?;
        if !self.finished && self.early.is_empty() && io.poll_read(cx, &mut self.early)?.is_ready()
        {
            self.finished = self.early.is_empty();
        }
        match self.finished && io.peer_closed() {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        *self.left.0.lock() = self.io.take();
    }
}

impl Io for Watched {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        self.notice(cx)?;
        if self.early.is_empty() && !self.finished {
            return Poll::Pending;
        }
        *chunk = std::mem::take(&mut self.early);
        self.count.moved();
        Poll::Ready(Ok(()))
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.as_mut().map_or(Poll::Ready(()), |io| io.poll_room(cx))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else { return gone() };
        let before = chunk.len();
        let written = io.poll_write(cx, chunk);
        if chunk.len() != before {
            self.count.moved();
        }
        written
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper asks this each time, whether or not it reads.
        self.notice(cx)?;
        self.io.as_mut().map_or_else(gone, |io| io.poll_flush(cx))
    }

    fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.as_mut().map_or_else(gone, |io| io.poll_close_write(cx))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()> {
        self.io.as_mut().map_or(Poll::Ready(()), |io| io.poll_end(cx, ending))
    }

    fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.io.as_mut().map_or(Ok(()), |io| io.upkeep(cx))
    }

    fn peer_closed(&self) -> bool {
        self.io.as_ref().is_none_or(|io| io.peer_closed())
    }
}

/// Nothing is done with a stream that was left.
fn gone() -> Poll<io::Result<()>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

/// A stream to a target that counts what goes through it.
pub(super) struct Counted {
    pub(super) io: BoxIo,
    pub(super) count: Arc<Count>,
    pub(super) metrics: ServiceMetrics,
    /// The payload of the chunk that is being written.
    pub(super) writing: u64,
    /// It takes no more of the request. Its response may be on the way all the same.
    pub(super) deaf: bool,
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
        if self.deaf {
            chunk.consume(chunk.len());
            return Poll::Ready(Ok(()));
        }
        if self.writing == 0 {
            self.writing = chunk.len() as u64;
        }
        let before = chunk.len();
        let written = self.io.poll_write(cx, chunk);
        if chunk.len() != before {
            self.count.moved();
        }
        if let Err(error) = ready!(written) {
            // A server may answer before it has the whole request, and close (RFC 9112 section 9.5).
            tracing::debug!(%error, "the target takes no more of the request");
            self.deaf = true;
            chunk.consume(chunk.len());
            return Poll::Ready(Ok(()));
        }
        let n = std::mem::take(&mut self.writing);
        self.count.up.fetch_add(n, Ordering::Relaxed);
        self.metrics.bytes_up.inc_by(n);
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.deaf && ready!(self.io.poll_flush(cx)).is_err() {
            self.deaf = true;
        }
        Poll::Ready(Ok(()))
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
