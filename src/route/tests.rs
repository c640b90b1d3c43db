use std::future::pending;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

mod bind;

use super::*;
use crate::base::{Bound, ListenAddr, ServiceKey};
use crate::config::model::{
    Bypass, ConnectorConfig, DialerConfig, ForwardConfig, ForwardNodeConfig, HopConfig,
    HttpConnectorConfig, ListenerConfig, NodeConfig, Pattern, Selector, Standing, Strategy,
    TargetPattern,
};
use crate::metrics::Metrics;
use crate::net::dial::{DialRequest, Dialing, Looking};

/// A network in which a host's name says what becomes of a dial to it.
#[derive(Default)]
struct World {
    dialled: Mutex<Vec<String>>,
}

impl World {
    /// The hosts that were dialled since the last question.
    fn dialled(&self) -> String {
        std::mem::take(&mut *self.dialled.lock()).join(" ")
    }
}

impl Dial for World {
    fn dial<'a>(&'a self, request: DialRequest<'a>) -> Dialing<'a> {
        let target = request.target.clone();
        let host = target.host.as_ref().map(ToString::to_string).unwrap_or_default();
        self.dialled.lock().push(host.clone());
        Box::pin(async move {
            if host.starts_with("refuses") {
                let source = std::io::ErrorKind::ConnectionRefused.into();
                return Err(DialError::Refused { target, source });
            }
            if host.starts_with("hangs") {
                let within = request.within.unwrap_or(Duration::MAX);
                let _ = tokio::time::timeout(within, pending::<()>()).await;
                return Err(DialError::Timeout { target });
            }
            let (near, far) = duplex(64 * 1024);
            if host.starts_with("closes") {
                return Ok(Box::new(near) as BoxIo);
            }
            #[allow(clippy::disallowed_methods, reason = "a test's task")]
            tokio::spawn(proxy(host, far));
            Ok(Box::new(near) as BoxIo)
        })
    }
}

/// A proxy that answers every CONNECT, each in its turn on one connection, and then says its name.
async fn proxy(host: String, mut io: DuplexStream) {
    let mut asked = Vec::new();
    loop {
        let Ok(byte) = io.read_u8().await else { return };
        asked.push(byte);
        if !asked.ends_with(b"\r\n\r\n") {
            continue;
        }
        let to_dead = asked.starts_with(b"CONNECT dead");
        asked.clear();
        if host.starts_with("mute") || to_dead {
            pending::<()>().await;
        }
        if host.starts_with("dies") {
            return;
        }
        let status = if host.starts_with("says-no") { "503 no" } else { "200 OK" };
        io.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
    }
}

fn node(host: &str) -> NodeConfig {
    NodeConfig {
        name: host.into(),
        addr: format!("{host}:1").parse().unwrap(),
        addr_text: format!("{host}:1"),
        dialer: DialerConfig::Tcp { tls: None, keepalive: None },
        connector: ConnectorConfig::Http(HttpConnectorConfig::default()),
        bypasses: vec![],
        names: Names::default(),
        standing: Standing::default(),
    }
}

fn hop(hosts: &str) -> HopConfig {
    let selector = Selector { strategy: Strategy::Fifo, ..Default::default() };
    let nodes = hosts.split(' ').map(|host| Arc::new(node(host))).collect();
    HopConfig { name: "hop".into(), selector, bypasses: vec![], nodes }
}

struct Tried {
    route: Route,
    world: Arc<World>,
    metrics: Metrics,
}

fn route(hops: Vec<HopConfig>) -> Tried {
    built(hops).unwrap()
}

fn built(hops: Vec<HopConfig>) -> Result<Tried, NodeError> {
    let world = Arc::new(World::default());
    let (route, metrics) = built_in(hops, world.clone())?;
    Ok(Tried { route, world, metrics })
}

fn built_in(hops: Vec<HopConfig>, dialer: Arc<dyn Dial>) -> Result<(Route, Metrics), NodeError> {
    built_with(0, hops, dialer)
}

fn built_with(
    retries: u32,
    hops: Vec<HopConfig>,
    dialer: Arc<dyn Dial>,
) -> Result<(Route, Metrics), NodeError> {
    built_for(Origin::Files, retries, hops, dialer)
}

fn built_for(
    origin: Origin,
    retries: u32,
    hops: Vec<HopConfig>,
    dialer: Arc<dyn Dial>,
) -> Result<(Route, Metrics), NodeError> {
    let forward = ForwardConfig::to("unused:1".parse().unwrap());
    let handler = HandlerConfig::Forward(crate::config::model::ForwardHandlerConfig {
        to: Arc::new(forward),
        idle_timeout: None,
        send_proxy_protocol: None,
    });
    let listener = ListenerConfig::Tcp(Default::default());
    let mut config = ServiceConfig::new("s", ListenAddr::port(1), listener, handler);
    config.retries = retries;
    let metrics = Metrics::new().unwrap();
    let context = RouteContext {
        metrics: metrics.service(&ServiceKey::new(origin.clone(), "s")),
        origin,
        dialer,
        clients: Arc::default(),
        memory: Default::default(),
    };
    let chain = ChainConfig { name: "c".into(), hops };
    Ok((Route::build(&config, &chain, context)?, metrics))
}

impl Tried {
    async fn ask(&self, target: &str) -> Result<BoxIo, RouteError> {
        let target = target.parse().unwrap();
        let client = ([10, 0, 0, 1], 1).into();
        self.route
            .connect(&Ask { network: Network::Tcp, to: To::Target(&target), client, user: None })
            .await
    }

    async fn associates(&self) -> Result<BoxIo, RouteError> {
        let client = ([10, 0, 0, 1], 1).into();
        let to = To::Each { longest: 4096 };
        self.route.connect(&Ask { network: Network::Udp, to, client, user: None }).await
    }

    fn counted(&self, node: &str, result: &str) -> bool {
        let series = format!("node=\"hop/{node}\",result=\"{result}\"");
        self.metrics.encode().unwrap().contains(&series)
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusing_and_a_hanging_and_a_dying_node_cost_no_request() {
    let tried = route(vec![hop("refuses hangs mute dies well")]);
    let started = Instant::now();
    assert!(tried.ask("target:1").await.is_ok());
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(tried.world.dialled(), "refuses hangs mute dies well");
    // From now on they are left alone.
    let started = Instant::now();
    assert!(tried.ask("target:1").await.is_ok());
    assert_eq!(tried.world.dialled(), "well");
    assert!(started.elapsed() < Duration::from_secs(1));
    for (node, result) in [
        ("refuses", "refused"),
        ("hangs", "timeout"),
        ("mute", "timeout"),
        ("dies", "proxy"),
        ("well", "ok"),
    ] {
        assert!(tried.counted(node, result), "{node} {result}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_target_is_no_node_s_fault() {
    let tried = route(vec![hop("a b")]);
    assert!(tried.ask("dead:1").await.is_err());
    tried.world.dialled();
    assert!(tried.ask("target:1").await.is_ok());
    assert_eq!(tried.world.dialled(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_node_s_no_is_an_answer() {
    let tried = route(vec![hop("says-no b")]);
    assert!(matches!(tried.ask("target:1").await, Err(RouteError::Connect { .. })));
    assert_eq!(tried.world.dialled(), "says-no");
}

#[tokio::test(start_paused = true)]
async fn where_all_have_failed_they_are_tried_and_never_passed_over() {
    let tried = route(vec![hop("refuses1 refuses2")]);
    assert!(tried.ask("target:1").await.is_err());
    assert_eq!(tried.world.dialled(), "refuses1 refuses2");
    assert!(tried.ask("target:1").await.is_err());
    assert_eq!(tried.world.dialled(), "refuses1 refuses2", "the target itself is not dialled");
}

#[tokio::test(start_paused = true)]
async fn retries_are_attempts_more() {
    for (hops, dialled) in
        [(vec![], "refuses refuses refuses"), (vec![hop("says-no")], "says-no says-no says-no")]
    {
        let world = Arc::new(World::default());
        let (route, metrics) = built_with(2, hops, world.clone()).unwrap();
        let tried = Tried { route, world, metrics };
        assert!(tried.ask("refuses:1").await.is_err());
        assert_eq!(tried.world.dialled(), dialled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_hop_s_nodes_fail_over_too() {
    // The first hop's proxy says nothing about `dead`, and opens the way to `b`.
    let tried = route(vec![hop("a"), hop("dead b")]);
    assert!(tried.ask("target:1").await.is_ok());
    assert_eq!(tried.world.dialled(), "a a");
    assert!(tried.counted("dead", "timeout"));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_with_the_dial_timeout() {
    let tried = route(vec![hop("hangs1 hangs2 hangs3 hangs4 hangs5 hangs6")]);
    let started = Instant::now();
    assert!(tried.ask("target:1").await.is_err());
    assert!(started.elapsed() <= Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_hop_that_the_target_passes_by_ends_the_chain() {
    let host = Pattern::Suffix("local".into());
    let patterns = vec![TargetPattern { host, ports: None }].into();
    let mut second = hop("b");
    second.bypasses = vec![Arc::new(Bypass { patterns, ..Default::default() })];
    let mut first = hop("a");
    first.bypasses = second.bypasses.clone();
    let tried = route(vec![first, second]);
    assert!(tried.ask("x.local:1").await.is_ok());
    assert_eq!(tried.world.dialled(), "x.local", "dialled directly");
    assert!(tried.ask("x.example:1").await.is_ok());
    assert_eq!(tried.world.dialled(), "a");
}

#[tokio::test(start_paused = true)]
async fn connector_direct_forgets_the_way_so_far() {
    let mut direct = hop("nobody");
    Arc::make_mut(&mut direct.nodes[0]).connector = ConnectorConfig::Direct;
    let tried = route(vec![hop("a"), direct]);
    assert!(tried.ask("target:1").await.is_ok());
    assert_eq!(tried.world.dialled(), "target");
}

#[tokio::test(start_paused = true)]
async fn connector_forward_says_nothing() {
    let mut forward = hop("mute");
    Arc::make_mut(&mut forward.nodes[0]).connector = ConnectorConfig::Forward;
    let tried = route(vec![forward]);
    assert!(tried.ask("target:1").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_forwarder_s_targets_fail_over_and_are_remembered() {
    let tried = route(vec![]);
    let node = |host: &str| ForwardNodeConfig {
        name: host.into(),
        target: format!("{host}:1").parse().unwrap(),
        bypasses: vec![],
        standing: Standing::default(),
    };
    let selector = Selector { strategy: Strategy::Fifo, ..Default::default() };
    let nodes = vec![node("refuses"), node("hangs"), node("well")];
    let forwarder = Forwarder::new(&ForwardConfig { selector, nodes });
    let ask = ForwardAsk { network: Network::Tcp, client: ([10, 0, 0, 1], 1).into(), user: None };
    let started = Instant::now();
    let (target, _) = forwarder.connect(&tried.route, &ask).await.ok().unwrap();
    assert_eq!(target.to_string(), "well:1");
    assert!(started.elapsed() <= Duration::from_secs(5));
    tried.world.dialled();
    assert!(forwarder.connect(&tried.route, &ask).await.is_ok());
    assert_eq!(tried.world.dialled(), "well");
}

#[tokio::test]
async fn a_ca_that_is_none_is_told_with_its_node_before_any_dial() {
    let ca = Some(crate::base::Secret::new(Arc::from(*b"no PEM")));
    let tls = Some(Arc::new(crate::config::model::ClientTls { ca, ..Default::default() }));
    let mut broken = hop("a b");
    let node = Arc::make_mut(&mut broken.nodes[1]);
    node.dialer = DialerConfig::Tcp { tls, keepalive: None };
    let error = built(vec![broken]).map(|_| ()).unwrap_err();
    assert_eq!(error.node, "hop/b");
}

#[tokio::test]
async fn equal_clients_are_built_once_and_at_first_use() {
    let clients = Arc::new(TlsClients::default());
    let world = Arc::new(World::default());
    let nodes = |service: usize| {
        (0..128).map(move |i| {
            let name = format!("closes-{service}-{i}");
            let tls = crate::config::model::ClientTls {
                server_name: Some(name.clone()),
                alpn: vec!["http/1.1".into()],
                ..Default::default()
            };
            let dialer = DialerConfig::Tcp { tls: Some(Arc::new(tls)), keepalive: None };
            Arc::new(NodeConfig { dialer, ..node(&name) })
        })
    };
    let route = |service| {
        let chain = ChainConfig {
            name: "c".into(),
            hops: vec![HopConfig { nodes: nodes(service).collect(), ..hop("unused") }],
        };
        let context = RouteContext {
            origin: Origin::tunnel("a", "t"),
            dialer: world.clone(),
            metrics: Metrics::new().unwrap().service(&ServiceKey::new(Origin::Files, "s")),
            clients: clients.clone(),
            memory: Default::default(),
        };
        Route::through(&chain, &Names::default(), Some(Duration::from_secs(5)), context).unwrap()
    };
    let routes: Vec<_> = (0..32).map(route).collect();
    assert_eq!(clients.built(), 0, "nothing is built before a dial");
    let target = "db:1".parse().unwrap();
    for route in &routes {
        // Nobody here says anything: every node is tried, and its client is needed.
        let ask = Ask {
            network: Network::Tcp,
            to: To::Target(&target),
            client: ([127, 0, 0, 1], 1).into(),
            user: None,
        };
        assert!(route.connect(&ask).await.is_err());
    }
    // As many as one request may have, for each route.
    assert_eq!(world.dialled().split(' ').count(), 32 * 32);
    assert_eq!(clients.built(), 1);
}

/// Names that resolve, and a SOCKS4 server for every dial.
#[derive(Default)]
struct Socks4World {
    asked: Arc<Mutex<Vec<u8>>>,
}

impl Dial for Socks4World {
    fn dial<'a>(&'a self, _: DialRequest<'a>) -> Dialing<'a> {
        let (near, mut far) = duplex(1024);
        let asked = self.asked.clone();
        #[allow(clippy::disallowed_methods, reason = "a test's task")]
        tokio::spawn(async move {
            let mut request = vec![0; 9];
            far.read_exact(&mut request).await.unwrap();
            *asked.lock() = request;
            far.write_all(b"\0\x5a\0\0\0\0\0\0").await.unwrap();
        });
        Box::pin(async { Ok(Box::new(near) as BoxIo) })
    }

    fn lookup<'a>(&'a self, _: &'a Origin, _: &'a Names, name: &'a str) -> Looking<'a> {
        let v6 = std::net::Ipv6Addr::LOCALHOST.into();
        let v4 = std::net::Ipv4Addr::new(1, 2, 3, 4).into();
        Box::pin(async move { Ok(if name == "both.test" { vec![v6, v4] } else { vec![v6] }) })
    }
}

#[tokio::test]
async fn names_are_resolved_for_socks4_without_4a() {
    let world = Arc::new(Socks4World::default());
    let config = crate::config::model::Socks4ConnectorConfig { disable_4a: true, ..<_>::default() };
    let connector = ConnectorConfig::Socks4(config);
    let nodes = vec![NodeConfig { connector, ..node("proxy") }];
    let tried = built_in(
        vec![HopConfig { nodes: nodes.into_iter().map(Arc::new).collect(), ..hop("proxy") }],
        world.clone(),
    )
    .unwrap();
    let ask = async |target: &str| {
        let target = target.parse().unwrap();
        let client = ([10, 0, 0, 1], 1).into();
        tried
            .0
            .connect(&Ask { network: Network::Tcp, to: To::Target(&target), client, user: None })
            .await
    };
    assert!(ask("both.test:80").await.is_ok());
    assert_eq!(*world.asked.lock(), b"\x04\x01\0\x50\x01\x02\x03\x04\0");
    let error = ask("six.test:80").await.err().unwrap();
    assert!(error.to_string().contains("no IPv4 address"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_association_fails_over_as_a_stream_does() {
    let tried = route(vec![hop("refuses mute well")]);
    assert!(tried.associates().await.is_ok());
    assert_eq!(tried.world.dialled(), "refuses mute well");
    assert!(tried.counted("well", "ok") && tried.counted("mute", "timeout"));
    let tried = route(vec![hop("says-no")]);
    let error = tried.associates().await.err().unwrap();
    assert_eq!(error.to_string(), "node hop/says-no, asked to carry datagrams");
    assert_eq!(error.label(), "proxy");
}

/// Its datagrams go to many targets, so none is asked about.
#[tokio::test]
async fn an_association_passes_no_hop_by() {
    let all = || {
        let patterns = vec![TargetPattern { host: Pattern::Glob("*".into()), ports: None }].into();
        vec![Arc::new(Bypass { patterns, ..Default::default() })]
    };
    let mut hop = hop("well");
    hop.bypasses = all();
    Arc::make_mut(&mut hop.nodes[0]).bypasses = all();
    let tried = route(vec![hop]);
    assert!(tried.associates().await.is_ok());
    assert_eq!(tried.world.dialled(), "well");
}

/// How many requests have used up their dials.
fn reached(metrics: &Metrics) -> u64 {
    let series = format!("adit_bound_reached_total{{bound=\"{}\"}} ", Bound::Dials);
    let text = metrics.encode().unwrap();
    let count = text.lines().find_map(|line| line.strip_prefix(&series));
    count.map_or(0, |count| count.parse().unwrap())
}

/// How many dials a request costs, and how many were refused at the bound.
async fn cost(origin: Origin, retries: u32, hops: Vec<HopConfig>) -> (usize, u64) {
    let world = Arc::new(World::default());
    let (route, metrics) = built_for(origin, retries, hops, world.clone()).unwrap();
    let target = "refuses:1".parse().unwrap();
    let client = ([10, 0, 0, 1], 1).into();
    let ask = Ask { network: Network::Tcp, to: To::Target(&target), client, user: None };
    let error = route.connect(&ask).await.err().unwrap();
    assert_eq!(error.label(), "refused", "the last real failure is told");
    let dials = world.dialled().split(' ').count();
    (dials, reached(&metrics))
}

#[tokio::test(start_paused = true)]
async fn retries_and_dials_of_a_tunnel_s_request_are_bounded_and_those_of_files_are_not() {
    let tunnel = || Origin::tunnel("ns", "t");
    let nodes = |n: usize| vec![hop(vec!["refuses"; n].join(" ").as_str())];
    for (retries, hops, dials, bound) in [
        (100, vec![], 11, 0),
        (3, vec![], 4, 0),
        (100, nodes(1), 11, 0),
        (0, nodes(100), 32, 1),
        (100, nodes(10), 32, 1),
        (100, nodes(512), 32, 1),
    ] {
        let label = format!("{retries} retries, {} hops", hops.len());
        assert_eq!(cost(tunnel(), retries, hops).await, (dials, bound), "{label}");
    }
    assert_eq!(cost(Origin::Files, 100, nodes(1)).await, (101, 0));
    assert_eq!(cost(Origin::Files, 0, nodes(100)).await, (100, 0));
}

/// Each try walks all hops again.
#[tokio::test(start_paused = true)]
async fn every_hop_of_a_try_counts() {
    let hops = vec![hop("a"), hop("b"), hop("mute")];
    let world = Arc::new(World::default());
    let (route, metrics) = built_for(Origin::tunnel("ns", "t"), 100, hops, world.clone()).unwrap();
    let target = "target:1".parse().unwrap();
    let client = ([10, 0, 0, 1], 1).into();
    let ask = Ask { network: Network::Tcp, to: To::Target(&target), client, user: None };
    // The proxy that stands for all of them says nothing about dead.
    let dead = "dead:1".parse().unwrap();
    assert!(route.connect(&ask).await.is_ok());
    world.dialled();
    assert!(route.connect(&Ask { to: To::Target(&dead), ..ask }).await.is_err());
    assert_eq!(world.dialled().split(' ').count(), 10);
    assert_eq!(reached(&metrics), 1);
}

#[tokio::test(start_paused = true)]
async fn a_forwarder_s_targets_share_the_dials_of_a_request() {
    let node = |_| ForwardNodeConfig {
        name: "n".into(),
        target: "refuses:1".parse().unwrap(),
        bypasses: vec![],
        standing: Standing::default(),
    };
    let selector = Selector { strategy: Strategy::Fifo, ..Default::default() };
    let nodes = (0..40).map(node).collect();
    let forwarder = Forwarder::new(&ForwardConfig { selector, nodes });
    let world = Arc::new(World::default());
    let (route, _) = built_for(Origin::tunnel("ns", "t"), 5, vec![], world.clone()).unwrap();
    let ask = ForwardAsk { network: Network::Tcp, client: ([10, 0, 0, 1], 1).into(), user: None };
    assert_eq!(forwarder.connect(&route, &ask).await.err().unwrap().1.label(), "refused");
    assert_eq!(world.dialled().split(' ').count(), 32);
}
