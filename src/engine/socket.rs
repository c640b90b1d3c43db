//! A bound address and what its connections become.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::layout::Content;
use super::service::{Service, Services};
use crate::base::ListenAddr;
use crate::config::model::TcpKeepalive;
use crate::io::{Accept, Inbound};
use crate::metrics::Metrics;
use crate::net::dial::set_keepalive;
use crate::net::{accept, listen};
use crate::transport::ws_server::{Handshakes, WsEndpoint, WsSocket, WsTable};

/// Handshakes of the process, and of one source address (or /64), that may be in flight: a
/// tenant's limits cannot apply before Host and path say whose they are.
const HANDSHAKES: (usize, usize) = (1024, 64);

/// What every socket shares.
pub(super) struct Surroundings {
    handshakes: Arc<Handshakes>,
    tracker: TaskTracker,
    metrics: Metrics,
}

impl Surroundings {
    pub(super) fn new(tracker: TaskTracker, metrics: Metrics) -> Self {
        let (total, per_source) = HANDSHAKES;
        Self { handshakes: Handshakes::new(total, per_source), tracker, metrics }
    }
}

/// A listening socket. Dropping it gives the address back; connections that were accepted live on.
pub(super) struct Socket {
    local: SocketAddr,
    dispatch: Arc<ArcSwap<Dispatch>>,
    ws: Arc<WsSocket>,
    stop: CancellationToken,
    tracker: TaskTracker,
    /// Bound, and not accepting before it is known what connections become.
    idle: Option<TcpListener>,
}

/// Where new connections go.
enum Dispatch {
    Tcp(Arc<Service>, Option<TcpKeepalive>),
    Ws(Arc<WsSocket>),
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Socket {
    /// Takes the address. Connections wait in the kernel's backlog for the first
    /// [`route`](Self::route).
    pub(super) fn bind(
        addr: &ListenAddr,
        around: &Surroundings,
    ) -> Result<Self, listen::BindError> {
        let listener = listen::bind(addr)?;
        let local = listener.local_addr().map_err(|e| listen::BindError::new(addr, e))?;
        let handshakes = around.handshakes.clone();
        let ws = Arc::new(WsSocket::new(handshakes, around.tracker.clone(), &around.metrics));
        Ok(Self {
            local,
            dispatch: Arc::new(ArcSwap::from_pointee(Dispatch::Ws(ws.clone()))),
            ws,
            stop: CancellationToken::new(),
            tracker: around.tracker.clone(),
            idle: Some(listener),
        })
    }

    /// The address that the kernel gave.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends new connections, and new requests on open ones, to other services.
    pub(super) fn route(&mut self, content: &Content, services: &Services) {
        match content {
            Content::Tcp(key, config) => {
                let Some(service) = services.get(key) else { return };
                self.ws.set(WsTable::default());
                self.dispatch.store(Arc::new(Dispatch::Tcp(service, config.keepalive.clone())));
            }
            Content::Ws(wanted) => {
                let endpoint = |(key, config): (&_, &_)| {
                    Some(WsEndpoint { config: Clone::clone(config), accept: services.get(key)? })
                };
                self.ws.set(WsTable::build(wanted.iter().filter_map(endpoint).collect()));
                self.dispatch.store(Arc::new(Dispatch::Ws(self.ws.clone())));
            }
        }
        if let Some(listener) = self.idle.take() {
            self.accept(listener);
        }
    }

    fn accept(&self, listener: TcpListener) {
        let dispatch = self.dispatch.clone();
        let (tracker, stop) = (self.tracker.clone(), self.stop.clone());
        let on_connection = move |stream, peer| match &**dispatch.load() {
            Dispatch::Tcp(service, keepalive) => {
                accept_tcp(service, keepalive.as_ref(), stream, peer)
            }
            Dispatch::Ws(socket) => {
                tracker.spawn(socket.clone().serve(stream, peer, stop.clone()));
            }
        };
        self.tracker.spawn(accept::run(listener, self.stop.clone(), on_connection));
    }
}

fn accept_tcp(
    service: &Service,
    keepalive: Option<&TcpKeepalive>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let Ok(local) = stream.local_addr() else { return };
    if let Some(keepalive) = keepalive
        && let Err(error) = set_keepalive(&stream, keepalive)
    {
        tracing::debug!(%peer, %error, "cannot set keepalive");
    }
    service.accept(Inbound { io: Box::new(stream), peer, local });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::engine::tests::{Doubles, forward};
    use crate::io::AsyncIo;

    #[tokio::test]
    async fn who_comes_before_the_route_is_served_by_it() {
        let (doubles, mut targets) = Doubles::new();
        let mut services = doubles.services();
        let around = Surroundings::new(services.tracker.clone(), services.metrics.clone());
        let mut socket = Socket::bind(&"127.0.0.1:0".parse().unwrap(), &around).unwrap();
        let mut client = AsyncIo::new(doubles.connect(socket.local()).await);
        client.write_all(b"hello").await.unwrap();
        client.flush().await.unwrap();
        // Lets whoever may already accept do so.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let (key, config) = forward();
        services.set(&key, &config);
        socket.route(&Content::Tcp(key, Default::default()), &services);
        let mut heard = [0; 5];
        let target = tokio::time::timeout(Duration::from_secs(10), targets.recv()).await;
        target.unwrap().unwrap().read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }
}
