//! Every refusal with its text.

use super::*;

const NODE: &str = "chains[0].hops[0].nodes[0]";

fn listener(kind: &str, metadata: &str) -> String {
    format!(
        "services: [{{name: a, addr: ':1', listener: {{type: {kind}, metadata: {metadata}}}}}]\n"
    )
}

fn handler(handler: &str) -> String {
    format!("services: [{{name: a, addr: ':1', handler: {handler}}}]\n")
}

fn node(rest: &str) -> String {
    format!("chains: [{{name: c, hops: [{{nodes: [{{addr: 'h:1', {rest}}}]}}]}}]\n")
}

fn hop(rest: &str) -> String {
    format!("chains: [{{name: c, hops: [{{nodes: [{{addr: 'h:1'}}], {rest}}}]}}]\n")
}

fn check(cases: Vec<(String, String)>) {
    for (text, expected) in cases {
        match files(&text) {
            Ok(_) => panic!("{text} is accepted; expected: {expected}"),
            Err(found) => assert_eq!(found.to_string(), expected, "{text}"),
        }
    }
}

#[test]
fn mux_options_that_no_session_could_have() {
    let at = |key: &str, text: &str| format!("services[0].listener.metadata.{key}: {text}");
    check(vec![
        (
            listener("mws", "{mux.version: 3}"),
            at("mux.version", "there is no version 3 of smux; write 1 or 2, as the peer"),
        ),
        (
            listener("mws", "{mux: {type: yamux}}"),
            at(
                "mux.type",
                "mux.type yamux is not supported in this version; write smux on both ends",
            ),
        ),
        (
            listener("mws", "{mux.type: spdy}"),
            at("mux.type", "unknown mux.type \"spdy\"; write smux"),
        ),
        (
            listener("mws", "{mux.keepaliveInterval: 40s}"),
            at(
                "mux.keepaliveTimeout",
                "mux.keepaliveTimeout (30s) is shorter than mux.keepaliveInterval (40s): every \
                 session would end",
            ),
        ),
        (
            listener("mws", "{mux.maxFrameSize: 65536}"),
            at("mux.maxFrameSize", "a frame has at most 65535 bytes"),
        ),
        (
            listener("mws", "{mux.maxStreamBuffer: 5000000}"),
            at(
                "mux.maxStreamBuffer",
                "a stream's buffer (5000000) is larger than mux.maxReceiveBuffer (4194304), which \
                 all streams share",
            ),
        ),
    ]);
}

#[test]
fn listeners_that_would_not_do_what_is_written() {
    let gone = |key: &str| format!("GOST's `{key}` is not supported in this version; remove it");
    let at = |key: &str, text: &str| format!("services[0].{key}: {text}");
    check(vec![
        (
            listener("ws", "{enableCompression: true}"),
            at("listener.metadata.enableCompression", &gone("enableCompression")),
        ),
        (listener("ws", "{mptcp: true}"), at("listener.metadata.mptcp", &gone("mptcp"))),
        (
            listener("ws", "{trustedProxies: [10.0.0.0/8, home]}"),
            at("listener.metadata.trustedProxies", "\"home\" is not an address or CIDR"),
        ),
        (
            listener("ws", "{origins: [https://a.example/]}"),
            at(
                "listener.metadata.origins",
                "\"https://a.example/\" is not an origin; write https://host or https://host:port, or *",
            ),
        ),
        (
            "services: [{name: a, addr: ':1', listener: {type: tcp, chain: c}}]".into(),
            at(
                "listener.chain",
                "only listener rtcp listens through a chain; write handler.chain to dial",
            ),
        ),
        (
            "services: [{name: a, addr: ':1', handler: {type: rtcp}, \
             listener: {type: rtcp, chain: c}, forwarder: {nodes: [{addr: 'h:1'}]}}]\n\
             chains: [{name: c, hops: [{nodes: [{addr: 'a:1', connector: {type: relay}}]}, \
             {name: last, nodes: [{name: n, addr: 'b:1'}]}]}]"
                .into(),
            at(
                "listener.chain",
                "node last/n of its last hop is to listen, which connector http cannot ask for; \
                 write relay or socks5",
            ),
        ),
        (
            "services: [{name: a, addr: ':1', hostnames: [x.io], listener: {type: tls}}]".into(),
            at("hostnames", "a tls listener sees no Host header; hostnames need a ws listener"),
        ),
        (
            listener("udp", "{}"),
            at(
                "handler.type",
                "listener udp brings datagrams, which handler auto cannot read; write udp",
            ),
        ),
        (
            "services: [{name: a, addr: ':1', handler: {type: udp}, listener: {type: udp}, \
             metadata: {proxyProtocol: 1}, forwarder: {nodes: [{addr: 'h:1'}]}}]"
                .into(),
            at("metadata.proxyProtocol", "listener udp reads no PROXY header; remove it"),
        ),
        (
            "services: [{name: a, addr: ':1', metadata: {limiter.scope: conn}}]".into(),
            at("metadata.limiter.scope", &gone("limiter.scope")),
        ),
    ]);
}

#[test]
fn handlers_that_would_not_do_what_is_written() {
    let at = |key: &str, text: &str| format!("services[0].{key}: {text}");
    let mut cases = vec![
        (
            handler("{type: socks4, auth: {username: u, password: p}}"),
            at(
                "handler.auth",
                "SOCKS4 has no password, and users without one are refused here: nobody could \
                 pass; use socks5, or admissions",
            ),
        ),
        (
            handler("{type: socks5, metadata: {hash: ip}}"),
            at("handler.metadata.hash", "unknown hash \"ip\"; write host, or remove it"),
        ),
        (
            handler("{type: socks5}, forwarder: {nodes: [{addr: 'h:1'}]}"),
            at(
                "forwarder",
                "handler socks5 goes where its clients ask; remove the forwarder, or use handler \
                 forward",
            ),
        ),
        (
            handler("{type: udp, auther: x}, forwarder: {nodes: [{addr: 'h:1'}]}"),
            at("handler.auther", "handler udp asks nobody for a password; remove `auther`"),
        ),
        (
            handler("{type: tcp}"),
            at("forwarder", "handler tcp needs a forwarder with a node: its target"),
        ),
        (
            handler("{type: tcp}, forwarder: {hop: x}"),
            at("forwarder.hop", "hop \"x\" does not exist; known: none"),
        ),
        (
            handler("{type: tcp}, forwarder: {hop: x, nodes: [{addr: 'h:1'}]}"),
            at("forwarder", "nodes and selector are those of the hop; keep `hop` or the others"),
        ),
    ];
    let forward = "forwarder: {nodes: [{addr: 'h:1'}]}";
    for (kind, key, rest) in [
        ("http", "probeResist", ""),
        ("http", "knock", ""),
        ("http", "skipauth", ""),
        ("http", "sniffing", ""),
        ("http", "compression", ""),
        ("auto", "probeResist", ""),
        ("auto", "comp", ""),
        ("socks5", "comp", ""),
        ("socks5", "tor", ""),
        ("socks5", "sniffing", ""),
        ("socks5", "mitm.certFile", ""),
        ("socks5", "skipauth", ""),
        ("relay", "skipauth", ""),
        ("tcp", "proxyProtocol", forward),
        ("udp", "stateless", forward),
    ] {
        let rest = if rest.is_empty() { String::new() } else { format!(", {rest}") };
        cases.push((
            handler(&format!("{{type: {kind}, metadata: {{{key}: '1'}}}}{rest}")),
            at(
                &format!("handler.metadata.{key}"),
                &format!("GOST's `{key}` is not supported in this version; remove it"),
            ),
        ));
    }
    check(cases);
}

#[test]
fn nodes_that_would_not_do_what_is_written() {
    let at = |key: &str, text: &str| format!("{NODE}.{key}: {text}");
    let mut cases = vec![
        (
            node("connector: {type: socks5, metadata: {relay: tcp}}"),
            at("connector.metadata.relay", "unknown relay mode \"tcp\"; write udp, or remove it"),
        ),
        (
            node(&format!(
                "connector: {{type: relay, auth: {{username: u, password: {}}}}}",
                "p".repeat(256)
            )),
            at(
                "connector.auth",
                "the protocol has room for 255 bytes of user name and of password",
            ),
        ),
        (
            node("connector: {type: forward, auth: {username: u, password: p}}"),
            at("connector.auth", "connector forward says nothing to the node; remove `auth`"),
        ),
        (
            node("connector: {type: direct, metadata: {action: reject}}"),
            at(
                "connector.metadata.action",
                "GOST's `action` is not supported in this version; remove it",
            ),
        ),
        (
            node("dialer: {type: direct}"),
            at("dialer.type", "dialer direct goes with connector direct only"),
        ),
        (
            node("dialer: {type: ws, metadata: {enableCompression: true}}"),
            at(
                "dialer.metadata.enableCompression",
                "GOST's `enableCompression` is not supported in this version; remove it",
            ),
        ),
        (node("bypass: x"), at("bypass", "bypass \"x\" does not exist; known: none")),
        (node("resolver: x"), at("resolver", "resolver \"x\" does not exist; known: none")),
        (
            hop("selector: {strategy: parallel}"),
            "chains[0].hops[0].selector.strategy: strategy \"parallel\" is not supported in this \
             version; supported: round, random, fifo, hash"
                .into(),
        ),
        (
            hop("selector: {strategy: rond}"),
            "chains[0].hops[0].selector.strategy: unknown strategy \"rond\"; did you mean \
             \"round\"?; supported: round, random, fifo, hash"
                .into(),
        ),
        (
            hop("selector: {failTimeout: 30}"),
            "chains[0].hops[0].selector.failTimeout: \"30\" is not a duration; write for example \
             500ms, 15s or 1h30m"
                .into(),
        ),
    ];
    for key in ["interface", "so_mark", "netns", "proxyProtocol"] {
        let text = format!("GOST's `{key}` is not supported in this version; remove it");
        cases.push((
            node(&format!("metadata: {{{key}: 1}}")),
            at(&format!("metadata.{key}"), &text),
        ));
        cases.push((
            hop(&format!("metadata: {{{key}: 1}}")),
            format!("chains[0].hops[0].metadata.{key}: {text}"),
        ));
    }
    check(cases);
}

#[test]
fn gates_and_names_that_nobody_could_keep() {
    let limit = |list: &str, line: &str| format!("{list}: [{{name: l, limits: ['{line}']}}]");
    let server = |server: &str| format!("resolvers: [{{name: r, nameservers: [{server}]}}]");
    let nameserver = "resolvers[0].nameservers[0]";
    check(vec![
        (
            "admissions: [{name: a, matchers: [example.com]}]".into(),
            "admissions[0].matchers[0]: \"example.com\" is not an address or CIDR; clients have \
             no names here"
                .into(),
        ),
        (
            "bypasses: [{name: a, matchers: ['{a,b}.io']}]".into(),
            "bypasses[0].matchers[0]: \"{a,b}.io\": of the wildcards there are only * and ? here"
                .into(),
        ),
        (
            "bypasses: [{name: a, matchers: [x.io], network: sctp}]".into(),
            "bypasses[0].network: \"sctp\" is not a network; write tcp or udp".into(),
        ),
        (
            "hosts: [{name: h, mappings: [{ip: nine, hostname: a}]}]".into(),
            "hosts[0].mappings[0].ip: \"nine\" is not an IP address".into(),
        ),
        (
            "hosts: [{name: h, mappings: [{ip: 10.0.0.9}]}]".into(),
            "hosts[0].mappings[0].hostname: \"\" is not a host name".into(),
        ),
        (
            server("{addr: 'https://1.1.1.1/dns-query'}"),
            format!(
                "{nameserver}.addr: name servers over https are not supported in this version; \
                 supported: udp, tcp"
            ),
        ),
        (
            server("{addr: 'ftp://1.1.1.1'}"),
            format!("{nameserver}.addr: unknown scheme \"ftp\"; write udp or tcp"),
        ),
        (
            server("{addr: dns.example}"),
            format!(
                "{nameserver}.addr: \"dns.example\" is not the IP address of a name server; a \
                 name would have to be resolved first"
            ),
        ),
        (
            server("{addr: 1.1.1.1, prefer: ipv5}"),
            format!("{nameserver}.prefer: \"ipv5\": write ipv4 or ipv6"),
        ),
        (
            "resolvers: [{name: r}]".into(),
            "resolvers[0].nameservers: the resolver has no nameservers; it needs one".into(),
        ),
        (
            limit("limiters", "$ 10"),
            "limiters[0].limits[0]: \"10\" is not a size; write for example 512KB, 10MB or 1.5GB \
             (1KB is 1024 bytes)"
                .into(),
        ),
        (
            limit("limiters", "$"),
            "limiters[0].limits[0]: expected a key and a size, for example $ 10MB".into(),
        ),
        (
            limit("limiters", "$ 1KB 1KB 1KB 1KB"),
            "limiters[0].limits[0]: expected at most a key, two sizes and a burst".into(),
        ),
        (
            limit("climiters", "$$ many"),
            "climiters[0].limits[0]: \"many\" is not a whole number".into(),
        ),
        (
            limit("rlimiters", "example.com 5"),
            "rlimiters[0].limits[0]: \"example.com\" is not a key; write $, $$, an address or a \
             CIDR"
                .into(),
        ),
        (
            "climiters: [{name: l, limits: ['$ 1', '$ 2']}]".into(),
            "climiters[0].limits[1]: the key $ is given twice; keep one".into(),
        ),
        (
            "limiters: [{name: l}]".into(),
            "limiters[0]: there are no limits, so nothing would be limited; write limits".into(),
        ),
        (
            "limiters: [{name: l, limits: ['$ 1KB'], reload: 10}]".into(),
            "limiters[0].reload: \"10\" is not a duration; write for example 500ms, 15s or 1h30m"
                .into(),
        ),
    ]);
}

#[test]
fn a_service_that_leads_to_its_own_address_is_refused() {
    let forward = |listen: &str, target: &str, kind: &str| {
        format!(
            "services: [{{name: a, addr: '{listen}', handler: {{type: {kind}}}, \
             listener: {{type: {kind}}}, forwarder: {{nodes: [{{addr: '{target}'}}]}}}}]"
        )
    };
    for (listen, target, refused) in [
        (":15432", "localhost:15432", true),
        (":15432", "LOCALHOST:15432", true),
        (":15432", "127.0.0.1:15432", true),
        (":15432", "127.9.9.9:15432", true),
        (":15432", "[::1]:15432", true),
        (":15432", "[::ffff:127.0.0.1]:15432", true),
        (":15432", "0.0.0.0:15432", true),
        (":15432", ":15432", true),
        ("192.0.2.1:80", "192.0.2.1:80", true),
        ("0.0.0.0:80", "127.0.0.1:80", true),
        (":15432", "localhost:5432", false),
        (":15432", "db.example:15432", false),
        ("192.0.2.1:80", "127.0.0.1:80", false),
        ("127.0.0.1:80", "127.0.0.2:80", false),
        (":0", "db.example:1", false),
    ] {
        for kind in ["tcp", "udp"] {
            let result = files(&forward(listen, target, kind));
            assert_eq!(result.is_err(), refused, "{listen} {target} {kind}: {result:?}");
            if refused {
                let errors = errors(result);
                assert!(
                    errors.len() == 1
                        && errors[0].starts_with("services[0].forwarder: ")
                        && errors[0].contains("is the address of this service itself"),
                    "{errors:?}"
                );
            }
        }
    }
    let chain = |listener: &str, dialer: &str| {
        format!(
            "services: [{{name: a, addr: ':8080', handler: {{chain: c}}, listener: {listener}}}]\n\
             chains: [{{name: c, hops: [{{nodes: [{{addr: 'localhost:8080', dialer: {dialer}}}]}}]}}]"
        )
    };
    for (listener, dialer, refused) in [
        ("{type: tcp}", "{type: tcp}", true),
        ("{type: ws}", "{type: ws}", true),
        ("{type: mws, metadata: {path: /a}}", "{type: mws, metadata: {path: /a}}", true),
        // Another service may share the port.
        ("{type: ws, metadata: {path: /a}}", "{type: ws, metadata: {path: /b}}", false),
    ] {
        let result = files(&chain(listener, dialer));
        assert_eq!(result.is_err(), refused, "{listener} {dialer}: {result:?}");
    }
}
