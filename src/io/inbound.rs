//! A stream that a client opened, and who takes it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::BoxIo;
use super::memory::Share;
use crate::metrics::ServiceMetrics;

/// A stream that a client opened: a TCP connection, a WebSocket after its 101, or one of many in it.
pub struct Inbound {
    /// The stream.
    pub io: BoxIo,
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address, as the client sees it on this connection.
    pub local: SocketAddr,
}

/// A stream that is served.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes streams: the engine's service behind a listener.
pub trait Accept: Send + Sync + 'static {
    /// Takes a stream and returns at once; serving it is a task of its own.
    fn accept(&self, inbound: Inbound);

    /// Takes a stream and serves it to its end in the task that waits for it, unless it is
    /// [`accept`](Self::accept)ed.
    fn serve(&self, inbound: Inbound) -> Serving {
        self.accept(inbound);
        Box::pin(std::future::ready(()))
    }

    /// Asks to come in with a connection, once it is known whose client it is and what service it
    /// wants: `None` says no. All streams of the connection go to what is returned, which counts
    /// the connection while it lives.
    fn session(self: Arc<Self>, peer: SocketAddr) -> Option<Arc<dyn Accept>>;

    /// What a connection of many streams has to know beside them.
    fn surroundings(&self) -> Surroundings;
}

/// What a connection of many streams has to know of the service that takes them.
pub struct Surroundings {
    /// The service takes no new connections: one without streams is to end.
    pub stop: CancellationToken,
    /// The time is up: end at once.
    pub cut: CancellationToken,
    /// While it is held, the service is not through.
    pub hold: TaskTrackerToken,
    /// Where to count.
    pub metrics: ServiceMetrics,
    /// Where what waits in it counts.
    pub memory: Share,
    /// For one more stream to be taken.
    pub places: Arc<Semaphore>,
    /// Ready when the connection is to end because others need what it holds.
    pub over: Serving,
}
