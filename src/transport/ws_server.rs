//! The WebSocket side of a listening socket: HTTP/1.1, the upgrade, then the service whose host
//! and path match.
//!
//! hyper reads the request, axum carries it to one fallback (a tenant's path never becomes a route
//! pattern), our [`upgrade`] checks it against our table. After the 101 the raw socket is taken out
//! of hyper, with whatever hyper read too early.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1::{self, Parts};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::arrival::{self, Arriving, LAST_REQUEST};
use crate::config::model::WsListenerConfig;
use crate::io::{Accept, AsyncIo, Chunk, Io};
use crate::metrics::Metrics;
use crate::net::tls::{self, TlsServer};

mod limits;
mod names;
mod path;
mod policies;
mod reject;
mod session;
mod table;
mod upgrade;

pub use limits::Handshakes;
pub use table::WsTable;

use limits::Permit;
use names::RfcNames;
use policies::Policies;
use upgrade::{Opened, Upgrade};

/// From the connection's start to the end of its first request's headers, with PROXY header and TLS
/// handshake, and as long again for each further request; a service that is alone on its socket has
/// its `readHeaderTimeout` instead, unless it is a front port: there nobody's service says how long the
/// others' handshakes take. GOST has no limit of its own, and a slow client then holds a
/// socket forever.
const READ_HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// So many times that is all that a connection has to become a tunnel: until then it takes a place of
/// the process.
const TRIES: u32 = 6;

/// For the write of the 101, if the listener has no `handshakeTimeout`.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// For the farewell to who was refused.
const FAREWELL: Duration = Duration::from_secs(1);

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
    /// Clients without a server name may be shown its policy: it is no newcomer beside services of
    /// another namespace.
    pub first: bool,
}

/// What one listening socket does with its connections.
pub struct WsSocket {
    shared: Arc<Shared>,
    router: Router,
}

struct Shared {
    table: ArcSwap<WsTable>,
    handshakes: Arc<Handshakes>,
    /// Tenants share it.
    front: bool,
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
    /// The server name of its TLS handshake, and what that ran under.
    name: Option<String>,
    policy: Option<TlsServer>,
    /// Given back as soon as it becomes a tunnel: from then on the owner's limits count.
    permit: Mutex<Option<Permit>>,
    /// Its first request has come.
    asked: AtomicBool,
    /// The request that was answered with 101.
    upgrade: Mutex<Option<Upgrade>>,
}

impl Connection {
    fn new(peer: SocketAddr, local: SocketAddr, permit: Permit) -> Self {
        let (permit, upgrade) = (Mutex::new(Some(permit)), Mutex::new(None));
        let (named, name, policy) = (None, None, None);
        let asked = AtomicBool::new(false);
        Self { peer, named, local, name, policy, permit, asked, upgrade }
    }

    /// Returns when the 101 cannot be written in time. Poll it after what writes.
    async fn stuck(&self) {
        let within = |upgrade: &Upgrade| upgrade.handshake_timeout().unwrap_or(HANDSHAKE_TIMEOUT);
        let answered = poll_fn(|_| match self.upgrade.lock().as_ref() {
            Some(upgrade) => Poll::Ready(within(upgrade)),
            None => Poll::Pending,
        });
        tokio::time::sleep(answered.await).await;
    }
}

impl WsSocket {
    /// A socket that serves nothing yet; `front`: tenants share it. Upgrades run as tasks of `tracker`.
    pub fn new(
        handshakes: Arc<Handshakes>,
        front: bool,
        tracker: TaskTracker,
        metrics: &Metrics,
    ) -> Self {
        let shared = Arc::new(Shared {
            table: ArcSwap::from_pointee(WsTable::default()),
            handshakes,
            front,
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

    /// Serves one connection to its end, with the tunnel that it becomes. When its socket is given up,
    /// the request in hand or to come is its last one; that is nothing to the tunnel. Spawn it.
    pub async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, arriving: Arriving) {
        let Some(permit) = self.shared.handshakes.enter(peer.ip()) else {
            return self.shared.count("limited");
        };
        let opened = {
            let gone = permit.gone();
            // Boxed: an open tunnel must not carry the space of its handshake along.
            tokio::select! {
                biased;
                opened = Box::pin(self.clone().open(stream, peer, permit, &arriving)) => opened,
                () = gone.cancelled() => {
                    self.shared.count("displaced");
                    None
                }
            }
        };
        drop(arriving.stop);
        if let Some(opened) = opened {
            opened.serve(arriving.hold).await;
        }
    }

    /// Shakes hands.
    async fn open(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        permit: Permit,
        arriving: &Arriving,
    ) -> Option<Opened> {
        let began = Instant::now();
        let local = stream.local_addr().ok()?;
        let mut connection = Connection::new(peer, local, permit);
        let table = self.shared.table.load_full();
        let own = if self.shared.front { None } else { table.read_header_timeout() };
        let within = own.unwrap_or(READ_HEADER_TIMEOUT);
        // A timeout that no clock can show is none.
        let until = Instant::now().checked_add(within);
        let mut io = AsyncIo::new(stream);
        if table.reads_header_of(peer) {
            let named = tokio::select! {
                named = in_time(until, arrival::named_client(&mut io)) => named,
                () = arriving.late() => return None,
            };
            match named {
                None => {
                    self.shared.count("timeout");
                    return None;
                }
                Some(Ok(named)) => {
                    connection.named = named;
                    if let Some(client) = named.filter(|_| table.believes_header_of(peer))
                        && let Some(permit) = connection.permit.get_mut()
                        && !permit.is_of(client.ip())
                    {
                        self.shared.count("limited");
                        return None;
                    }
                }
                Some(Err(error)) => {
                    self.shared.count("failed");
                    tracing::debug!(%peer, %error, "no client behind the proxy");
                    return None;
                }
            }
        }
        let Some(policies) = table.policies() else {
            drop(table);
            let (upgrade, io, early) =
                self.requests(io, connection, (within, until), arriving).await?;
            let (early, stream) = io.into_parts(&early);
            upgrade.set_up(&stream);
            return Some(self.opened(upgrade, stream, early, began));
        };
        let shaking = tls::accept(io, |name| {
            connection.name = name.map(Into::into);
            connection.policy = Some(policies.pick(name).clone());
            connection.policy.clone()
        });
        let shaken = tokio::select! {
            shaken = in_time(until, Box::pin(shaking)) => shaken,
            () = arriving.late() => return None,
        };
        match shaken {
            Some(Ok(stream)) => {
                drop(table);
                let (upgrade, stream, early) =
                    self.requests(stream, connection, (within, until), arriving).await?;
                upgrade.set_up(stream.get_ref().0.get_ref());
                Some(self.opened(upgrade, stream, Chunk::from_slice(&early), began))
            }
            Some(Err(error)) => {
                self.shared.count("tls_failed");
                error.log(peer);
                None
            }
            None => {
                self.shared.count("timeout");
                None
            }
        }
    }

    /// Reads requests until an upgrade, or the end: the first one until then, each further one within
    /// the time.
    async fn requests<S>(
        &self,
        stream: S,
        connection: Connection,
        (within, until): (Duration, Option<Instant>),
        arriving: &Arriving,
    ) -> Option<(Upgrade, S, Bytes)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (peer, connection) = (connection.peer, Arc::new(connection));
        let (router, asking) = (self.router.clone(), connection.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            asking.asked.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(asking.clone());
            Box::pin(router.clone().oneshot(request.map(Body::new)))
        });
        let mut serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(within)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .title_case_headers(true)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(RfcNames::new(stream)), service);
        let result = tokio::select! {
            biased;
            result = poll_fn(|cx| serving.poll_without_shutdown(cx)) => result,
            () = too_late(within, until, &connection) => {
                self.shared.count("timeout");
                return None;
            }
            () = connection.stuck() => {
                self.shared.count("timeout");
                tracing::debug!(%peer, "no upgrade in time");
                return None;
            }
            () = arriving.stop.cancelled() => {
                // Who has not asked yet has just come, and found us listening.
                if connection.asked.load(Ordering::Relaxed) {
                    Pin::new(&mut serving).graceful_shutdown();
                }
                let last = poll_fn(|cx| serving.poll_without_shutdown(cx));
                // A request that is still on its way must not hold a drain up.
                tokio::time::timeout(LAST_REQUEST, last).await.ok()?
            }
        };
        if let Err(e) = result {
            self.shared.count(if e.is_timeout() { "timeout" } else { "failed" });
            tracing::debug!(%peer, error = %e, "a connection ended before its upgrade");
            return None;
        }
        let Parts { io, read_buf, .. } = serving.into_parts();
        let mut io = io.into_inner().into_inner();
        let upgrade = connection.upgrade.lock().take();
        if upgrade.is_none() {
            let _ = tokio::time::timeout(FAREWELL, io.shutdown()).await;
        }
        Some((upgrade?, io, read_buf))
    }

    fn opened(&self, upgrade: Upgrade, stream: impl Io, early: Chunk, began: Instant) -> Opened {
        self.shared.count("ok");
        self.shared.metrics.handshake_seconds.observe(began.elapsed().as_secs_f64());
        upgrade.opened(stream, early, self.shared.tracker.clone())
    }
}

impl Connection {
    /// Whether its handshake ran under this policy, or under the one that it has taken the place of:
    /// its name picks it now, and nobody was asked for less. A certificate that is renewed between a
    /// client's handshake and its request must not cost the request.
    fn is_under(&self, policy: &TlsServer, policies: Option<&Policies>) -> bool {
        self.policy.as_ref().is_some_and(|shaken| {
            let now = policies.map(|policies| policies.pick(self.name.as_deref()));
            shaken.is(policy) || shaken.asks_as(policy) && now.is_some_and(|now| now.is(policy))
        })
    }
}

/// What a future gives, unless it takes longer.
async fn in_time<T>(until: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match until {
        Some(until) => timeout_at(until, future).await.ok(),
        None => Some(future.await),
    }
}

/// Returns when a connection's first request has not come in time, or no request in all its time has
/// made it a tunnel.
async fn too_late(within: Duration, until: Option<Instant>, connection: &Connection) {
    let last = until.and_then(|until| until.checked_add(within.checked_mul(TRIES - 1)?));
    if let (Some(until), Some(last)) = (until, last) {
        sleep_until(until).await;
        if !connection.asked.load(Ordering::Relaxed) {
            return;
        }
        sleep_until(last).await;
        if connection.permit.lock().is_some() {
            return;
        }
    }
    std::future::pending().await
}

impl Shared {
    /// Counts by `adit_handshakes_total{result}`.
    fn count(&self, result: &'static str) {
        self.metrics.handshakes.with_label_values(&[result]).inc();
    }
}
