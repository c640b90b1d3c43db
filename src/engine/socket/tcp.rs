//! A bound TCP port and what its connections become.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Surroundings;
use crate::base::ListenAddr;
use crate::engine::layout::Content;
use crate::engine::service::{Service, Services};
use crate::metrics::Metrics;
use crate::net::{accept, listen};
use crate::transport::tcp_server::TcpEndpoint;
use crate::transport::ws_server::{Handshakes, WsEndpoint, WsSocket, WsTable};
use crate::transport::{Arriving, Trust};

/// A listening socket. Dropping it gives the address back; connections that were accepted live on.
pub(in crate::engine) struct TcpSocket {
    local: SocketAddr,
    dispatch: Arc<ArcSwap<Dispatch>>,
    ws: Arc<WsSocket>,
    stop: CancellationToken,
    tracker: TaskTracker,
    arriving: TaskTracker,
    handshakes: Arc<Handshakes>,
    metrics: Metrics,
    /// A front port that speaks TLS, whoever is on it.
    tls_front: bool,
    /// Bound, and not accepting before it is known what connections become.
    idle: Option<TcpListener>,
}

/// Where new connections go.
enum Dispatch {
    Tcp(Arc<Service>, TcpEndpoint),
    /// With the service, if there is just one: then its gates stand before the handshake too.
    Ws(Arc<WsSocket>, Option<(Arc<Service>, Trust)>),
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl TcpSocket {
    /// Takes the address. Connections wait in the kernel's backlog for the first
    /// [`route`](Self::route).
    pub(super) fn bind(
        addr: &ListenAddr,
        around: &Surroundings,
    ) -> Result<Self, listen::BindError> {
        let listener = listen::bind(addr)?;
        let local = listener.local_addr().map_err(|e| listen::BindError::new(addr, e))?;
        let handshakes = around.handshakes_of(addr);
        let (front, tracker) = (around.is_front(addr), around.tracker.clone());
        let ws = WsSocket::new(handshakes.clone(), front, tracker, &around.metrics);
        let ws = Arc::new(ws);
        Ok(Self {
            local,
            dispatch: Arc::new(ArcSwap::from_pointee(Dispatch::Ws(ws.clone(), None))),
            ws,
            stop: CancellationToken::new(),
            tracker: around.tracker.clone(),
            arriving: around.arriving.clone(),
            handshakes,
            metrics: around.metrics.clone(),
            tls_front: around.is_tls_front(addr),
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
                let (keepalive, tls) = (config.keepalive.clone(), service.tls());
                let endpoint = TcpEndpoint { keepalive, trust: Trust::from(config), tls };
                self.dispatch.store(Arc::new(Dispatch::Tcp(service, endpoint)));
            }
            Content::Ws(wanted) => {
                let unowned = match self.tls_front.then(|| services.unowned_tls()).transpose() {
                    Ok(unowned) => unowned,
                    // Rather nobody than somebody without TLS.
                    Err(why) => return tracing::error!(local = %self.local, "no TLS: {why}"),
                };
                let endpoint = |(key, config): (&_, &_)| {
                    let (config, accept) = (Clone::clone(config), services.get(key)?);
                    let tls = accept.tls();
                    let first = wanted.first.is_empty() || wanted.first.contains(key);
                    Some(WsEndpoint { config, accept, tls, first })
                };
                let endpoints = wanted.services.iter().filter_map(endpoint).collect();
                self.ws.set(WsTable::build(endpoints, unowned));
                let only = match wanted.services.first_key_value() {
                    Some((key, config)) if wanted.services.len() == 1 => {
                        services.get(key).map(|service| (service, Trust::from(config)))
                    }
                    _ => None,
                };
                self.dispatch.store(Arc::new(Dispatch::Ws(self.ws.clone(), only)));
            }
            // Of another medium.
            Content::Udp(..) | Content::Remote(..) => return,
        }
        if let Some(listener) = self.idle.take() {
            self.accept(listener);
        }
    }

    fn accept(&self, listener: TcpListener) {
        let dispatch = self.dispatch.clone();
        let (tracker, stop) = (self.tracker.clone(), self.stop.clone());
        let arrives = self.arriving.clone();
        let (handshakes, metrics) = (self.handshakes.clone(), self.metrics.clone());
        let arriving = move || Arriving { stop: stop.clone(), hold: arrives.token() };
        let on_connection = move |stream, peer| match &**dispatch.load() {
            Dispatch::Tcp(service, endpoint) if !admitted(service, &endpoint.trust, peer) => {}
            Dispatch::Tcp(service, endpoint) if endpoint.waits(peer) => {
                let (endpoint, service) = (endpoint.clone(), service.clone());
                let (handshakes, metrics) = (handshakes.clone(), metrics.clone());
                let arriving = arriving();
                tracker
                    .spawn(endpoint.arrive(stream, peer, service, handshakes, metrics, arriving));
            }
            Dispatch::Tcp(service, endpoint) => endpoint.direct(stream, peer, &**service),
            Dispatch::Ws(_, Some((service, trust))) if !admitted(service, trust, peer) => {}
            Dispatch::Ws(socket, _) => {
                tracker.spawn(socket.clone().serve(stream, peer, arriving()));
            }
        };
        let accepting = accept::run(listener, self.stop.clone(), on_connection);
        self.tracker.spawn(self.arriving.track_future(accepting));
    }
}

/// Whether a connection may say its first byte. A trusted proxy may: its client is judged once it is
/// known who that is.
fn admitted(service: &Service, trust: &Trust, peer: SocketAddr) -> bool {
    trust.proxy(peer) || service.admits(peer)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::config::model::{ListenerConfig, ServiceConfig, WsListenerConfig};
    use crate::engine::WsServices;
    use crate::engine::tests::{Doubles, forward};
    use crate::engine::{Front, Ports};
    use crate::io::AsyncIo;

    #[tokio::test]
    async fn who_comes_before_the_route_is_served_by_it() {
        let (doubles, mut targets) = Doubles::new();
        let mut services = doubles.services();
        let (tracker, metrics) = (services.tracker.clone(), services.metrics.clone());
        let around = Surroundings::new(&Ports::default(), tracker, metrics);
        let mut socket = TcpSocket::bind(&"127.0.0.1:0".parse().unwrap(), &around).unwrap();
        let mut client = AsyncIo::new(doubles.connect(socket.local()).await);
        client.write_all(b"hello").await.unwrap();
        client.flush().await.unwrap();
        // Lets whoever may already accept do so.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let (key, config) = forward();
        services.prepare(&key, &config).unwrap();
        services.set(&key, &config);
        socket.route(&Content::Tcp(key, Default::default()), &services);
        let mut heard = [0; 5];
        let target = tokio::time::timeout(Duration::from_secs(10), targets.recv()).await;
        target.unwrap().unwrap().read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[tokio::test]
    async fn what_is_slow_on_a_tunnel_s_own_port_takes_no_handshake_of_the_front() {
        let (doubles, _targets) = Doubles::new();
        let services = doubles.services();
        let (tracker, metrics) = (services.tracker.clone(), services.metrics.clone());
        let front: ListenAddr = "127.0.0.1:8080".parse().unwrap();
        let ports = Ports {
            fronts: vec![Front { addr: front.clone(), tls: false }],
            handshakes: Some(100),
            handshakes_of_source: Some(2),
            ..Default::default()
        };
        let around = Surroundings::new(&ports, tracker, metrics);
        let own = around.handshakes_of(&"127.0.0.1:9000".parse().unwrap());
        let from = |i: u8| std::net::IpAddr::from([192, 0, 2, i]);
        let slow: Vec<_> = (0..=255).map_while(|i| own.enter(from(i))).collect();
        assert_eq!(slow.len(), 128);
        let next_own = around.handshakes_of(&"127.0.0.1:9001".parse().unwrap());
        for others in [around.handshakes_of(&front), next_own] {
            let _two = [(); 2].map(|()| others.enter(from(1)).unwrap());
            assert!(others.enter(from(1)).is_none(), "so many of one source");
        }
        let text = services.metrics.encode().unwrap();
        assert!(text.contains("bound=\"port_handshakes\"} 1"), "{text}");
    }

    /// How long a client that says nothing is waited for, on a socket of one service.
    async fn waits(front: bool, read_header_timeout: Duration) -> Duration {
        let (doubles, _targets) = Doubles::new();
        let mut services = doubles.services();
        let (tracker, metrics) = (services.tracker.clone(), services.metrics.clone());
        let addr: ListenAddr = "127.0.0.1:0".parse().unwrap();
        let other = ListenAddr::port(8080);
        let fronts = vec![Front { addr: if front { addr.clone() } else { other }, tls: false }];
        let around = Surroundings::new(&Ports { fronts, ..Ports::default() }, tracker, metrics);
        let mut socket = TcpSocket::bind(&addr, &around).unwrap();
        let ws = WsListenerConfig {
            read_header_timeout: Some(read_header_timeout),
            ..WsListenerConfig::default()
        };
        let (key, config) = forward();
        let listener = ListenerConfig::Ws(ws.clone());
        let config = Arc::new(ServiceConfig { listener, ..(*config).clone() });
        services.prepare(&key, &config).unwrap();
        services.set(&key, &config);
        let mut content = WsServices::default();
        content.add(&key, &ws, front);
        socket.route(&Content::Ws(content), &services);
        let mut client = AsyncIo::new(doubles.connect(socket.local()).await);
        let began = tokio::time::Instant::now();
        assert!(client.read_u8().await.is_err());
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn no_service_says_how_long_a_handshake_on_the_front_takes() {
        let year = Duration::from_secs(8760 * 3600);
        for own in [year, Duration::from_secs(20), Duration::from_secs(1)] {
            assert_eq!(waits(true, own).await.as_secs(), 10, "{own:?}");
        }
        assert_eq!(waits(false, Duration::from_secs(20)).await.as_secs(), 20, "its own port");
    }
}
