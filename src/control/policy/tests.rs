//! Class files, and what classes say of tunnels.

use serde_json::{Value, json};

use super::*;
use crate::config::lower::{LowerContext, lower_tunnel};
use crate::config::model::AutoProtocols;
use crate::config::raw::TunnelSpec;
use crate::config::secrets::Secrets;

const RESERVED: Reserved<'_> = Reserved { fronts: &[8080], admin: Some(9180) };

fn read(text: &str) -> Result<Policy, String> {
    Policy::read([("classes.yaml", text)], RESERVED).map_err(|errors| errors.to_string())
}

fn class(rest: &str) -> Arc<Class> {
    let text = format!("classes:\n- name: c\n  namespaces: {{all: true}}\n{rest}");
    read(&text).unwrap().classes().next().unwrap().clone()
}

#[test]
fn a_class_that_says_nothing_is_the_shipped_one() {
    let text = "classes: [{name: adit, default: true, namespaces: {all: true}}]";
    assert_eq!(read(text).unwrap(), Policy::built_in());
    let shipped = "
classes:
- name: adit
  default: true
  namespaces: {all: true}
  listeners: [ws, wss, mws, mwss, tcp, tls, udp]
  handlers: [auto, http, socks4, socks5, relay, forward, tcp, udp]
  hostnames: []
  paths: []
  ports: {bind: 1024-19999, allocate: 20000-29999}
  requireAuth: true
  inlineCredentials: true
  egress: {deny: [], allow: [], denyPrivate: false}
  expose: {types: [ClusterIP], annotations: [], labels: []}
  defaultCertificate: {secret: \"\"}
  limits: {tunnelsPerNamespace: 100, connectionsPerTunnel: 10000, connectionsPerNamespace: 20000, portsPerNamespace: 64, claimsPerNamespace: 200, nodesPerTunnel: 512, receiveBuffer: 16MiB, streamBuffer: 4194304, maxTimeout: 10m, idleTimeout: 0s, maxDrain: 10m}
";
    assert_eq!(read(shipped).unwrap(), Policy::built_in());
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_path_and_its_fix() {
    let of = |rest: &str| format!("classes:\n- name: c\n  namespaces: {{all: true}}\n{rest}");
    for (text, parts) in [
        ("[".into(), &["classes.yaml: this is no YAML"][..]),
        ("classes: []".into(), &["classes: there is no class"]),
        ("class: []".into(), &["unknown field `class`"]),
        (of("  requireauth: true"), &["classes[0]: unknown field `requireauth`"]),
        (of("  limits: {tunnels: 1}"), &["classes[0].limits: unknown field `tunnels`"]),
        (of("  limits: {maxDrain: soon}"), &["classes[0].limits.maxDrain: "]),
        (of("  limits: {receiveBuffer: 16M}"), &["classes[0].limits.receiveBuffer: ", "10MB"]),
        (of("  limits: {receiveBuffer: -1}"), &["limits.receiveBuffer: -1", "16MiB"]),
        (of("  limits: {receiveBuffer: 4GiB}"), &["limits.receiveBuffer: 4GiB", "at most"]),
        (of("  limits: {streamBuffer: 1KiB}"), &["limits.streamBuffer: 1KiB", "at least 64KiB"]),
        (of("  limits: {maxTimeout: 1s}"), &["limits.maxTimeout: 1s", "at least 15s"]),
        (of("  limits: {maxTimeout: 600}"), &["limits.maxTimeout: invalid type", "string"]),
        (of("  limits: {nodesPerTunnel: -1}"), &["limits.nodesPerTunnel: invalid value"]),
        (of("  limits: {portsPerNamespace: many}"), &["limits.portsPerNamespace: invalid type"]),
        (of("  defaultCertificate: edge"), &["classes[0].defaultCertificate: "]),
        (of("  defaultCertificate: {secret: a/b}"), &["defaultCertificate.secret", "name of a Secret"]),
        (of("  listeners: ws"), &["classes[0].listeners: invalid type: string \"ws\""]),
        (of("  requireAuth: 'yes'"), &["classes[0].requireAuth: ", "expected a boolean"]),
        (
            "classes: [{name: c, namespaces: team-a}]".into(),
            &["classes[0].namespaces: ", "a map with all: true, names or matchLabels"],
        ),
        ("classes: [{name: c, namespaces: {names: [T]}}]".into(), &["namespaces.names[0]", "\"T\""]),
        ("classes: [{name: c, namespaces: {names: []}}]".into(), &["nobody would be served"]),
        (of("  listeners: [rtcp]"), &["classes[0].listeners[0]: \"rtcp\" is none of ws"]),
        (of("  handlers: [ssh]"), &["classes[0].handlers[0]"]),
        (of("  handlers: [auto, relay]"), &["classes[0].handlers: auto speaks http, socks4", "remove auto"]),
        (of("  expose: {types: [ExternalName]}"), &["expose.types[0]", "LoadBalancer"]),
        (of("  hostnames: [\"{team}.x\"]"), &["hostnames[0]", "{namespace}"]),
        (of("  paths: [t/]"), &["paths[0]", "begins with /"]),
        (of("  egress: {deny: [10.0.0.0]}"), &["egress.deny[0]", "write it like"]),
        (of("  ports: {bind: 9-1}"), &["classes[0].ports.bind", "no range"]),
        (of("  ports: {bind: 1-100, allocate: 100-200}"), &["overlaps", "part them"]),
        (of("  ports: {bind: 1-100, allocate: 8000-9000}"), &["ports.allocate", "8080"]),
        (of("  ports: {bind: 1-100, allocate: 9180}"), &["ports.allocate", "9180"]),
        ("classes: [{name: c}]".into(), &["classes[0].namespaces", "all: true"]),
        (
            "classes: [{name: c, namespaces: {all: true, names: [a]}}]".into(),
            &["classes[0].namespaces", "one of"],
        ),
        (
            "classes: [{name: c, default: true, namespaces: {all: true}}, {name: c, default: true, \
             namespaces: {all: true}, ports: {bind: 25000, allocate: 30000-31000}}]"
                .into(),
            &["classes[1].name", "rename", "classes[1].default", "classes[1].ports", "overlaps"],
        ),
    ] {
        let error = read(&text).expect_err(&text);
        for part in parts {
            assert!(error.contains(part), "{text}\n{part}\n{error}");
        }
    }
}

#[test]
fn a_class_says_its_limits_in_the_words_of_the_file() {
    let limits = class(
        "  limits: {portsPerNamespace: 1, claimsPerNamespace: 2, nodesPerTunnel: 3, \
         receiveBuffer: 64MiB, streamBuffer: 1.5MB, maxTimeout: 1h}",
    )
    .limits
    .clone();
    let expected = ClassLimits {
        ports_per_namespace: 1,
        claims_per_namespace: 2,
        nodes_per_tunnel: 3,
        receive_buffer: 64 << 20,
        stream_buffer: 3 << 19,
        max_timeout: std::time::Duration::from_secs(3600),
        ..ClassLimits::default()
    };
    assert_eq!(limits, expected);
}

#[test]
fn a_tunnel_has_the_class_that_it_names_or_the_default() {
    let two = "classes: [{name: a, namespaces: {all: true}}, {name: b, namespaces: {all: true}}]";
    let policy = read(two).unwrap();
    assert_eq!(policy.select(None), Selected::None);
    assert_eq!(policy.select(Some("x")), Selected::Foreign);
    assert!(matches!(policy.select(Some("b")), Selected::Class(class) if class.name == "b"));
    let built_in = Policy::built_in();
    assert!(matches!(built_in.select(Some("")), Selected::Class(class) if class.name == "adit"));
}

#[test]
fn namespaces_are_all_or_by_name_or_by_labels() {
    let labels = BTreeMap::from([("team".to_string(), "yes".to_string())]);
    let labels = Labels::from([("a".into(), labels)]);
    for (namespaces, a, b) in [
        ("{all: true}", true, true),
        ("{names: [b]}", false, true),
        ("{matchLabels: {team: yes}}", true, false),
    ] {
        let text = format!("classes: [{{name: c, namespaces: {namespaces}}}]");
        let text = text.replace("team: yes", "team: 'yes'");
        let policy = read(&text).unwrap();
        let class = policy.classes().next().unwrap();
        assert_eq!((class.serves("a", &labels), class.serves("b", &labels)), (a, b), "{text}");
        assert_eq!(policy.needs_labels(), text.contains("matchLabels"));
    }
}

/// A ws service on the front port, with a user.
fn service() -> Value {
    json!({
        "name": "s", "addr": ":8080", "hostnames": ["a.team.example"],
        "handler": {"type": "http", "auth": {"username": "u", "password": "p"}},
        "listener": {"type": "ws", "metadata": {"path": "/t/team/x"}},
    })
}

fn judged(class: &Class, spec: &Value) -> Result<(), String> {
    let spec: TunnelSpec = serde_json::from_value(spec.clone()).unwrap();
    let secrets = Secrets::default();
    let lowered =
        lower_tunnel(&spec, &LowerContext::controller("team", &secrets, &[8080]).of_tunnel("t"))
            .unwrap();
    let exposed = |service| lowered.exposures.get(service);
    let services = lowered.services.iter().chain(&lowered.outlines);
    let services = services.map(|config| (config, exposed(&config.name)));
    refusals(class, "team", &spec.config, services, RESERVED)
        .map_err(|errors| format!("{}/{errors}", errors.reason()))
}

#[test]
fn a_class_says_what_it_does_not_allow_and_what_it_does() {
    let with = |key: &str, value: Value| {
        let mut service = service();
        service[key] = value;
        service
    };
    for (rest, service, refused) in [
        ("", service(), ""),
        ("  listeners: [wss]", service(), "NotAllowedByClass/services[0].listener.type"),
        ("  handlers: [relay]", service(), "it allows relay"),
        (
            "  handlers: [socks5]\n  requireAuth: false",
            with("handler", json!({"type": "socks"})),
            "",
        ),
        ("  handlers: [http]", with("handler", json!({})), "does not allow handler auto"),
        ("  requireAuth: true", service(), ""),
        ("  inlineCredentials: false", service(), "services[0].handler.auth: class \"c\" wants"),
        ("  hostnames: ['*.{namespace}.example']", service(), ""),
        ("  hostnames: ['a.{namespace}.example']", service(), ""),
        ("  hostnames: ['*.other.example']", service(), "HostnameNotAllowed/services[0].hostnames"),
        ("  hostnames: ['*.example']", service(), "it allows *.example"),
        ("  hostnames: ['*.x']", with("hostnames", json!([])), "does not allow to serve any Host"),
        ("  hostnames: ['*.x']", with("hostnames", json!(["*.x"])), ""),
        ("  hostnames: ['a.x']", with("hostnames", json!(["*.x"])), "HostnameNotAllowed"),
        ("  paths: ['/t/{namespace}']", service(), ""),
        ("  paths: ['/t/{namespace}/']", service(), ""),
        ("  paths: [/u, /v]", service(), "PathNotAllowed/services[0].listener.metadata.path"),
        ("  paths: [/t/tea]", service(), "it allows what is below /t/tea"),
        ("  ports: {bind: 1024-2000}", with("addr", json!(":1500")), ""),
        ("  ports: {bind: 1024-2000}", service(), ""),
        (
            "  ports: {bind: 1024-2000}",
            with("addr", json!(":2001")),
            "PortNotAllowed/services[0].addr",
        ),
        ("  ports: {bind: 1024-2000}", with("addr", json!(":22")), "or the front port :8080"),
    ] {
        let judged = judged(&class(rest), &json!({"services": [service]}));
        match refused {
            "" => assert_eq!(judged, Ok(()), "{rest}"),
            part => {
                let error = judged.expect_err(rest);
                assert!(error.contains(part), "{rest}: {error}");
            }
        }
    }
}

/// A handler of this type with targets, if it takes some.
fn to_targets(kind: &str) -> Value {
    json!({"services": [{
        "name": "s", "addr": ":8080", "handler": {"type": kind}, "listener": {"type": "ws"},
        "forwarder": {"nodes": [{"name": "n", "addr": "db:5432"}]},
    }]})
}

#[test]
fn users_are_required_of_every_service_but_a_forward_to_declared_targets() {
    let lax = class("  requireAuth: false");
    for class in [class(""), class("  requireAuth: true"), Policy::built_in().classes[0].clone()] {
        for kind in ["auto", "http", "socks5", "relay", "socks4"] {
            let mut open = json!({"services": [service()]});
            open["services"][0]["handler"] = json!({"type": kind});
            let error = judged(&class, &open).expect_err(kind);
            assert!(error.starts_with("NotAllowedByClass/services[0].handler: "), "{error}");
            assert!(error.contains("add auth or an auther"), "{error}");
            assert!(error.contains("requireAuth: false"), "{error}");
            assert_eq!(error.contains("use socks5"), kind == "socks4", "{error}");
            assert_eq!(judged(&lax, &open), Ok(()), "{kind}");
        }
        // Its target is fixed, but nobody has said that the service is for everybody.
        let error = judged(&class, &to_targets("relay")).unwrap_err();
        assert!(error.starts_with("NotAllowedByClass/services[0].handler: "), "{error}");
        assert_eq!(judged(&lax, &to_targets("relay")), Ok(()));
        for kind in ["tcp", "forward"] {
            assert_eq!(judged(&class, &to_targets(kind)), Ok(()), "{kind}");
        }
        let mut closed = to_targets("relay");
        closed["services"][0]["handler"]["auth"] = json!({"username": "u", "password": "p"});
        assert_eq!(judged(&class, &closed), Ok(()));
    }
}

#[test]
fn a_client_certificate_does_not_count_as_users() {
    let mut spec = json!({"services": [service()]});
    spec["services"][0]["handler"] = json!({"type": "relay"});
    spec["services"][0]["listener"] = json!({"type": "wss", "tls": {
        "secretRef": {"name": "edge"}, "clientCARef": {"name": "ca"}}});
    let error = judged(&class(""), &spec).unwrap_err();
    assert!(error.contains("add auth or an auther"), "{error}");
}

#[test]
fn auto_speaks_the_protocols_that_the_class_has_handlers_for() {
    for (handlers, http, socks4, socks5) in [
        ("", true, true, true),
        ("  handlers: [auto, http]", true, false, false),
        ("  handlers: [auto, socks5, relay]", false, false, true),
        ("  handlers: [socks4, auto]", false, true, false),
    ] {
        let wanted = AutoProtocols { http, socks4, socks5 };
        assert_eq!(class(handlers).auto(), wanted, "{handlers}");
    }
}

#[test]
fn a_service_that_is_exposed_is_held_to_what_its_class_exposes_and_not_to_its_ports() {
    let lax = "  requireAuth: false";
    let open = json!({"type": "http"});
    let closed = service()["handler"].clone();
    let lists = "  requireAuth: false
  expose: {types: [ClusterIP, LoadBalancer], annotations: [a], labels: [l]}";
    for (rest, expose, handler, refused) in [
        (lax, json!({}), &open, ""),
        ("", json!({"type": "LoadBalancer"}), &closed, "it allows ClusterIP"),
        (lists, json!({"type": "LoadBalancer", "annotations": {"a": ""}}), &closed, ""),
        (lists, json!({"type": "LoadBalancer"}), &open, "NotAllowedByClass/services[0].handler"),
        (lists, json!({"type": "NodePort"}), &closed, "services[0].expose.type: class \"c\""),
        (
            lists,
            json!({"labels": {"l": "", "a": ""}}),
            &open,
            "allow \"a\" on Services; it allows l",
        ),
        (lax, json!({"annotations": {"a": ""}}), &open, "it allows none"),
        ("  expose: {types: []}", json!({"name": "db"}), &closed, "type ClusterIP; it allows none"),
    ] {
        let spec = json!({"services": [{
            "name": "s", "addr": ":22", "handler": handler, "listener": {"type": "ws"},
            "expose": expose,
        }]});
        let judged = judged(&class(rest), &spec);
        match refused {
            "" => assert_eq!(judged, Ok(()), "{rest} {expose}"),
            part => {
                let error = judged.expect_err(rest);
                assert!(error.contains(part), "{rest} {expose}: {error}");
            }
        }
    }
}

#[test]
fn a_relay_to_fixed_targets_without_users_is_not_exposed_beyond_the_cluster() {
    let class = class("  requireAuth: false\n  expose: {types: [ClusterIP, NodePort]}");
    for (kind, refused) in [("relay", true), ("forward", false)] {
        let mut spec = to_targets(kind);
        spec["services"][0]["expose"] = json!({"type": "NodePort"});
        assert_eq!(judged(&class, &spec).is_err(), refused, "{kind}");
        spec["services"][0]["expose"] = json!({});
        assert_eq!(judged(&class, &spec), Ok(()), "{kind}");
    }
}

#[test]
fn passwords_are_found_wherever_they_are_written() {
    let auth = json!({"username": "u", "password": "p"});
    let node = json!({"name": "n", "addr": "a:1", "connector": {"type": "http", "auth": auth}});
    let spec = json!({
        "services": [{"name": "s", "addr": ":8080", "handler": {"type": "http", "auther": "a"},
            "listener": {"type": "ws"}}],
        "authers": [{"name": "a", "auths": [auth]}],
        "chains": [{"name": "c", "hops": [{"name": "h", "nodes": [node]}]}],
        "hops": [{"name": "k", "nodes": [node]}],
    });
    let error = judged(&class("  inlineCredentials: false"), &spec).unwrap_err();
    for path in
        ["authers[0].auths[0]", "chains[0].hops[0].nodes[0].connector.auth", "hops[0].nodes[0]"]
    {
        assert!(error.contains(path), "{error}");
    }
}
