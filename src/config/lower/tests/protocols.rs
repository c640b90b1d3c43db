//! Handlers and connectors.

use super::*;
use crate::config::model::{
    MuxConfig, RelayConnectorConfig, Socks4ConnectorConfig, Socks5ConnectorConfig,
};

fn handler(handler: &str) -> HandlerConfig {
    let lowered = files(&format!(
        "services: [{{name: a, addr: '127.0.0.1:1', handler: {handler}}}]\n\
         authers: [{{name: us, auths: [{{username: u, password: p}}]}}]"
    ));
    lowered.unwrap_or_else(|e| panic!("{handler}: {e}")).services.remove(0).handler
}

fn connector(connector: &str) -> ConnectorConfig {
    let lowered = files(&format!(
        "services: [{{name: a, addr: '127.0.0.1:1', handler: {{chain: c}}}}]\n\
         chains: [{{name: c, hops: [{{nodes: [{{addr: 'h:1', connector: {connector}}}]}}]}}]"
    ));
    let lowered = lowered.unwrap_or_else(|e| panic!("{connector}: {e}"));
    lowered.services[0].chain.hops[0].nodes[0].connector.clone()
}

#[test]
fn every_handler_reads_its_options() {
    let HandlerConfig::Socks5(socks5) = handler(
        "{type: socks5, auther: us, metadata: {udp: true, bind: true, notls: true, hash: host, \
         readTimeout: 3, udpBufferSize: 100, mux.version: 2}}",
    ) else {
        panic!()
    };
    assert!(socks5.udp && socks5.udp_associate && socks5.bind && socks5.hash_by_target);
    assert!(socks5.users.is_some());
    assert_eq!((socks5.read_timeout, socks5.udp_buffer_size), (Duration::from_secs(3), 100));
    assert_eq!(socks5.mux.version, 2);
    let HandlerConfig::Relay(relay) =
        handler("{type: relay, auther: us, metadata: {nodelay: true, bind: true, hash: host}}")
    else {
        panic!()
    };
    assert!(relay.bind && relay.hash_by_target && relay.users.is_some());
    assert_eq!(relay.forward, None);
    for kind in ["socks4", "socks4a"] {
        let HandlerConfig::Socks4(socks4) = handler(&format!("{{type: {kind}}}")) else { panic!() };
        assert_eq!(socks4.read_timeout, Duration::from_secs(15));
    }
    assert_eq!(handler("{type: socks}"), handler("{type: socks5}"));
}

#[test]
fn auto_gives_its_options_to_all_of_its_protocols() {
    let HandlerConfig::Auto(auto) = handler(
        "{auther: us, metadata: {hash: host, readTimeout: -1, udp: true, keepalive: true}}",
    ) else {
        panic!()
    };
    for users in [&auto.http.users, &auto.socks4.users, &auto.socks5.users] {
        assert_eq!(users.as_ref().unwrap().0.len(), 1);
    }
    let by_target =
        [auto.http.hash_by_target, auto.socks4.hash_by_target, auto.socks5.hash_by_target];
    assert_eq!(by_target, [true; 3]);
    assert!(auto.socks5.udp && auto.http.udp && auto.http.keepalive);
    // Negative is "none" for http and the default for SOCKS, as in GOST.
    assert_eq!((auto.http.read_timeout, auto.socks5.read_timeout), (None, defaults::READ_TIMEOUT));
}

#[test]
fn a_wrong_value_of_auto_is_reported_once() {
    let text =
        "services: [{name: a, addr: ':1', handler: {metadata: {readTimeout: soon, hash: x}}}]";
    assert_eq!(errors(files(text)).len(), 2);
}

#[test]
fn a_relay_with_targets_is_no_open_proxy() {
    let text = "services: [{name: a, addr: ':1', handler: {type: relay}, \
                forwarder: {nodes: [{addr: 'h:1'}]}}]";
    let lowered = files(text).unwrap();
    assert_eq!(warnings(&lowered), Vec::<String>::new());
    let HandlerConfig::Relay(relay) = &lowered.services[0].handler else { panic!() };
    assert_eq!(relay.forward.as_ref().unwrap().nodes.len(), 1);
}

#[test]
fn every_connector_reads_its_options() {
    let auth = "auth: {username: u, password: p}";
    let credentials = crate::config::model::Credentials {
        username: "u".into(),
        password: Secret::new("p".into()),
    };
    let seconds = |n| Some(Duration::from_secs(n));
    assert_eq!(
        connector(&format!("{{type: socks4, {auth}, metadata: {{disable4a: true, timeout: 3}}}}")),
        ConnectorConfig::Socks4(Socks4ConnectorConfig {
            user: Some("u".into()),
            disable_4a: true,
            timeout: seconds(3),
        })
    );
    assert_eq!(
        connector(&format!(
            "{{type: socks5, {auth}, metadata: {{relay: udp, udp.bufferSize: 9, notls: true}}}}"
        )),
        ConnectorConfig::Socks5(Socks5ConnectorConfig {
            auth: Some(credentials.clone()),
            timeout: None,
            udp_associate: true,
            udp_buffer_size: 9,
            mux: MuxConfig::default(),
        })
    );
    assert_eq!(
        connector(&format!(
            "{{type: relay, {auth}, metadata: {{connectTimeout: 4, nodelay: true, mux.version: 2}}}}"
        )),
        ConnectorConfig::Relay(RelayConnectorConfig {
            auth: Some(credentials),
            timeout: seconds(4),
            nodelay: true,
            mux: MuxConfig { version: 2, ..MuxConfig::default() },
        })
    );
    for kind in ["forward", "tcp"] {
        assert_eq!(connector(&format!("{{type: {kind}}}")), ConnectorConfig::Forward);
    }
    for kind in ["direct", "virtual"] {
        assert_eq!(connector(&format!("{{type: {kind}}}")), ConnectorConfig::Direct);
    }
    let socks = [connector("{type: socks}"), connector("{type: socks4a}")];
    assert_eq!(socks, [connector("{type: socks5}"), connector("{type: socks4}")]);
}

#[test]
fn users_and_credentials_are_read_from_files() {
    let contents = [
        ("users", "# name password\n\nu pass word\nv\tq#1\n"),
        ("me", "# comment\nme secret\nignored x\n"),
    ];
    let text = "
services: [{name: a, addr: ':1', handler: {type: http, auther: us, chain: c}},
  {name: b, addr: ':2', handler: {type: http, auth: {file: me}}}]
authers: [{name: us, auths: [{username: w, password: p}], file: {path: users}, reload: 10s}]
chains: [{name: c, hops: [{nodes: [{addr: 'h:1', connector: {auth: {file: me}}}]}]}]
";
    let lowered = with_files(text, &contents).unwrap();
    let users = |i: usize| match &lowered.services[i].handler {
        HandlerConfig::Http(http) => http.users.clone().unwrap(),
        _ => panic!(),
    };
    let password = |i: usize, name: &str| users(i).0.get(name).unwrap().expose().clone();
    assert_eq!([password(0, "u"), password(0, "v")], ["pass word", "q#1"]);
    assert_eq!((users(0).0.len(), password(1, "me").as_str()), (3, "secret"));
    let node = &lowered.services[0].chain.hops[0].nodes[0];
    let ConnectorConfig::Http(http) = &node.connector else { panic!() };
    assert_eq!(http.auth.as_ref().unwrap().password.expose(), "secret");
    for (users, word) in [("u\n", "line 1: the password is missing"), ("u p\nu q", "twice")] {
        let errors = errors(with_files(text, &[("users", users), contents[1]]));
        assert!(errors.len() == 1 && errors[0].contains(word), "{errors:?}");
    }
    let errors = errors(with_files(text, &contents[..1]));
    assert_eq!(errors.len(), 2);
    assert!(errors[0].starts_with("services[1].handler.auth.file: cannot read \"me\": "));
}
