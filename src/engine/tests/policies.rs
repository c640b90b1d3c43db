//! Services of several namespaces on one TLS port: no newcomer changes what an incumbent's clients
//! are shown and answered.

use std::net::SocketAddr;
use std::sync::LazyLock;

use super::*;
use crate::config::model::ServerTls;
use crate::io::{Accept, Inbound, Surroundings};
use crate::net::tls::TlsServer;
use crate::net::tls::tests::Authority;
use crate::transport::ws_server::{WsEndpoint, WsTable};

/// The front port, and one that tenants share besides.
const FRONT: u16 = 8443;
const SHARED: u16 = 9443;

/// What a listener can say about TLS: nothing, self-signed; nothing, with the class's certificate;
/// and two policies of its own.
static POLICIES: LazyLock<[(Arc<ServerTls>, TlsServer); 4]> = LazyLock::new(|| {
    let class = Some(Authority::new().sign("class.test"));
    let alpn = |name: &str| ServerTls { alpn: vec![name.into()], ..ServerTls::default() };
    let class = ServerTls { default_certificate: class, ..ServerTls::default() };
    [ServerTls::default(), class, alpn("one"), alpn("two")].map(|tls| {
        let server = TlsServer::build(&tls).unwrap();
        (Arc::new(tls), server)
    })
});

const BARE: usize = 0;
const CLASS: usize = 1;
const ONE: usize = 2;
const TWO: usize = 3;

fn server(tls: &ServerTls) -> TlsServer {
    POLICIES.iter().find(|(known, _)| **known == *tls).unwrap().1.clone()
}

struct Nobody;

impl Accept for Nobody {
    fn accept(&self, _: Inbound) {}

    fn session(self: Arc<Self>, _: SocketAddr) -> Option<Arc<dyn Accept>> {
        None
    }

    fn surroundings(&self) -> Surroundings {
        unreachable!("nobody comes")
    }
}

/// A service that carries its name in a header, so that it is known again in the table.
fn tls(path: &str, hosts: &[&str], policy: usize, name: &ServiceKey) -> ListenerConfig {
    let ListenerConfig::Ws(config) = ws(path, hosts) else { unreachable!() };
    let header = BTreeMap::from([("Name".into(), name.to_string())]);
    let tls = Some(POLICIES[policy].0.clone());
    ListenerConfig::Ws(WsListenerConfig { tls, header, ..config })
}

fn service(
    (namespace, number): (&str, usize),
    port: u16,
    (path, hosts, policy): (&str, &[&str], usize),
    claim: Claim,
) -> (ServiceKey, Desired) {
    let key = key(namespace, &number.to_string());
    let listener = tls(path, hosts, policy, &key);
    (key, desired("in", port, listener, claim))
}

fn planned(services: &[(ServiceKey, Desired)]) -> Plan {
    let ports = Ports {
        fronts: vec![Front { addr: ListenAddr::port(FRONT), tls: true }],
        ..Ports::default()
    };
    let set = DesiredSet { revision: 1, services: services.iter().cloned().collect() };
    Plan::build(&set, &ports)
}

/// What the supervisor makes of a plan's socket.
fn table(plan: &Plan, port: u16) -> WsTable {
    let addr = ListenAddr::port(port);
    let id = SocketId { medium: Medium::Tcp, addr, owner: None };
    let Some(Content::Ws(ws)) = plan.layout.sockets.get(&id) else { return WsTable::default() };
    let endpoint = |(key, config): (&ServiceKey, &WsListenerConfig)| WsEndpoint {
        config: config.clone(),
        accept: Arc::new(Nobody),
        tls: config.tls.as_ref().map(|tls| server(tls)),
        first: ws.first.is_empty() || ws.first.contains(key),
    };
    let unowned = (port == FRONT).then(|| POLICIES[BARE].1.clone());
    WsTable::build(ws.services.iter().map(endpoint).collect(), unowned)
}

#[test]
fn a_newcomer_whose_policy_an_incumbents_clients_would_meet_is_refused() {
    let (any, exact, other) = (&[][..], &["a.test"][..], &["b.test"][..]);
    let (wildcard, below) = (&["*.test"][..], &["x.a.test"][..]);
    for (incumbent, newcomer, refused) in [
        // The incumbent's own name.
        ((exact, ONE), (exact, TWO), true),
        ((exact, BARE), (exact, ONE), true),
        ((exact, CLASS), (exact, BARE), true),
        ((exact, ONE), (exact, BARE), false),
        ((exact, ONE), (exact, ONE), false),
        // A name of those that it serves.
        ((any, BARE), (exact, ONE), true),
        ((any, ONE), (exact, TWO), true),
        ((any, ONE), (wildcard, BARE), true),
        ((any, BARE), (exact, BARE), false),
        ((wildcard, ONE), (exact, TWO), true),
        ((wildcard, ONE), (exact, BARE), true),
        // Clients without a server name.
        ((exact, BARE), (any, ONE), true),
        ((exact, ONE), (any, TWO), true),
        ((exact, BARE), (any, CLASS), true),
        ((exact, ONE), (any, CLASS), false),
        // Names that it does not serve.
        ((exact, ONE), (other, TWO), false),
        ((exact, ONE), (wildcard, TWO), false),
        ((wildcard, ONE), (below, TWO), false),
    ] {
        let of = |(hosts, policy), path| (path, hosts, policy);
        let services = [
            service(("a", 1), FRONT, of(incumbent, "/a"), created(1)),
            service(("b", 1), FRONT, of(newcomer, "/b"), created(2)),
        ];
        let plan = planned(&services);
        let reason = refusal(&plan, &services[1].0);
        assert_eq!(reason.is_some(), refused, "{incumbent:?} {newcomer:?}");
        assert_eq!(refusal(&plan, &services[0].0), None);
        // Within a namespace only two policies of one host are one too many.
        let own = [services[0].clone(), {
            let (_, mut moved) = services[1].clone();
            moved.claim = created(2);
            (key("a", "2"), moved)
        }];
        let twice = incumbent.0 == newcomer.0 && (incumbent.1, newcomer.1) == (ONE, TWO);
        assert_eq!(planned(&own).refused.is_empty(), !twice, "{incumbent:?} {newcomer:?}");
    }
}

#[test]
fn a_namespace_cannot_change_the_policy_of_a_host_that_another_one_inherits() {
    let hosts = &["a.test"][..];
    let services = [
        service(("a", 1), FRONT, ("/a", hosts, BARE), created(1)),
        service(("b", 1), FRONT, ("/b", hosts, BARE), created(2)),
        service(("a", 2), FRONT, ("/c", hosts, ONE), created(3)),
    ];
    let plan = planned(&services);
    assert_eq!(plan.refused.keys().collect::<Vec<_>>(), [&services[2].0]);
    let (_, message) = &plan.refused[&services[2].0];
    assert!(message.starts_with("a service of another namespace has overlapping"), "{message}");
}

#[test]
fn without_a_server_name_the_first_comer_of_a_shared_port_is_shown() {
    let services = [
        service(("b", 1), SHARED, ("/a", &["a.test"], ONE), created(1)),
        service(("a", 1), SHARED, ("/b", &["b.test"], BARE), created(2)),
    ];
    let plan = planned(&services);
    assert!(plan.refused.is_empty());
    for name in [None, Some("unknown.test")] {
        let (shown, found) = table(&plan, SHARED).answers(name, ("a.test", "/a"));
        assert!(shown.unwrap().is(&POLICIES[ONE].1), "{name:?}");
        assert!(found.unwrap().1, "{name:?}");
    }
}

fn any_set(
    namespaces: &'static [&'static str],
    first: i64,
) -> impl Strategy<Value = Vec<(ServiceKey, Desired)>> {
    let hosts = prop_oneof![
        Just("a.test"),
        Just("b.test"),
        Just("*.test"),
        Just("c.a.test"),
        Just("*.a.test")
    ];
    let path = prop_oneof![Just("/"), Just("/x"), Just("/x/"), Just("/y"), Just("/z")];
    let port = prop_oneof![2 => Just(FRONT), 1 => Just(SHARED)];
    let hosts = proptest::collection::vec(hosts, 0..3);
    let namespace = proptest::sample::select(namespaces);
    let one = (namespace, port, path, hosts, 0..POLICIES.len());
    proptest::collection::vec(one, 1..5).prop_map(move |all| {
        let services =
            all.into_iter().enumerate().map(|(i, (namespace, port, path, hosts, tls))| {
                let claim = created(first + i as i64);
                service((namespace, 10 * first as usize + i), port, (path, &hosts, tls), claim)
            });
        services.collect()
    })
}

fn name(config: &WsListenerConfig) -> &str {
    &config.header["Name"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn newcomers_of_another_namespace_change_nothing_for_incumbents(
        incumbents in any_set(&["b", "d"], 1),
        newcomers in any_set(&["a", "c"], 10),
    ) {
        let before = planned(&incumbents);
        let all: Vec<_> = incumbents.iter().chain(&newcomers).cloned().collect();
        let after = planned(&all);
        for port in [FRONT, SHARED] {
            let (old, new) = (table(&before, port), table(&after, port));
            let ours: Vec<_> = before.layout.services.values()
                .filter(|config| config.listen.port == port)
                .filter_map(|config| match &config.listener {
                    ListenerConfig::Ws(ws) => Some(ws),
                    _ => None,
                })
                .collect();
            for host in ["a.test", "b.test", "z.test", "c.a.test", "d.a.test", "other", "x.other"] {
                for path in ["/", "/x", "/x/", "/x/y", "/y", "/z", "/q"] {
                    for sni in [None, Some(host)] {
                        let (shown, answer) = old.answers(sni, (host, path));
                        let (shown_now, answer_now) = new.answers(sni, (host, path));
                        let what = format!("{port} {sni:?} {host}{path}");
                        // Whoever is on the host may meet this handshake.
                        let meets = ours.iter().any(|config| matches(
                            &WsListenerConfig { path: WsPath("/".into()), ..(**config).clone() },
                            host,
                            "/",
                        ));
                        if meets && let (Some(shown), Some(now)) = (shown, shown_now) {
                            // The class's certificate instead of a self-signed one is no newcomer's.
                            let class = sni.is_none() && now.is(&POLICIES[CLASS].1);
                            prop_assert!(now.is(&shown) || class, "shown: {what}");
                        }
                        if let Some((config, directed)) = answer {
                            let (now, directed_now) = answer_now.unwrap();
                            prop_assert_eq!(name(&config), name(&now), "{}", what);
                            prop_assert!(!directed || directed_now, "421: {what}");
                        }
                    }
                }
            }
        }
    }
}
