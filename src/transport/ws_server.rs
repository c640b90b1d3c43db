//! The WebSocket side of a listening socket: HTTP/1.1, the upgrade, then the service whose host
//! and path match.
//!
//! hyper reads the request, axum carries it to one fallback (a tenant's path never becomes a route
//! pattern), our [`upgrade`] checks it against our table. After the 101 the raw socket is taken out
//! of hyper, with whatever hyper read too early.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::arrival;
use crate::config::model::WsListenerConfig;
use crate::io::{Accept, AsyncIo};
use crate::metrics::Metrics;
use crate::net::tls::{self, TlsServer};

mod limits;
mod policies;
mod reject;
mod session;
mod table;
mod upgrade;

pub use limits::Handshakes;
pub use table::WsTable;

use limits::Permit;

/// From the connection's start to the end of its first request's headers, and as long again for
/// each further request. GOST has no limit of its own, and a slow client then holds a socket forever.
const READ_HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// For the request in hand when the socket is given up.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// The longest request head in bytes, and the most headers in it.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 100;

/// One service's claim on a listening socket.
pub struct WsEndpoint {
    /// Host, path and the rest of the listener.
    pub config: WsListenerConfig,
    /// Who gets the streams.
    pub accept: Arc<dyn Accept>,
    /// Built of the listener's TLS part. A socket's services have one all, or none.
    pub tls: Option<TlsServer>,
}

/// What one listening socket does with its connections.
pub struct WsSocket {
    shared: Arc<Shared>,
    router: Router,
}

struct Shared {
    table: ArcSwap<WsTable>,
    handshakes: Arc<Handshakes>,
    tracker: TaskTracker,
    metrics: Metrics,
}

/// One TCP connection, known to its requests.
struct Connection {
    /// The TCP peer.
    peer: SocketAddr,
    /// The client that a PROXY header named.
    named: Option<SocketAddr>,
    local: SocketAddr,
    /// What its TLS handshake ran under.
    policy: Option<TlsServer>,
    /// Given back as soon as the owner is known: from then on the owner's limits count.
    permit: Mutex<Option<Permit>>,
}

impl WsSocket {
    /// A socket that serves nothing yet. `handshakes` is the process's; upgrades run as tasks of
    /// `tracker`.
    pub fn new(handshakes: Arc<Handshakes>, tracker: TaskTracker, metrics: &Metrics) -> Self {
        let shared = Arc::new(Shared {
            table: ArcSwap::from_pointee(WsTable::default()),
            handshakes,
            tracker,
            metrics: metrics.clone(),
        });
        let router = Router::new().fallback(upgrade::serve).with_state(shared.clone());
        Self { shared, router }
    }

    /// Swaps the services; connections that wait for their request see the new ones.
    pub fn set(&self, table: WsTable) {
        self.shared.table.store(Arc::new(table));
    }

    /// Serves one connection until its upgrade, or its end. `stop` ends it after the request in
    /// hand. Spawn it.
    pub async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        stop: CancellationToken,
    ) {
        let Ok(local) = stream.local_addr() else { return };
        let Some(permit) = self.shared.handshakes.enter(peer.ip()) else {
            self.shared.count("limited");
            tracing::debug!(%peer, "too many handshakes in flight");
            return;
        };
        let permit = Mutex::new(Some(permit));
        let mut connection = Connection { peer, named: None, local, policy: None, permit };
        let table = self.shared.table.load_full();
        let mut io = AsyncIo::new(stream);
        if table.reads_header_of(peer) {
            let named = tokio::select! {
                named = arrival::named_client(&mut io) => named,
                () = stop.cancelled() => return,
            };
            match named {
                Ok(named) => connection.named = named,
                Err(error) => {
                    self.shared.count("failed");
                    return tracing::debug!(%peer, %error, "no client behind the proxy");
                }
            }
        }
        let Some(policies) = table.policies() else {
            drop(table);
            return self.requests(io, connection, stop).await;
        };
        let shaking = tls::accept(io, |name| {
            connection.policy = Some(policies.pick(name).clone());
            connection.policy.clone()
        });
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(READ_HEADER_TIMEOUT, shaking) => shaken,
            () = stop.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => {
                drop(table);
                self.requests(stream, connection, stop).await;
            }
            Ok(Err(error)) => {
                self.shared.count("tls_failed");
                error.log(peer);
            }
            Err(_) => self.shared.count("timeout"),
        }
    }

    /// Reads requests until an upgrade, or the end.
    async fn requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        connection: Connection,
        stop: CancellationToken,
    ) {
        let (peer, connection) = (connection.peer, Arc::new(connection));
        let router = self.router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(connection.clone());
            router.clone().oneshot(request.map(Body::new))
        });
        let timeout = self.shared.table.load().read_header_timeout().unwrap_or(READ_HEADER_TIMEOUT);
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .title_case_headers(true)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut serving = pin!(serving);
        let result = tokio::select! {
            result = serving.as_mut() => result,
            () = stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                // A request that is still on its way must not hold a drain up.
                match tokio::time::timeout(LAST_REQUEST, serving).await {
                    Ok(result) => result,
                    Err(_) => return,
                }
            }
        };
        if let Err(e) = result {
            self.shared.count(if e.is_timeout() { "timeout" } else { "failed" });
            tracing::debug!(%peer, error = %e, "a connection ended before its upgrade");
        }
    }
}

impl Shared {
    /// Counts by `adit_handshakes_total{result}`.
    fn count(&self, result: &'static str) {
        self.metrics.handshakes.with_label_values(&[result]).inc();
    }
}
