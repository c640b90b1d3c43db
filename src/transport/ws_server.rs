//! The WebSocket side of a listening socket.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::model::WsListenerConfig;
use crate::io::Accept;
use crate::metrics::Metrics;

mod limits;
mod table;

pub use limits::Handshakes;
pub use table::WsTable;

/// One service's claim on a listening socket.
pub struct WsEndpoint {
    /// Host, path and the rest of the listener.
    pub config: WsListenerConfig,
    /// Who gets the streams.
    pub accept: Arc<dyn Accept>,
}

/// What one listening socket does with its connections: HTTP/1.1, the upgrade, then the service
/// whose host and path match.
pub struct WsSocket {
    table: ArcSwap<WsTable>,
    handshakes: Arc<Handshakes>,
    tracker: TaskTracker,
    metrics: Metrics,
}

impl WsSocket {
    /// A socket that serves nothing yet. `handshakes` is the process's; upgrades run as tasks of
    /// `tracker`.
    pub fn new(handshakes: Arc<Handshakes>, tracker: TaskTracker, metrics: &Metrics) -> Self {
        Self {
            table: ArcSwap::from_pointee(WsTable::default()),
            handshakes,
            tracker,
            metrics: metrics.clone(),
        }
    }

    /// Swaps the services; connections that wait for their request see the new ones.
    pub fn set(&self, table: WsTable) {
        self.table.store(Arc::new(table));
    }

    /// Serves one connection until its upgrade, or its end. `stop` ends it after the request in
    /// hand. Spawn it.
    pub async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        stop: CancellationToken,
    ) {
        let _ = (stream, peer, stop, &self.handshakes, &self.tracker, &self.metrics);
    }
}
