//! Laws of the planner and of diff, and the duels that API users can have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

mod policies;
mod work;

use super::service::Services;
use super::*;
use crate::base::{Host, ListenAddr, Origin, Reason, ServiceKey, Target};
use crate::config::model::{
    ChainConfig, ForwardConfig, ForwardHandlerConfig, HandlerConfig, HopConfig, HostPattern,
    ListenerConfig, RtcpListenerConfig, ServiceConfig, TcpListenerConfig, UdpListenerConfig,
    WsListenerConfig, WsPath,
};
use crate::io::BoxIo;
use crate::metrics::Metrics;
use crate::net::dial::{Dial, DialRequest, Dialer, Dialing};
use crate::net::guard::Guard;
use crate::net::resolve::{Resolver, Search};

/// A dialler whose targets are in the test's hands.
pub(super) struct Doubles(Arc<ToTest>);

struct ToTest(mpsc::UnboundedSender<DuplexStream>);

impl Dial for ToTest {
    fn dial<'a>(&'a self, _: DialRequest<'a>) -> Dialing<'a> {
        let (ours, theirs) = tokio::io::duplex(1024);
        let _ = self.0.send(theirs);
        Box::pin(async move { Ok(Box::new(ours) as _) })
    }
}

impl Doubles {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<DuplexStream>) {
        let (sender, targets) = mpsc::unbounded_channel();
        (Self(Arc::new(ToTest(sender))), targets)
    }

    pub(super) fn services(&self) -> Services {
        Services::new(self.0.clone(), Metrics::new().unwrap(), TaskTracker::new())
    }

    pub(super) fn dialer(&self) -> Arc<dyn Dial> {
        self.0.clone()
    }

    /// A client of ours.
    pub(super) async fn connect(&self, addr: std::net::SocketAddr) -> BoxIo {
        let dialer = Dialer::new(Resolver::new(Search::System), Arc::new(Guard::off()));
        let target = Target { host: Some(Host::Ip(addr.ip())), port: addr.port() };
        dialer.dial(DialRequest::new(&Origin::Files, &target)).await.unwrap()
    }
}

/// A service that forwards to whatever the dialler gives.
pub(super) fn forward() -> (ServiceKey, Arc<ServiceConfig>) {
    (key("a", "x"), desired("in", 5000, tcp(), Claim::default()).config)
}

fn ws(path: &str, hosts: &[&str]) -> ListenerConfig {
    let pattern = |host: &&str| match host.strip_prefix("*.") {
        Some(rest) => HostPattern::Wildcard(rest.into()),
        None => HostPattern::Exact((*host).into()),
    };
    ListenerConfig::Ws(WsListenerConfig {
        hostnames: hosts.iter().map(pattern).collect(),
        path: WsPath(path.into()),
        ..Default::default()
    })
}

fn tcp() -> ListenerConfig {
    ListenerConfig::Tcp(TcpListenerConfig::default())
}

/// A remote port by a chain of this name, which is all that tells it from others.
fn rtcp(chain: &str) -> ListenerConfig {
    let hop = HopConfig {
        name: "hop".into(),
        selector: Default::default(),
        bypasses: vec![],
        nodes: vec![],
    };
    let chain = Arc::new(ChainConfig { name: chain.into(), hops: vec![hop] });
    ListenerConfig::Rtcp(RtcpListenerConfig { chain, ..Default::default() })
}

fn desired(name: &str, port: u16, listener: ListenerConfig, claim: Claim) -> Desired {
    let handler = HandlerConfig::Forward(ForwardHandlerConfig {
        to: Arc::new(ForwardConfig::to(Target { host: None, port: 1 })),
        idle_timeout: None,
        send_proxy_protocol: None,
    });
    Desired {
        terms: None,
        config: Arc::new(ServiceConfig::new(name, ListenAddr::port(port), listener, handler)),
        claim,
        drain: Duration::from_secs(60),
        closed: false,
    }
}

fn created(second: i64) -> Claim {
    Claim { held_since: None, created: Some(Timestamp::from_second(second).unwrap()) }
}

fn held(since: i64, second: i64) -> Claim {
    Claim { held_since: Some(Timestamp::from_second(since).unwrap()), ..created(second) }
}

fn key(namespace: &str, name: &str) -> ServiceKey {
    ServiceKey::new(Origin::tunnel(namespace, name), "in")
}

fn front() -> Ports {
    Ports {
        fronts: vec![Front { addr: ListenAddr::port(8080), tls: false }],
        reserved: vec![9180],
        ..Default::default()
    }
}

fn plan(services: &[(ServiceKey, Desired)]) -> Plan {
    let set = DesiredSet { revision: 1, services: services.iter().cloned().collect() };
    Plan::build(&set, &front())
}

fn refusal(plan: &Plan, key: &ServiceKey) -> Option<Reason> {
    plan.refused.get(key).map(|(reason, _)| *reason)
}

#[test]
fn the_front_port_is_bound_with_no_service_at_all() {
    assert_eq!(plan(&[]).layout.sockets.len(), 1);
}

#[test]
fn the_older_object_wins_a_duel_for_a_path() {
    let (a, b) = (key("a", "x"), key("b", "x"));
    let plan = plan(&[
        (a.clone(), desired("in", 8080, ws("/x", &[]), created(2))),
        (b.clone(), desired("in", 8080, ws("/x", &[]), created(1))),
    ]);
    assert_eq!(refusal(&plan, &a), Some(Reason::HostConflict));
    assert_eq!(refusal(&plan, &b), None);
}

#[test]
fn an_incumbent_keeps_its_path_against_an_older_object_and_a_more_specific_claim() {
    let (old, incumbent) = (key("a", "old"), key("b", "incumbent"));
    for (path, hosts) in [("/x/", &[][..]), ("/x/deep", &[]), ("/x/", &["only.example.com"])] {
        let plan = plan(&[
            (old.clone(), desired("in", 8080, ws(path, hosts), created(1))),
            (incumbent.clone(), desired("in", 8080, ws("/x/", &[]), held(9, 9))),
        ]);
        assert_eq!(refusal(&plan, &old), Some(Reason::HostConflict), "{path} {hosts:?}");
        assert_eq!(refusal(&plan, &incumbent), None);
    }
}

#[test]
fn a_conflict_never_names_an_object_of_another_namespace() {
    let (a, b) = (key("a", "x"), key("secret-team", "x"));
    let plan = plan(&[
        (a.clone(), desired("in", 8080, ws("/x", &[]), created(2))),
        (b, desired("in", 8080, ws("/x", &[]), created(1))),
    ]);
    let (_, message) = plan.refused.get(&a).unwrap();
    assert!(!message.contains("secret-team"), "{message}");
}

#[test]
fn hosts_and_paths_that_share_no_request_share_the_port() {
    let services = [
        (key("a", "1"), desired("in", 8080, ws("/x", &["a.example.com"]), created(1))),
        (key("b", "2"), desired("in", 8080, ws("/x", &["b.example.com"]), created(1))),
        (key("c", "3"), desired("in", 8080, ws("/y", &[]), created(1))),
        (key("d", "4"), desired("in", 8080, ws("/x", &["*.b.example.com"]), created(1))),
    ];
    assert!(plan(&services).refused.is_empty());
}

#[test]
fn a_wildcard_conflicts_with_a_name_one_label_below_it() {
    let (a, b) = (key("a", "1"), key("b", "2"));
    let plan = plan(&[
        (a, desired("in", 8080, ws("/x", &["*.example.com"]), created(1))),
        (b.clone(), desired("in", 8080, ws("/x", &["b.example.com"]), created(2))),
    ]);
    assert_eq!(refusal(&plan, &b), Some(Reason::HostConflict));
}

#[test]
fn within_a_namespace_the_more_specific_claim_simply_serves() {
    let services = [
        (key("a", "1"), desired("in", 8080, ws("/x/", &[]), created(1))),
        (key("a", "2"), desired("in", 8080, ws("/x/deep", &[]), created(2))),
    ];
    assert!(plan(&services).refused.is_empty());
}

#[test]
fn ports_follow_the_rules_of_the_process() {
    let services = [
        (key("a", "front"), desired("in", 8080, tcp(), created(1)), Some(Reason::PortConflict)),
        (key("a", "admin"), desired("in", 9180, tcp(), created(1)), Some(Reason::PortNotAllowed)),
        (key("a", "first"), desired("in", 5432, tcp(), created(1)), None),
        (key("b", "second"), desired("in", 5432, tcp(), created(2)), Some(Reason::PortConflict)),
        (key("b", "ws"), desired("in", 5432, ws("/", &[]), created(3)), Some(Reason::PortConflict)),
    ];
    let all: Vec<_> = services.iter().map(|(k, d, _)| (k.clone(), d.clone())).collect();
    let plan = plan(&all);
    for (key, _, expected) in &services {
        assert_eq!(refusal(&plan, key), *expected, "{key}");
    }
}

#[test]
fn a_udp_and_a_tcp_service_share_a_port_number() {
    let udp = || ListenerConfig::Udp(UdpListenerConfig::default());
    let services = [
        (key("a", "tcp"), desired("in", 5432, tcp(), created(1)), None),
        (key("b", "udp"), desired("in", 5432, udp(), created(2)), None),
        (key("a", "late"), desired("in", 5432, udp(), created(3)), Some(Reason::PortConflict)),
        // Neither the admin port nor the front port is one of UDP.
        (key("a", "admin"), desired("in", 9180, udp(), created(1)), None),
        (key("a", "front"), desired("in", 8080, udp(), created(1)), None),
    ];
    let all: Vec<_> = services.iter().map(|(k, d, _)| (k.clone(), d.clone())).collect();
    let plan = plan(&all);
    for (key, _, expected) in &services {
        assert_eq!(refusal(&plan, key), *expected, "{key}");
    }
}

#[test]
fn ports_of_other_machines_are_no_conflict_and_not_ours_to_keep() {
    let services = [
        (key("a", "tcp"), desired("in", 5432, tcp(), created(1))),
        (key("a", "remote"), desired("in", 5432, rtcp("c"), created(2))),
        (key("b", "remote"), desired("in", 5432, rtcp("c"), created(3))),
        (key("b", "low"), desired("in", 22, rtcp("c"), created(3))),
        (key("b", "admin"), desired("in", 9180, rtcp("c"), created(3))),
    ];
    let plan = plan(&services);
    assert_eq!(plan.refused, BTreeMap::new());
    assert_eq!(plan.layout.sockets.len(), 1 + services.len(), "and the front");
}

#[test]
fn a_new_handler_keeps_a_remote_port_and_a_new_chain_is_one_route() {
    let before = desired("in", 5432, rtcp("c"), created(1));
    let mut after = before.clone();
    Arc::make_mut(&mut after.config).retries = 7;
    let at = |service: &Desired| plan(&[(key("a", "x"), service.clone())]).layout;
    assert_eq!(diff(&at(&before), &at(&after)), vec![Step::Swap(key("a", "x"))]);
    Arc::make_mut(&mut after.config).listener = rtcp("other");
    let id = SocketId {
        medium: Medium::Remote,
        addr: ListenAddr::port(5432),
        owner: Some(key("a", "x")),
    };
    let steps = vec![Step::Swap(key("a", "x")), Step::Route(id)];
    assert_eq!(diff(&at(&before), &at(&after)), steps);
}

#[test]
fn changing_a_handler_touches_no_socket() {
    let before = desired("in", 8080, ws("/x", &[]), created(1));
    let mut after = before.clone();
    Arc::make_mut(&mut after.config).retries = 7;
    let running = plan(&[(key("a", "x"), before)]).layout;
    let wanted = plan(&[(key("a", "x"), after)]).layout;
    assert_eq!(diff(&running, &wanted), vec![Step::Swap(key("a", "x"))]);
}

#[test]
fn a_service_whose_new_port_is_taken_stays_on_the_shared_socket() {
    let moves = |port| (key("a", "moves"), desired("in", port, ws("/x", &[]), created(1)));
    let stays = (key("a", "stays"), desired("in", 8080, ws("/y", &[]), created(1)));
    let running = plan(&[moves(8080), stays.clone()]).layout;
    let taken = SocketId { medium: Medium::Tcp, addr: ListenAddr::port(5000), owner: None };
    let mut wanted = plan(&[moves(5000), stays.clone()]).layout;
    wanted.without([&taken].into_iter(), &running, &front());
    assert_eq!(diff(&running, &wanted), vec![]);

    // Its place is gone if another service was given the path.
    let other = (key("b", "other"), desired("in", 8080, ws("/x", &[]), created(2)));
    let mut wanted = plan(&[moves(5000), stays, other.clone()]).layout;
    wanted.without([&taken].into_iter(), &running, &front());
    assert!(!wanted.services.contains_key(&key("a", "moves")));
    assert!(wanted.services.contains_key(&other.0));
}

fn any_claim() -> impl Strategy<Value = Claim> {
    let time = || proptest::option::of(0i64..4);
    (time(), time()).prop_map(|(held, created)| Claim {
        held_since: held.map(|s| Timestamp::from_second(s).unwrap()),
        created: created.map(|s| Timestamp::from_second(s).unwrap()),
    })
}

fn any_listener() -> impl Strategy<Value = ListenerConfig> {
    let path = prop_oneof![Just("/"), Just("/x"), Just("/x/"), Just("/x/y"), Just("/xy")];
    let host = prop_oneof![Just("a.test"), Just("b.test"), Just("*.test"), Just("c.a.test")];
    prop_oneof![
        1 => Just(tcp()),
        1 => Just(ListenerConfig::Udp(UdpListenerConfig::default())),
        1 => prop_oneof![Just("c"), Just("d")].prop_map(rtcp),
        1 => Just(ListenerConfig::Rtcp(RtcpListenerConfig::default())),
        4 => (path, proptest::collection::vec(host, 0..3)).prop_map(|(p, h)| ws(p, &h)),
    ]
}

fn any_services() -> impl Strategy<Value = Vec<(ServiceKey, Desired)>> {
    let port = prop_oneof![4 => Just(8080u16), 2 => Just(5000), 1 => Just(22)];
    let namespace = prop_oneof![Just("a"), Just("b")];
    let one = (namespace, 0..6u8, port, any_listener(), any_claim()).prop_map(
        |(namespace, name, port, listener, claim)| {
            (key(namespace, &name.to_string()), desired("in", port, listener, claim))
        },
    );
    proptest::collection::vec(one, 0..12)
}

/// Requests that tell every pair of the claims above apart.
fn requests() -> impl Iterator<Item = (&'static str, &'static str)> {
    let hosts = ["a.test", "b.test", "z.test", "c.a.test", "other"];
    let paths = ["/", "/x", "/x/", "/x/y", "/x/y/z", "/xy", "/q"];
    hosts.into_iter().flat_map(move |host| paths.into_iter().map(move |path| (host, path)))
}

fn matches(config: &WsListenerConfig, host: &str, path: &str) -> bool {
    let host_ok = config.hostnames.is_empty()
        || config.hostnames.iter().any(|pattern| match pattern {
            HostPattern::Exact(name) => name == host,
            HostPattern::Wildcard(parent) => host.split_once('.').is_some_and(|(_, r)| r == parent),
        });
    let own = &config.path;
    host_ok && (own.0 == path || (own.is_subtree() && path.starts_with(&own.0)))
}

proptest! {
    #[test]
    fn the_plan_does_not_depend_on_input_order(services in any_services(), seed in any::<u64>()) {
        let unique: BTreeMap<_, _> = services.into_iter().collect();
        let mut shuffled: Vec<_> = unique.clone().into_iter().collect();
        let rotation = (seed as usize) % shuffled.len().max(1);
        shuffled.rotate_left(rotation);
        let ordered: Vec<_> = unique.into_iter().collect();
        prop_assert_eq!(plan(&ordered), plan(&shuffled));
    }

    #[test]
    fn no_request_has_owners_in_two_namespaces(services in any_services()) {
        let unique: BTreeMap<_, _> = services.into_iter().collect();
        let plan = plan(&unique.into_iter().collect::<Vec<_>>());
        for content in plan.layout.sockets.values() {
            let Content::Ws(WsServices { services, .. }) = content else { continue };
            for (host, path) in requests() {
                let mut owners: Vec<_> = services
                    .iter()
                    .filter(|(_, config)| matches(config, host, path))
                    .map(|(key, _)| key.origin.namespace())
                    .collect();
                owners.dedup();
                prop_assert!(owners.len() <= 1, "{host}{path}: {owners:?}");
            }
        }
    }

    #[test]
    fn every_service_is_placed_or_refused(services in any_services()) {
        let unique: BTreeMap<_, _> = services.into_iter().collect();
        let plan = plan(&unique.clone().into_iter().collect::<Vec<_>>());
        for key in unique.keys() {
            prop_assert!(plan.layout.services.contains_key(key) != plan.refused.contains_key(key));
        }
    }

    #[test]
    fn applying_the_diff_gives_the_desired_layout(before in any_services(), after in any_services()) {
        let mut running = plan(&before).layout;
        let wanted = plan(&after).layout;
        for step in diff(&running, &wanted) {
            running.take(&step, &wanted);
        }
        prop_assert_eq!(&running, &wanted);
        prop_assert_eq!(diff(&running, &wanted), vec![]);
    }
}

#[test]
fn what_a_front_port_speaks_is_fixed_and_the_refusal_names_the_other() {
    let mut ports = front();
    ports.fronts.push(Front { addr: ListenAddr::port(8443), tls: true });
    let tls = |listener| match listener {
        ListenerConfig::Ws(ws) => {
            ListenerConfig::Ws(WsListenerConfig { tls: Some(Arc::default()), ..ws })
        }
        other => other,
    };
    let word = |port, listener| {
        let (key, service) = (key("a", "x"), desired("in", port, listener, Claim::default()));
        let set = DesiredSet { revision: 1, services: [(key.clone(), service)].into() };
        Plan::build(&set, &ports).refused.get(&key).cloned()
    };
    assert_eq!(word(8443, tls(ws("/x", &[]))), None);
    assert_eq!(word(8080, ws("/x", &[])), None);
    for (port, listener, words) in [
        (8443, ws("/x", &[]), "speaks TLS: use listener wss or mwss, or addr :8080"),
        (8080, tls(ws("/x", &[])), "speaks plain ws: use listener ws or mws, or addr :8443"),
        (8443, tcp(), "a front port, which speaks wss: use listener type wss, or another port"),
    ] {
        let (reason, message) = word(port, listener).unwrap();
        assert_eq!(reason, Reason::PortConflict);
        assert!(message.ends_with(words), "{message}");
    }
}
