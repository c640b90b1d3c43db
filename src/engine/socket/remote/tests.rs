//! A node of the test's own at the other end, and a clock that only waits move.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::*;
use crate::base::Network;
use crate::config::model::{
    Admission, ChainConfig, ConnectorConfig, DialerConfig, Gates, HopConfig, ListenerConfig,
    MuxConfig, NodeConfig, RelayConnectorConfig, RtcpListenerConfig, Selector, ServiceConfig,
    Standing as NodeStanding,
};
use crate::engine::tests::{Doubles, forward};
use crate::engine::{Claim, Desired, DesiredSet, Engine, EngineOptions, Ports, ServiceState};
use crate::io::AsyncIo;
use crate::proto::relay::{Request, Response, command, status};
use crate::transport::mux::Opener;

/// `name@host`: of the chain, and of its node.
fn chain(name: &str) -> Arc<ChainConfig> {
    let addr = format!("{}:1", name.rsplit('@').next().unwrap());
    let node = NodeConfig {
        name: "node".into(),
        addr: addr.parse().unwrap(),
        addr_text: addr,
        dialer: DialerConfig::Tcp { tls: None, keepalive: None },
        connector: ConnectorConfig::Relay(RelayConnectorConfig::default()),
        bypasses: vec![],
        names: Default::default(),
        standing: NodeStanding::default(),
    };
    let selector = Selector::default();
    let hop =
        HopConfig { name: "hop".into(), selector, bypasses: vec![], nodes: vec![Arc::new(node)] };
    Arc::new(ChainConfig { name: name.into(), hops: vec![hop] })
}

/// A remote forward by the chain of this name.
fn remote(name: &str) -> (ServiceKey, Arc<ServiceConfig>) {
    let (key, config) = forward();
    let listener = RtcpListenerConfig { chain: chain(name), ..Default::default() };
    let listener = ListenerConfig::Rtcp(listener);
    (key, Arc::new(ServiceConfig { listener, ..(*config).clone() }))
}

/// A port, and whatever is dialled for it and for its streams.
struct World {
    port: RemotePort,
    services: Services,
    changed: Arc<Notify>,
    dialled: UnboundedReceiver<DuplexStream>,
}

impl World {
    fn new() -> Self {
        Self::gated(Gates::default())
    }

    fn gated(gates: Gates) -> Self {
        let (doubles, dialled) = Doubles::new();
        let mut services = doubles.services();
        let (tracker, metrics) = (services.tracker.clone(), services.metrics.clone());
        let around = Surroundings::new(&Ports::default(), tracker, metrics);
        let (key, config) = remote("first");
        let config = Arc::new(ServiceConfig { gates, ..(*config).clone() });
        services.prepare(&key, &config).unwrap();
        services.set(&key, &config);
        let id = crate::engine::SocketId {
            medium: crate::engine::Medium::Remote,
            addr: "127.0.0.1:2222".parse().unwrap(),
            owner: Some(key),
        };
        let changed = around.changed.clone();
        let port = RemotePort::new(&id, &around);
        let mut world = Self { port, services, changed, dialled };
        world.route("first");
        world
    }

    fn route(&mut self, chain: &str) {
        let (key, config) = remote(chain);
        let content = Content::Remote(key, RemoteBind::of(&config).unwrap());
        self.port.route(&content, &self.services);
    }

    /// The next connection to the node, which answers with this status.
    async fn node(&mut self, status: u8) -> DuplexStream {
        let mut node = self.dialled.recv().await.unwrap();
        answer(&mut node, status).await;
        self.changed.notified().await;
        node
    }

    async fn session(&mut self) -> Opener {
        Opener::start(Box::new(self.node(status::OK).await), MuxConfig::default())
    }

    /// Waits until the port stands as wanted.
    async fn stands(&mut self, wanted: Result<(), Reason>) {
        while self.port.standing().map(|_| ()).map_err(|(reason, _)| reason) != wanted {
            self.changed.notified().await;
        }
    }

    /// The target of a stream that has come.
    async fn target(&mut self) -> AsyncIo {
        AsyncIo::new(Box::new(self.dialled.recv().await.unwrap()))
    }
}

/// Hears that the node is to listen, and answers.
async fn answer(node: &mut DuplexStream, status: u8) {
    let request = Request {
        command: command::BIND,
        network: Network::Tcp,
        auth: None,
        address: Some("127.0.0.1:2222".parse::<ListenAddr>().as_ref().unwrap().into()),
    };
    let mut heard = vec![0; request.encode().len()];
    node.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, request.encode());
    let addr = SocketAddr::from(([192, 0, 2, 1], 2222));
    let address = (status == status::OK).then(|| addr.into());
    node.write_all(&Response { status, address }.encode()).await.unwrap();
}

/// A stream of one who comes to the node.
async fn comes(node: &Opener) -> AsyncIo {
    let mut stream = AsyncIo::new(node.open().await.unwrap());
    let peer = SocketAddr::from(([192, 0, 2, 7], 4242));
    let came = Response { status: status::OK, address: Some(peer.into()) };
    // A node may hear of the end before it has said everything.
    let _ = stream.write_all(&came.encode()).await;
    let _ = stream.flush().await;
    stream
}

async fn passes(from: &mut AsyncIo, to: &mut AsyncIo) {
    from.write_all(b"word").await.unwrap();
    from.flush().await.unwrap();
    let mut heard = [0; 4];
    to.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"word");
}

async fn is_over(stream: &mut AsyncIo) {
    assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
}

async fn dies(node: &Opener) {
    let over = async {
        while !node.is_dead() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), over).await.expect("the session goes on");
}

#[tokio::test(start_paused = true)]
async fn a_port_is_had_again_after_its_node_died_and_after_it_refused() {
    let mut w = World::new();
    assert_eq!(w.port.standing().unwrap_err().0, Reason::Pending);
    let node = w.session().await;
    assert_eq!(w.port.standing(), Ok(([192, 0, 2, 1], 2222).into()));
    let mut peer = comes(&node).await;
    let mut target = w.target().await;
    passes(&mut peer, &mut target).await;
    passes(&mut target, &mut peer).await;

    let died = Instant::now();
    node.end(crate::io::Ending::Finished);
    w.stands(Err(Reason::Pending)).await;
    assert!(!w.port.is_bound());
    is_over(&mut target).await;
    for (status, reason, pause) in [
        (status::SERVICE_UNAVAILABLE, Reason::AddressInUse, 1),
        (status::FORBIDDEN, Reason::BindForbidden, 2),
        (status::UNAUTHORIZED, Reason::Pending, 4),
    ] {
        let asked = Instant::now();
        w.node(status).await;
        w.stands(Err(reason)).await;
        assert!(asked.elapsed() <= Duration::from_secs(pause));
    }
    assert!(died.elapsed() >= Duration::from_millis(3500), "{:?}", died.elapsed());
    let (_, said) = w.port.standing().unwrap_err();
    assert!(said.contains("node hop/node, asked to listen on 127.0.0.1:2222"), "{said}");
    assert!(said.contains("refused the credentials"), "{said}");

    let node = w.session().await;
    assert!(w.port.standing().is_ok());
    let mut peer = comes(&node).await;
    let mut target = w.target().await;
    passes(&mut peer, &mut target).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_falls_silent_is_noticed_by_its_keepalive() {
    let mut w = World::new();
    let _node = w.node(status::OK).await;
    assert!(w.port.is_bound());
    let began = Instant::now();
    w.stands(Err(Reason::Pending)).await;
    assert!(began.elapsed() <= Duration::from_secs(60), "twice mux.keepaliveTimeout");
    w.session().await;
    assert!(w.port.is_bound());
}

#[tokio::test(start_paused = true)]
async fn the_same_way_again_asks_nobody() {
    let mut w = World::new();
    let node = w.session().await;
    w.route("first");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(w.dialled.try_recv().is_err());
    assert!(!node.is_dead());
}

#[tokio::test(start_paused = true)]
async fn another_way_replaces_the_one_before_only_once_it_has_the_port() {
    let mut w = World::new();
    let old = w.session().await;
    let mut early = comes(&old).await;
    let mut target = w.target().await;
    w.route("second");
    w.node(status::SERVICE_UNAVAILABLE).await;
    w.stands(Err(Reason::AddressInUse)).await;
    assert!(w.port.is_bound(), "the old way still brings streams");
    drop(comes(&old).await);
    w.target().await;
    // Back to it: it was never lost. And away again.
    w.route("first");
    assert!(w.port.standing().is_ok());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(w.dialled.try_recv().is_err());
    w.route("second");

    let new = w.session().await;
    assert!(w.port.standing().is_ok());
    is_over(&mut comes(&old).await).await;
    passes(&mut early, &mut target).await;
    drop((early, target));
    dies(&old).await;
    let mut peer = comes(&new).await;
    passes(&mut peer, &mut w.target().await).await;
}

/// New credentials, say: what has the port is ourselves.
#[tokio::test(start_paused = true)]
async fn another_way_to_the_same_node_waits_for_the_one_before_and_nothing_has_failed() {
    let mut w = World::new();
    let old = w.session().await;
    w.route("changed@first");
    for _ in 0..2 {
        let mut node = w.dialled.recv().await.unwrap();
        answer(&mut node, status::SERVICE_UNAVAILABLE).await;
    }
    assert!(w.port.standing().is_ok() && w.port.is_bound());
    let mut peer = comes(&old).await;
    passes(&mut peer, &mut w.target().await).await;
    old.end(crate::io::Ending::Finished);
    w.stands(Err(Reason::Pending)).await;
    w.node(status::OK).await;
    assert!(w.port.standing().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_given_back_takes_nobody_new_and_ends_with_its_last_stream() {
    let mut w = World::new();
    let node = w.session().await;
    let mut peer = comes(&node).await;
    let mut target = w.target().await;
    drop(w.port);
    is_over(&mut comes(&node).await).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    passes(&mut peer, &mut target).await;
    assert!(!node.is_dead());
    drop((peer, target));
    dies(&node).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(w.dialled.try_recv().is_err(), "it is not asked for again");
}

#[tokio::test(start_paused = true)]
async fn those_who_come_pass_the_service_s_gates() {
    let nets = vec!["192.0.2.7/32".parse().unwrap()];
    let admission = Admission { name: "a".into(), whitelist: false, nets };
    let gates = Gates { admissions: vec![Arc::new(admission)], ..Default::default() };
    let mut w = World::gated(gates);
    let node = w.session().await;
    is_over(&mut comes(&node).await).await;
    assert!(w.dialled.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_and_the_metric_follow_the_node_and_a_new_handler_keeps_the_port() {
    let (doubles, mut dialled) = Doubles::new();
    let metrics = crate::metrics::Metrics::new().unwrap();
    let engine = Engine::start(EngineOptions {
        ports: Ports::default(),
        dialer: doubles.dialer(),
        guard: Arc::default(),
        metrics: metrics.clone(),
        memory: Default::default(),
    });
    let (key, config) = remote("first");
    let listen = "127.0.0.1:2222".parse().unwrap();
    let mut config = ServiceConfig { listen, ..(*config).clone() };
    let set = |revision, config: &ServiceConfig| DesiredSet {
        revision,
        services: [(
            key.clone(),
            Desired {
                terms: None,
                config: Arc::new(config.clone()),
                claim: Claim::default(),
                drain: Duration::from_secs(60),
                closed: false,
            },
        )]
        .into(),
    };
    let bound = |is: bool| {
        let line = format!("service=\"in\",tunnel=\"x\"}} {}", i32::from(is));
        let text = metrics.encode().unwrap();
        text.lines().any(|l| l.starts_with("adit_listener_bound") && l.ends_with(&line))
    };
    engine.apply(set(1, &config));
    let mut snapshot = engine.snapshot();
    let state = |s: &crate::engine::Snapshot| s.services.get(&key).map(|s| s.state.clone());
    let failed = |s: &Arc<crate::engine::Snapshot>| {
        matches!(state(s), Some(ServiceState::Failed { reason: Reason::Pending, .. }))
    };
    let serving = |s: &Arc<crate::engine::Snapshot>| matches!(state(s), Some(ServiceState::Serving { local }) if local.port() == 2222);
    snapshot.wait_for(failed).await.unwrap();
    assert!(bound(false));
    let mut node = dialled.recv().await.unwrap();
    answer(&mut node, status::OK).await;
    snapshot.wait_for(serving).await.unwrap();
    assert!(bound(true));

    config.retries = 3;
    engine.apply(set(2, &config));
    snapshot.wait_for(|s| s.revision == 2).await.unwrap();
    assert!(serving(&snapshot.borrow()));
    assert!(dialled.try_recv().is_err(), "the port is kept");

    // A new address is had before the old one is given back, and if it cannot be, the old one stays.
    config.listen.port = 3333;
    engine.apply(set(3, &config));
    let taken = |s: &Arc<crate::engine::Snapshot>| {
        let taken = Some(Reason::AddressInUse);
        let reason = match state(s) {
            Some(ServiceState::Failed { reason, .. }) => Some(reason),
            _ => None,
        };
        s.revision == 3 && reason == taken
    };
    let mut other = dialled.recv().await.unwrap();
    other.read_exact(&mut [0; 19]).await.unwrap();
    other.write_all(&Response::new(status::SERVICE_UNAVAILABLE).encode()).await.unwrap();
    snapshot.wait_for(taken).await.unwrap();
    assert!(bound(true), "at the old address");
    config.listen.port = 2222;
    engine.apply(set(4, &config));
    snapshot.wait_for(|s| s.revision == 4).await.unwrap();
    assert!(serving(&snapshot.borrow()) && bound(true));
    // Shorter than the session may be without a word.
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(dialled.try_recv().is_err(), "back to the address that it still has");

    drop(node);
    snapshot.wait_for(failed).await.unwrap();
    assert!(bound(false));
    let mut node = dialled.recv().await.unwrap();
    answer(&mut node, status::OK).await;
    snapshot.wait_for(serving).await.unwrap();
    let session = Opener::start(Box::new(node), MuxConfig::default());
    let mut peer = comes(&session).await;
    let mut target = AsyncIo::new(Box::new(dialled.recv().await.unwrap()) as crate::io::BoxIo);
    passes(&mut peer, &mut target).await;
    // A drain waits for the streams, cuts them at the timeout, and the session goes with them.
    engine.drain(Duration::ZERO, Duration::from_secs(5)).await;
    is_over(&mut peer).await;
    dies(&session).await;
}
