use super::*;
use crate::config::model::{
    MuxConfig, Origins, TcpListenerConfig, UdpListenerConfig, WsListenerConfig,
};

fn listener(kind: &str, metadata: &str) -> ListenerConfig {
    let lowered = files(&format!(
        "services: [{{name: a, addr: '127.0.0.1:1', handler: {{type: forward}}, \
         listener: {{type: {kind}, metadata: {metadata}}}, forwarder: {{nodes: [{{addr: 'h:1'}}]}}}}]"
    ));
    lowered.unwrap_or_else(|e| panic!("{kind} {metadata}: {e}")).services.remove(0).listener
}

fn ws(metadata: &str) -> WsListenerConfig {
    let ListenerConfig::Ws(config) = listener("mws", metadata) else { panic!() };
    config
}

#[test]
fn every_type_is_lowered_to_what_it_says() {
    for kind in ["ws", "wss", "mws", "mwss", "tcp", "tls", "udp", "rtcp"] {
        let listener = listener(kind, "{}");
        assert_eq!(listener.kind(), kind);
        assert_eq!(listener.tls().is_some(), ["wss", "mwss", "tls"].contains(&kind), "{kind}");
    }
}

#[test]
fn every_alias_of_a_key_is_the_key() {
    for (one, other) in [
        ("{path: /x}", "{ws.path: /x}"),
        ("{path: /x}", "{ws: {path: /x}}"),
        ("{backlog: 7}", "{ws.backlog: '7'}"),
        ("{header: {a: b}}", "{ws.header: {A: b}}"),
        ("{handshakeTimeout: 3}", "{ws.handshakeTimeout: 3s}"),
        ("{readHeaderTimeout: 3s}", "{WS.ReadHeaderTimeout: '3'}"),
        ("{mux.version: 2}", "{mux: {version: '2'}}"),
        ("{mux.maxFrameSize: 100}", "{MUX: {maxframesize: 100}}"),
        ("{trustedProxies: [10.0.0.1, '::/0']}", "{trustedProxies: '::/0, 10.0.0.1/32'}"),
        (
            "{origins: ['https://A.example', 'http://b:81']}",
            "{origins: 'http://b:81, https://a.example'}",
        ),
        ("{path: /a%2fb}", "{path: /a%2Fb}"),
    ] {
        assert_eq!(ws(one), ws(other), "{one} {other}");
        assert_ne!(ws(one), ws("{}"), "{one}");
    }
}

#[test]
fn mux_keys_are_read_in_both_spellings() {
    let all = "{mux: {version: 2, keepaliveInterval: 5, keepaliveTimeout: 1m, maxFrameSize: 65535, \
               maxReceiveBuffer: 100000, maxStreamBuffer: 100000}}";
    let expected = MuxConfig {
        version: 2,
        keepalive: Some((Duration::from_secs(5), Duration::from_secs(60))),
        max_frame_size: 65535,
        max_receive_buffer: 100_000,
        max_stream_buffer: 100_000,
    };
    assert_eq!(ws(all).mux, Some(expected));
    assert_eq!(ws("{mux.keepaliveDisabled: true}").mux.unwrap().keepalive, None);
    assert_eq!(ws("{mux.version: 0, mux.maxFrameSize: -1}").mux, Some(MuxConfig::default()));
    let ListenerConfig::Ws(plain) = listener("ws", "{}") else { panic!() };
    assert_eq!(plain.mux, None);
}

#[test]
fn a_udp_listener_is_lowered_with_all_its_options() {
    let udp = |metadata: &str| match listener("udp", metadata) {
        ListenerConfig::Udp(config) => config,
        other => panic!("{other:?}"),
    };
    assert_eq!(udp("{}"), UdpListenerConfig::default());
    let expected = UdpListenerConfig {
        backlog: 1,
        read_buffer_size: 2,
        read_queue_size: 3,
        keepalive: true,
        ttl: Duration::from_secs(4),
    };
    let one = "{backlog: 1, readBufferSize: 2, readQueueSize: 3, keepalive: true, ttl: 4}";
    let other =
        "{backlog: 1, udp.bufferSize: 2, recvQueueSize: 3, keepalive: 1, keepalive.ttl: 4s}";
    assert_eq!([udp(one), udp(other)], [expected.clone(), expected]);
    assert_eq!(udp("{readBufferSize: 1000000}").read_buffer_size, 65_535);
}

#[test]
fn a_proxy_header_is_expected_where_the_service_says_so() {
    let text = "services: [{name: a, addr: '127.0.0.1:1', metadata: {proxyProtocol: 1}, \
                listener: {type: tcp, metadata: {trustedProxies: 10.0.0.0/8, keepalive: true}}}]";
    let lowered = files(text).unwrap();
    assert_eq!(warnings(&lowered), Vec::<String>::new());
    let ListenerConfig::Tcp(TcpListenerConfig {
        proxy_protocol, trusted_proxies, keepalive, ..
    }) = &lowered.services[0].listener
    else {
        panic!()
    };
    assert!(*proxy_protocol && keepalive.is_some());
    assert_eq!(trusted_proxies, &["10.0.0.0/8".parse().unwrap()]);
}

#[test]
fn a_remote_forward_listens_through_its_chain() {
    let text = "services: [{name: a, addr: ':2222', handler: {type: rtcp}, \
                listener: {type: rtcp, chain: c}, forwarder: {nodes: [{addr: ':22'}]}}]\n\
                chains: [{name: c, hops: [{nodes: [{addr: 'h:1', connector: {type: relay}}]}]}]";
    let lowered = files(text).unwrap();
    let ListenerConfig::Rtcp(rtcp) = &lowered.services[0].listener else { panic!() };
    assert_eq!(rtcp.chain.hops.len(), 1);
    assert!(lowered.services[0].chain.hops.is_empty());
}

/// A listener in files, and the same in a cluster.
fn origins(handler: &str, metadata: &str) -> [Origins; 2] {
    let text = format!(
        "services: [{{name: a, addr: ':1', handler: {handler}, \
         listener: {{type: ws, metadata: {metadata}}}}}]"
    );
    let of = |lowered: Lowered| match lowered.services.into_iter().next().map(|s| s.listener) {
        Some(ListenerConfig::Ws(ws)) => ws.origins,
        other => panic!("{other:?}"),
    };
    [files(&text).unwrap(), controller(&text).unwrap()].map(of)
}

#[test]
fn pages_are_listed_but_in_files_whose_users_are_asked() {
    let (open, proven) = ("{type: http}", "{type: http, auth: {username: u, password: p}}");
    let none = Origins::default();
    let listed = Origins::Listed(vec!["https://a.example".into()]);
    assert_eq!(origins(open, "{}"), [none.clone(), none.clone()]);
    assert_eq!(origins("{type: auto}", "{}"), [none.clone(), none.clone()]);
    assert_eq!(origins(proven, "{}"), [Origins::Any, none]);
    for handler in [open, proven] {
        let metadata = "{origins: https://a.example}";
        assert_eq!(origins(handler, metadata), [listed.clone(), listed.clone()]);
        assert_eq!(origins(handler, "{origins: '*'}"), [Origins::Any, Origins::Any]);
    }
}
