mod cluster;
mod envelope;
mod expose;
mod gates;
mod listeners;
mod names;
mod protocols;
mod refusals;
mod routes;
mod secrets;
mod tls;

use super::*;
use crate::base::{Reason, Secret};
use crate::config::model::{
    ConnectorConfig, DialerConfig, HandlerConfig, HostPattern, ListenerConfig,
};
use crate::config::read::read;
use proptest::prelude::*;

fn files(text: &str) -> Result<Lowered, ConfigErrors> {
    let documents = read(text)?;
    lower(&documents.gost, &LowerContext::files("default", &documents.secrets))
}

fn controller(text: &str) -> Result<Lowered, ConfigErrors> {
    let documents = read(text)?;
    lower(&documents.gost, &LowerContext::controller("team-a", &Secrets::default(), &[8080, 8443]))
}

/// As [`files`], with files of these contents.
fn with_files(text: &str, contents: &[(&str, &str)]) -> Result<Lowered, ConfigErrors> {
    let documents = read(text)?;
    let content =
        |(path, text): &(&str, &str)| (path.to_string(), Ok(Secret::new(text.as_bytes().into())));
    let read = Files(contents.iter().map(content).collect());
    lower(&documents.gost, &LowerContext::files("default", &documents.secrets).with_files(&read))
}

/// The lines of the errors.
fn errors(result: Result<Lowered, ConfigErrors>) -> Vec<String> {
    result.unwrap_err().0.iter().map(ToString::to_string).collect()
}

fn warnings(lowered: &Lowered) -> Vec<String> {
    lowered.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_configuration_is_valid() {
    assert_eq!(files(""), Ok(Lowered::default()));
}

#[test]
fn types_default_as_in_gost() {
    let lowered = files(
        "services: [{name: a, addr: ':1', handler: {chain: c}}]\n\
         chains: [{name: c, hops: [{nodes: [{addr: 'h:2'}]}]}]",
    )
    .unwrap();
    let service = &lowered.services[0];
    assert!(matches!(service.listener, ListenerConfig::Tcp(_)));
    assert!(matches!(service.handler, HandlerConfig::Auto(_)));
    let node = &service.chain.hops[0].nodes[0];
    assert!(matches!(node.dialer, DialerConfig::Tcp { tls: None, keepalive: None }));
    assert!(matches!(node.connector, ConnectorConfig::Http(_)));
    assert_eq!((node.name.as_str(), node.addr_text.as_str()), ("node-0", "h:2"));
}

#[test]
fn a_ws_listener_is_lowered_with_all_its_options() {
    let text = "
services:
- name: in
  addr: :8080
  hostnames: ['*.B.example', A.example., a.example]
  handler: {type: http, auth: {username: u, password: 12}, retries: 2, metadata: {readTimeout: -1}}
  listener:
    type: ws
    metadata:
      path: /t/
      header: {x-a: 1}
      backlog: 7
      handshakeTimeout: 3
      ws: {readHeaderTimeout: 1500ms}
      keepalive: true
      keepalive.idle: 20s
      pingInterval: 25s
      lingerTimeout: 1m
";
    let lowered = files(text).unwrap();
    assert_eq!(warnings(&lowered), Vec::<String>::new());
    let service = &lowered.services[0];
    assert_eq!(service.retries, 2);
    let ListenerConfig::Ws(ws) = &service.listener else { panic!() };
    let expected =
        [HostPattern::Exact("a.example".into()), HostPattern::Wildcard("b.example".into())];
    assert_eq!(ws.hostnames, expected);
    assert_eq!(ws.path.0, "/t/");
    assert_eq!(ws.header.get("X-A").map(String::as_str), Some("1"));
    assert_eq!(ws.backlog, 7);
    assert_eq!(ws.handshake_timeout, Some(Duration::from_secs(3)));
    assert_eq!(ws.read_header_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(ws.keepalive.as_ref().unwrap().idle, Some(Duration::from_secs(20)));
    assert_eq!(ws.ping_interval, Some(Duration::from_secs(25)));
    assert_eq!(ws.linger_timeout, Duration::from_secs(60));
    let HandlerConfig::Http(http) = &service.handler else { panic!() };
    assert_eq!(http.read_timeout, None);
    let users = &http.users.as_ref().unwrap().0;
    assert_eq!(users.get("u"), Some(&Secret::new("12".into())));
}

#[test]
fn every_error_is_reported_at_once_with_its_path() {
    let errors = errors(files(
        "
services:
- {name: a, addr: '8080', handler: {type: http, chain: nope, auther: none}}
- {name: a, addr: ':1', handler: {type: masque}, listener: {type: wsss}}
- {name: c, addr: ':2', handler: {type: tcp}, listener: {type: ws, metadata: {path: 'x'}}}
chains:
- {name: up, hops: [{nodes: []}]}
",
    ));
    let expected = [
        "services[1].name: services[0] has the name \"a\" too; names are unique",
        "services[0].addr: \"8080\" is a port without a colon; write \":8080\"",
        "services[0].handler.auther: auther \"none\" does not exist; known: none",
        "services[0].handler.chain: chain \"nope\" does not exist; known: up",
        "services[1].listener.type: unknown listener type \"wsss\"; did you mean \"wss\"?; \
         supported: ws, wss, mws, mwss, tcp, tls, udp, rtcp",
        "services[1].handler.type: handler type \"masque\" is not supported in this version; \
         supported: auto, http, socks4, socks4a, socks5, socks, relay, forward, tcp, udp, rtcp",
        "services[2].listener.metadata.path: a path begins with /",
        "services[2].forwarder: handler tcp needs a forwarder with a node: its target",
        "chains[0].hops[0].nodes: the hop has no nodes; it needs one",
    ];
    assert_eq!(errors, expected);
}

#[test]
fn a_path_that_a_request_could_not_have_is_refused() {
    for path in ["ws", "/{x}", "/a?b", "/a#b", "'/a b'", "/a//b", "/../a"] {
        let result = files(&format!(
            "services: [{{name: a, addr: ':1', listener: {{type: ws, metadata: {{path: \"{path}\"}}}}}}]"
        ));
        assert_eq!(result.unwrap_err().reason(), Reason::PathNotAllowed, "{path}");
    }
}

#[test]
fn what_would_let_anybody_in_is_refused() {
    for (auth, at) in [
        ("auth: {username: u, password: ''}", "handler.auth.password"),
        ("auth: {username: u}", "handler.auth.password"),
        ("auth: {password: p}", "handler.auth.username"),
        ("auth: {}", "handler.auth.username"),
        ("auth: {username: u, password: p}, auther: us", "handler.auth: auth would be ignored"),
        ("auth: {secretRef: {name: gone}}", "Secret \"gone\" does not exist"),
        ("auther: empty", "authers[1]: the auther has no users"),
    ] {
        let text = format!(
            "services: [{{name: a, addr: ':1', handler: {{type: http, {auth}}}}}]\n\
             authers: [{{name: us, auths: [{{username: u, password: p}}]}}, {{name: empty}}]"
        );
        let errors = errors(files(&text));
        assert!(errors.iter().any(|e| e.contains(at)), "{auth}: {errors:?}");
    }
}

#[test]
fn authers_are_joined_and_must_agree() {
    let text = |password: &str| {
        format!(
            "services: [{{name: a, addr: ':1', handler: {{type: http, authers: [x, y]}}}}]\n\
             authers:\n\
             - {{name: x, auths: [{{username: u, password: p}}]}}\n\
             - {{name: y, auths: [{{username: u, password: {password}}}, {{username: v, password: q}}]}}"
        )
    };
    let lowered = files(&text("p")).unwrap();
    let HandlerConfig::Http(http) = &lowered.services[0].handler else { panic!() };
    assert_eq!(http.users.as_ref().unwrap().0.len(), 2);
    assert_eq!(errors(files(&text("other"))).len(), 1);
}

#[test]
fn secrets_of_the_same_text_are_found_by_namespace_and_name() {
    let text = "
services:
- {name: a, addr: ':1', handler: {type: http, auther: us, chain: c}}
authers: [{name: us, secretRef: {name: users}}]
chains: [{name: c, hops: [{nodes: [{addr: 'h:1', connector: {auth: {secretRef: {name: gw}}}}]}]}]
---
{apiVersion: v1, kind: Secret, metadata: {name: users}, data: {ann: cGFzcw==}}
---
{apiVersion: v1, kind: Secret, metadata: {name: gw}, stringData: {username: me, password: pw}}
";
    let lowered = files(text).unwrap();
    let HandlerConfig::Http(http) = &lowered.services[0].handler else { panic!() };
    assert_eq!(http.users.as_ref().unwrap().0.get("ann").unwrap().expose(), "pass");
    let node = &lowered.services[0].chain.hops[0].nodes[0];
    let ConnectorConfig::Http(connector) = &node.connector else { panic!() };
    assert_eq!(connector.auth.as_ref().unwrap().password.expose(), "pw");
    let elsewhere = text.replace("metadata: {name: gw}", "metadata: {name: gw, namespace: b}");
    assert_eq!(files(&elsewhere).unwrap_err().reason(), Reason::SecretNotFound);
}

#[test]
fn tenants_reach_no_loopback_but_tcp_ports_of_their_own() {
    let text = |target: &str, port: u16| {
        format!(
            "services:\n\
             - {{name: f, addr: ':9000', handler: {{type: forward}}, listener: {{type: ws}},\n\
             \x20  forwarder: {{nodes: [{{addr: '{target}'}}]}}}}\n\
             - {{name: p, addr: ':{port}', handler: {{type: http}}, listener: {{type: tcp}}}}"
        )
    };
    assert!(controller(&text(":1080", 1080)).is_ok());
    assert!(controller(&text("127.0.0.1:1080", 1080)).is_ok());
    for (target, port) in [(":1081", 1080), (":8080", 8080), ("localhost:6443", 1), (":9000", 1)] {
        let error = controller(&text(target, port)).unwrap_err();
        assert_eq!(error.reason(), Reason::LoopbackTarget, "{target}");
    }
    assert!(files(&text(":1081", 1080)).is_ok());
}

#[test]
fn only_the_first_node_of_a_chain_is_dialled_from_here() {
    let text = |first: &str, second: &str| {
        format!(
            "chains: [{{name: c, hops: [{{name: named}}, {{nodes: [{{addr: '{second}'}}]}}]}}]\n\
             hops: [{{name: named, nodes: [{{addr: '{first}'}}]}}]"
        )
    };
    assert!(controller(&text("gw:1", ":8443")).is_ok());
    let error = controller(&text(":8443", "gw:1")).unwrap_err();
    assert_eq!(error.reason(), Reason::LoopbackTarget);
    assert_eq!(error.0[0].path, "chains[0].hops[0].name");
}

#[test]
fn a_tenant_listens_on_ports_not_on_addresses() {
    for addr in ["127.0.0.1:80", ":0", ":", ""] {
        let text = format!("services: [{{name: a, addr: '{addr}', handler: {{type: http}}}}]");
        assert_eq!(errors(controller(&text)).len(), 1, "{addr}");
        assert_eq!(files(&text).is_ok(), !addr.is_empty(), "{addr}");
    }
}

#[test]
fn tenants_get_pings_unless_they_turn_them_off() {
    let ping = |metadata: &str| {
        let lowered = controller(&format!(
            "services: [{{name: a, addr: ':1', listener: {{type: ws, metadata: {metadata}}}}}]"
        ));
        match &lowered.unwrap().services[0].listener {
            ListenerConfig::Ws(ws) => ws.ping_interval,
            _ => panic!(),
        }
    };
    assert_eq!(ping("{}"), Some(Duration::from_secs(30)));
    assert_eq!(ping("{pingInterval: 0}"), None);
    assert_eq!(ping("{pingInterval: 5s}"), Some(Duration::from_secs(5)));
}

#[test]
fn an_open_proxy_and_a_readable_password_are_flagged() {
    let lowered = controller(
        "services: [{name: a, addr: ':1'}, {name: b, addr: ':2', handler: {auth: {username: u, password: p}}}]",
    );
    let lowered = lowered.unwrap();
    assert!(lowered.services[0].warnings[0].starts_with("an open proxy"));
    assert!(lowered.services[1].warnings[0].starts_with("the password can be read"));
    assert_eq!(lowered.warnings.len(), 2);
    let local = files("services: [{name: a, addr: '127.0.0.1:1'}]").unwrap();
    assert_eq!(warnings(&local), Vec::<String>::new());
}

#[test]
fn metadata_that_would_change_what_is_served_is_refused_unless_it_is_off() {
    let listener = |metadata: &str| {
        files(&format!(
            "services: [{{name: a, addr: '127.0.0.1:1', listener: {{type: ws, metadata: {metadata}}}}}]"
        ))
    };
    let refused = listener("{enableCompression: true}").unwrap_err();
    assert_eq!(refused.reason(), Reason::Unsupported);
    assert!(refused.to_string().contains("enableCompression"));
    assert_eq!(warnings(&listener("{enableCompression: false}").unwrap()), Vec::<String>::new());
    let typo = listener("{pth: /x}").unwrap();
    assert!(warnings(&typo)[0].contains("did you mean `path`?"), "{typo:?}");
}

#[test]
fn copies_in_the_maps_beside_are_quiet_and_other_values_are_not() {
    let lowered = files(
        "services: [{name: a, addr: '127.0.0.1:1', metadata: {path: /x}, \
         handler: {metadata: {path: /y, odd: 1}}, listener: {type: ws, metadata: {path: /x, odd: 1}}}]",
    );
    let warnings = warnings(&lowered.unwrap());
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("services[0].listener.metadata.odd"));
    assert!(warnings[1].starts_with("services[0].handler.metadata.path"));
}

#[test]
fn a_service_without_a_name_gets_one_and_a_warning() {
    let lowered =
        files("services: [{addr: '127.0.0.1:1'}, {name: service-0, addr: '127.0.0.1:2'}]");
    let lowered = lowered.unwrap();
    assert_eq!(&*lowered.services[0].name, "service-1");
    assert_eq!(lowered.warnings.len(), 1);
}

#[test]
fn hostnames_need_a_ws_listener() {
    let result = files("services: [{name: a, addr: ':1', hostnames: [x.io]}]");
    assert_eq!(errors(result).len(), 1);
}

#[test]
fn an_order_of_hostnames_means_nothing() {
    let lowered = |hosts: &str| {
        files(&format!(
            "services: [{{name: a, addr: ':1', hostnames: {hosts}, listener: {{type: ws}}}}]"
        ))
        .unwrap()
    };
    assert_eq!(lowered("[a.io, b.io]"), lowered("[B.io, a.io., b.io]"));
}

#[test]
fn the_drain_timeout_is_a_duration() {
    let spec = |timeout: &str| raw::TunnelSpec {
        drain: Some(raw::Drain { timeout: Some(timeout.into()) }),
        ..raw::TunnelSpec::default()
    };
    let secrets = Secrets::default();
    let context = LowerContext::controller("a", &secrets, &[]);
    assert_eq!(lower_tunnel(&spec("60s"), &context).unwrap().drain, Some(Duration::from_secs(60)));
    let errors = errors(lower_tunnel(&spec("60"), &context));
    assert!(errors[0].starts_with("drain.timeout: "), "{errors:?}");
}

/// Any JSON of little depth, of words that the schema knows and others.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let word = prop::sample::select(vec![
        "services",
        "chains",
        "hops",
        "nodes",
        "authers",
        "auths",
        "handler",
        "listener",
        "dialer",
        "connector",
        "forwarder",
        "metadata",
        "type",
        "name",
        "addr",
        "auth",
        "auther",
        "secretRef",
        "username",
        "password",
        "hostnames",
        "retries",
        "path",
        "header",
        "ws",
        "tcp",
        "http",
        "forward",
        "wss",
        "mwss",
        "udp",
        "rtcp",
        "relay",
        "socks5",
        "auto",
        "direct",
        "tls",
        "certFile",
        "secure",
        "options",
        "alpn",
        "selector",
        "strategy",
        "hash",
        "failTimeout",
        "bypass",
        "bypasses",
        "admissions",
        "matchers",
        "limiters",
        "limits",
        "resolvers",
        "nameservers",
        "hosts",
        "mappings",
        "hop",
        "mux.version",
        "$ 1MB",
        "10.0.0.0/8",
        "2",
        ":8080",
        "h:1",
        "/x",
        "15s",
        "-1",
        "keepalive",
        "x",
        "",
    ]);
    let text = word.clone().prop_map(serde_json::Value::from);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        text,
        ".{0,8}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(7, 96, 6, move |inner| {
        let key = word.clone().prop_map(String::from);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_document_panics_and_what_is_lowered_is_lowered_again_alike(value in any_json()) {
        let Ok(documents) = read(&value.to_string()) else { return Ok(()) };
        let secrets = Secrets::default();
        for context in
            [LowerContext::files("a", &secrets), LowerContext::controller("a", &secrets, &[80])]
        {
            prop_assert_eq!(lower(&documents.gost, &context), lower(&documents.gost, &context));
        }
    }

    #[test]
    fn no_text_panics(text in "[ a-z:\\-\\[\\]{}\"'\t\n#&*|>!%@,]{0,80}") {
        let _ = files(&text);
    }
}
