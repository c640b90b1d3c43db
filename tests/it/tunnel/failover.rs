//! Several nodes in a hop, with real sockets: one port refuses, one accepts and says nothing, one
//! server is killed on the way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use adit::base::{ListenAddr, Network, Origin, ServiceKey, Target};
use adit::config::model::{
    ChainConfig, ConnectorConfig, DialerConfig, HandlerConfig, HopConfig, HttpConnectorConfig,
    ListenerConfig, MuxConfig, Names, NodeConfig, Selector, ServiceConfig, Standing,
    WsDialerConfig,
};
use adit::io::AsyncIo;
use adit::metrics::Metrics;
use adit::net::dial::{Dial, DialRequest, Dialer, Dialing};
use adit::net::guard::Guard;
use adit::net::resolve::{Resolver, Search};
use adit::route::{Ask, Route, RouteContext, To};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::{echo, target};
use crate::support::wait::eventually;

fn server(scheme: &str) -> (SocketAddr, Process) {
    let addr = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let process = Process::adit(&["-L", &format!("http+{scheme}://{addr}")]);
    eventually("it listens", Duration::from_secs(20), || {
        std::net::TcpStream::connect(addr).is_ok()
    });
    (addr, process)
}

fn node(name: &str, addr: SocketAddr) -> NodeConfig {
    let ws = WsDialerConfig {
        tls: None,
        mux: None,
        host: addr.to_string(),
        path: "/ws".into(),
        header: Default::default(),
        handshake_timeout: None,
        ping_interval: None,
        keepalive: None,
    };
    NodeConfig {
        name: name.into(),
        addr: addr.to_string().parse().unwrap(),
        addr_text: addr.to_string(),
        dialer: DialerConfig::Ws(ws),
        connector: ConnectorConfig::Http(HttpConnectorConfig::default()),
        bypasses: vec![],
        names: Names::default(),
        standing: Standing::default(),
    }
}

/// Real sockets, counted.
struct Counting(Dialer, AtomicUsize);

impl Dial for Counting {
    fn dial<'a>(&'a self, request: DialRequest<'a>) -> Dialing<'a> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.dial(request)
    }
}

fn hop(nodes: Vec<NodeConfig>) -> HopConfig {
    // Longer than the test: who has failed is left alone.
    let selector = Selector { fail_timeout: Duration::from_secs(600), ..Default::default() };
    let nodes = nodes.into_iter().map(Arc::new).collect();
    HopConfig { name: "hop".into(), selector, bypasses: vec![], nodes }
}

fn route(hops: Vec<HopConfig>) -> (Route, Arc<Counting>, Metrics) {
    let listener = ListenerConfig::Tcp(Default::default());
    let handler = HandlerConfig::Http(Default::default());
    let mut config = ServiceConfig::new("s", ListenAddr::port(1), listener, handler);
    config.dial_timeout = Some(Duration::from_secs(10));
    let dialer = Dialer::new(Resolver::new(Search::System), Arc::new(Guard::off()));
    let dialer = Arc::new(Counting(dialer, AtomicUsize::new(0)));
    let metrics = Metrics::new().unwrap();
    let context = RouteContext {
        origin: Origin::Files,
        dialer: dialer.clone(),
        metrics: metrics.service(&ServiceKey::new(Origin::Files, "s")),
        clients: Arc::default(),
        memory: Default::default(),
    };
    let chain = ChainConfig { name: "c".into(), hops };
    (Route::build(&config, &chain, context).unwrap(), dialer, metrics)
}

/// How often each node was used, by how that went: `NODE RESULT`.
fn counts(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.encode().unwrap();
    let lines = text.lines().filter(|line| line.starts_with("adit_node_dials_total{"));
    let count = |line: &str| {
        let value = |label: &str| {
            let (_, rest) = line.split_once(&format!("{label}=\"")).unwrap();
            rest.split('"').next().unwrap().to_string()
        };
        let times = line.rsplit(' ').next().unwrap().parse().unwrap();
        (format!("{} {}", value("node"), value("result")), times)
    };
    lines.map(count).collect()
}

/// One request that the target echoes, and how long it took.
async fn request(route: &Route, target: &Target) -> Duration {
    let started = Instant::now();
    let client = ([127, 0, 0, 1], 1).into();
    let ask = Ask { network: Network::Tcp, to: To::Target(target), client, user: None };
    let io = route.connect(&ask).await.unwrap_or_else(|e| panic!("{e}: {:?}", e));
    let mut io = AsyncIo::new(io);
    io.write_all(b"hello").await.unwrap();
    io.flush().await.unwrap();
    let mut back = [0; 5];
    io.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
    started.elapsed()
}

#[tokio::test]
async fn requests_go_on_while_nodes_refuse_hang_and_die() {
    let (servers, processes): (Vec<_>, Vec<_>) = (0..3).map(|_| server("ws")).unzip();
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let mut nodes = vec![node("refusing", refusing), node("mute", mute.local_addr().unwrap())];
    let names = ["dies", "lives", "lives too"];
    nodes.extend(names.iter().zip(&servers).map(|(name, addr)| node(name, *addr)));
    let (route, _, metrics) = route(vec![hop(nodes)]);
    let target = echo().to_string().parse().unwrap();
    let mut slow = 0;
    let mut processes = processes.into_iter();
    for turn in 0..24 {
        if turn == 8 {
            drop(processes.next());
        }
        let took = request(&route, &target).await;
        assert!(took < Duration::from_secs(10), "{took:?}");
        slow += usize::from(took > Duration::from_secs(1));
    }
    assert_eq!(slow, 1, "only the first request waits for the one that says nothing");
    // Within failTimeout each is left alone after its first failure.
    let counts = counts(&metrics);
    let failed: Vec<_> = counts.iter().filter(|(key, _)| !key.ends_with(" ok")).collect();
    let expected =
        [("hop/dies refused", 1.0), ("hop/mute timeout", 1.0), ("hop/refusing refused", 1.0)];
    let expected = expected.map(|(key, times)| (key.to_string(), times));
    assert_eq!(failed, expected.iter().map(|(key, times)| (key, times)).collect::<Vec<_>>());
    let ok: f64 = counts.iter().filter(|(key, _)| key.ends_with(" ok")).map(|(_, n)| n).sum();
    assert_eq!(ok, 24.0, "{counts:?}");
}

#[tokio::test]
async fn what_is_before_a_multiplexed_node_is_dialled_once_and_again_when_it_dies() {
    let (first, _first) = server("ws");
    let (second, process) = server("mws");
    let mut muxed = node("second", second);
    let DialerConfig::Ws(ws) = &mut muxed.dialer else { panic!() };
    ws.mux = Some(MuxConfig::default());
    let (route, dials, _) = route(vec![hop(vec![node("first", first)]), hop(vec![muxed])]);
    let target = echo().to_string().parse().unwrap();
    let requests = (0..20).map(|_| request(&route, &target));
    futures_util::future::join_all(requests).await;
    assert_eq!(dials.1.load(Ordering::Relaxed), 1);
    drop(process);
    let url = format!("http+mws://{second}");
    let _again = Process::adit(&["-L", &url]);
    eventually("it listens again", Duration::from_secs(20), || {
        std::net::TcpStream::connect(second).is_ok()
    });
    request(&route, &target).await;
    assert_eq!(dials.1.load(Ordering::Relaxed), 2);
}

/// What a node's end cuts is cut: the bytes that have gone must not go again.
#[tokio::test]
async fn a_stream_whose_node_dies_ends_and_is_not_begun_anew() {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = reached.clone();
    let target = target(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        let mut reader = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut reader, &mut stream);
    });
    let ((first, process), (second, _second)) = (server("mws"), server("ws"));
    let mut muxed = node("dies", first);
    let DialerConfig::Ws(ws) = &mut muxed.dialer else { panic!() };
    ws.mux = Some(MuxConfig::default());
    let (route, ..) = route(vec![hop(vec![muxed, node("lives", second)])]);
    let target = target.to_string().parse().unwrap();
    let client = ([127, 0, 0, 1], 1).into();
    let ask = Ask { network: Network::Tcp, to: To::Target(&target), client, user: None };
    let mut io = AsyncIo::new(route.connect(&ask).await.unwrap());
    io.write_all(b"half").await.unwrap();
    io.flush().await.unwrap();
    let mut back = [0; 4];
    io.read_exact(&mut back).await.unwrap();
    drop(process);
    assert!(!matches!(io.read(&mut back).await, Ok(1..)));
    request(&route, &target).await;
    assert_eq!(reached.load(Ordering::SeqCst), 2, "the stream that was cut, and the next request");
}
