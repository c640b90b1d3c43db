//! One socket, many sources: the datagrams of each source address are a stream.
//!
//! As in GOST a source is known by its first datagram. Everything that a source can make us keep is
//! bounded: datagrams that wait, sources whose first datagram still waits, sources in all.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Dropped, canonical};
use crate::config::model::UdpListenerConfig;
use crate::io::memory::{Account, STEP, Share};
use crate::io::{Accept, Inbound};
use crate::metrics::ServiceMetrics;

mod source;
#[cfg(test)]
mod tests;

use source::{Queue, Source, SourceIo};

/// Sources of one listener that may have a stream at the same time. GOST has no bound.
pub const MAX_SOURCES: usize = 4096;

/// Bytes of one listener that may wait for their streams to read them.
const MAX_WAITING: usize = 16 * 1024 * 1024;

/// The pause after an error that would come again at once.
const PAUSE: Duration = Duration::from_millis(200);

/// Who takes the streams of new sources, and by which rules.
pub struct Taker {
    /// The service.
    pub accept: Arc<dyn Accept>,
    /// Its listener's configuration.
    pub config: UdpListenerConfig,
    /// Where to count what is dropped.
    pub metrics: ServiceMetrics,
    /// Where what waits counts.
    pub memory: Share,
}

/// What the listener and its streams share.
struct Shared {
    socket: UdpSocket,
    local: SocketAddr,
    /// The sources whose datagrams go to a stream.
    sources: Mutex<HashMap<SocketAddr, Arc<Source>>>,
    /// Streams, also those to which no datagram goes any more.
    streams: AtomicUsize,
    /// Streams of which nothing was read yet.
    untouched: AtomicUsize,
    /// Bytes that wait.
    waiting: AtomicUsize,
    /// How many of them are counted for the process, and in which account.
    told: AtomicUsize,
    memory: Mutex<Account>,
    /// A stream has ended.
    ended: Notify,
}

/// Receives until `stop` is cancelled, then goes on for the sources that have a stream until they
/// have none: they share the socket, and with it the port. `taker` is asked about each new source.
pub async fn run(
    socket: UdpSocket,
    stop: CancellationToken,
    taker: impl Fn() -> Option<Arc<Taker>> + Send,
) {
    let Ok(local) = socket.local_addr() else { return };
    let shared = Arc::new(Shared {
        socket,
        local,
        sources: Mutex::default(),
        streams: AtomicUsize::new(0),
        untouched: AtomicUsize::new(0),
        waiting: AtomicUsize::new(0),
        told: AtomicUsize::new(0),
        memory: Mutex::new(taker().map(|taker| taker.memory.open()).unwrap_or_default()),
        ended: Notify::new(),
    });
    // What fits into no stream's buffer is cut off where it is known how long that is.
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let mut stopping = false;
    while !stopping || shared.streams.load(Ordering::Acquire) > 0 {
        let received = tokio::select! {
            biased;
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                continue;
            }
            () = shared.ended.notified(), if stopping => continue,
            received = shared.socket.recv_from(&mut buffer) => received,
            () = poll_fn(|cx| shared.memory.lock().poll_shed(cx)) => {
                let Some(taker) = taker() else { continue };
                shared.shed(&taker);
                continue;
            }
        };
        match received {
            Ok((0, _)) => {}
            Ok((length, from)) => {
                let datagram = buffer.get(..length).unwrap_or_default();
                let Some(taker) = taker() else { continue };
                if let Err(why) = shared.take(datagram, from, &taker, stopping) {
                    taker.metrics.datagram_dropped(why.as_str());
                }
            }
            Err(e) => {
                tracing::debug!(%local, error = %e, "cannot receive; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Shared {
    fn take(
        self: &Arc<Self>,
        datagram: &[u8],
        from: SocketAddr,
        taker: &Taker,
        stopping: bool,
    ) -> Result<(), Dropped> {
        let longest = usize::try_from(taker.config.read_buffer_size).unwrap_or(usize::MAX);
        let datagram = datagram.get(..longest).unwrap_or(datagram);
        let known = self.sources.lock().get(&from).cloned();
        if let Some(source) = known {
            return self.queue(&source, datagram, taker);
        }
        if stopping {
            return Ok(());
        }
        if self.streams.load(Ordering::Acquire) >= MAX_SOURCES {
            return Err(Dropped::Sources);
        }
        let backlog = usize::try_from(taker.config.backlog).unwrap_or(usize::MAX);
        if self.untouched.load(Ordering::Acquire) >= backlog {
            return Err(Dropped::Backlog);
        }
        let source = Arc::new(Source { addr: from, queue: Mutex::new(Queue::default()) });
        self.queue(&source, datagram, taker)?;
        self.sources.lock().insert(from, source.clone());
        let io = Box::new(SourceIo::new(self.clone(), source, !taker.config.keepalive));
        taker.accept.accept(Inbound { io, peer: canonical(from), local: canonical(self.local) });
        Ok(())
    }

    fn queue(&self, source: &Source, datagram: &[u8], taker: &Taker) -> Result<(), Dropped> {
        let places = usize::try_from(taker.config.read_queue_size).unwrap_or(usize::MAX);
        let waiting = self.waiting.fetch_add(datagram.len(), Ordering::AcqRel);
        let queued = waiting + datagram.len() <= MAX_WAITING && source.push(datagram, places);
        if !queued {
            self.waiting.fetch_sub(datagram.len(), Ordering::AcqRel);
            return Err(Dropped::Queue);
        }
        self.tell();
        Ok(())
    }

    /// Counts what waits for the process, if that has changed by much.
    fn tell(&self) {
        let (waiting, told) =
            (self.waiting.load(Ordering::Acquire), self.told.load(Ordering::Acquire));
        if waiting.abs_diff(told) >= STEP || waiting == 0 && told > 0 {
            let mut memory = self.memory.lock();
            memory.hold(waiting);
            self.told.store(waiting, Ordering::Release);
        }
    }

    /// Drops what waits: others need its room.
    fn shed(&self, taker: &Taker) {
        let sources: Vec<_> = self.sources.lock().values().cloned().collect();
        for source in sources {
            let (datagrams, bytes) = source.clear();
            self.waiting.fetch_sub(bytes, Ordering::AcqRel);
            for _ in 0..datagrams {
                taker.metrics.datagram_dropped(Dropped::Queue.as_str());
            }
        }
        let mut memory = self.memory.lock();
        *memory = taker.memory.open();
        self.told.store(0, Ordering::Release);
    }
}
