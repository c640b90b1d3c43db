//! To command lines.

use super::*;
use crate::config::convert::copies::drop_copies;
use crate::config::gost_page::{COMMANDS, examples};

fn shown(text: &str) -> (Vec<String>, Vec<String>) {
    let config = config(text);
    let (commands, _, said) = as_commands(&config);
    (commands.iter().map(ToString::to_string).collect(), said)
}

#[test]
fn the_command_lines_of_the_page_come_back_as_they_are_written_there() {
    for (listen, forward) in COMMANDS {
        let flags = |flag: &str, texts: &str| {
            texts.split_whitespace().map(|text| format!("{flag} {text} ")).collect::<String>()
        };
        let text = flags("-L", listen) + &flags("-F", forward);
        let config = line(&text);
        let (documents, _) = as_tunnel(&config, &WANTED);
        let (back, _) = and_back(&documents);
        let (commands, services, said) = as_commands(&back);
        assert_eq!(services, meant(&config), "{commands:?}");
        assert_eq!(said, Vec::<String>::new());
        let expected = text.trim().replace(" wss://:8443/:1080", " forward+wss://:8443/:1080");
        assert_eq!(commands.len(), 1);
        assert_eq!(commands[0].to_string().replace('\'', ""), format!("adit {expected}"));
    }
}

#[test]
fn every_yaml_example_of_the_page_is_a_command_but_for_its_headers() {
    for text in examples() {
        let mut config = config(&text);
        let (_, services, said) = as_commands(&config);
        let headers = text.contains("header:");
        assert_eq!(said.len(), usize::from(headers), "{said:?}");
        if headers {
            let path = "chains[0].hops[0].nodes[0].dialer.metadata.header: dropped";
            assert!(said[0].starts_with(path), "{said:?}");
            let node = &mut config.chains[0].hops[0].nodes.as_mut().unwrap()[0];
            node.dialer.as_mut().unwrap().metadata.clear();
        }
        assert_eq!(services, meant(&config));
    }
}

#[test]
fn every_parameter_of_a_command_line_comes_back() {
    for text in [
        "-L http://u:p%40@:1",
        "-L socks5://127.0.0.1:1080?udp=true&bind=true&handler.readTimeout=3s",
        "-L tcp://:80/a:1,b:2?strategy=fifo&maxFails=3",
        "-L udp://:53/8.8.8.8:53?keepalive=true&ttl=10s",
        "-L relay+mwss://[::1]:443/h:1?certFile=c.pem&keyFile=k.pem&mux.version=2",
        "-L http://:1?admission=~10.0.0.0/8,::1&bypass=a.com,*.b.com&resolver=1.1.1.1,tcp://8.8.8.8\
         &prefer=ipv6&hosts=a:1.2.3.4,b:::1&limiter.in=1MB&limiter.conn.out=2MB&climiter=5\
         &rlimiter=2.5&retries=3&proxyProtocol=1&dialTimeout=3s",
        "-L http://:8080?listener.keepalive=true -F socks5+tls://u:p@h1:443,h2:443?secure=true&\
         serverName=x&caFile=ca.pem&strategy=rr&bypass=~10.0.0.0/8&resolver=1.1.1.1&hosts=h1:1.2.3.4 \
         -F ws://h3:80?node.weight=2&path=/a%20b%3F&dialer.keepalive=true",
        "-L rtcp://:8000/:80 -F relay+wss://127.0.0.1:443?path=/x",
        "-L :1 -F direct:// -F forward://h:1",
        "-L https://:1?path=%2Fx -L socks4://:2",
    ] {
        let mut config = line(text);
        let (commands, said) = commands(&config);
        let said = lines(&said);
        assert_eq!(commands.len(), 1, "{text} {said:?}");
        let mut back = cmdline::parse(&commands[0].listen, &commands[0].forward).unwrap().config;
        // Everything is equal but for copies, TLS too; and nothing but the password is worth a word.
        drop_copies(&mut config);
        drop_copies(&mut back);
        assert_eq!(back, config, "{}", commands[0]);
        assert_eq!(said.len(), usize::from(text.contains('@')), "{said:?}");
        let hidden = format!("{commands:?}");
        assert!(!hidden.contains("p%40"), "{hidden}");
    }
}

#[test]
fn each_chain_has_a_command_and_names_are_dropped_with_a_word() {
    let (commands, said) = shown(
        "
services:
- {name: a, addr: ':1', handler: {type: http, chain: x}}
- {name: b, addr: ':2', handler: {type: http}}
- {name: c, addr: ':3', handler: {type: socks5, chain: x}}
chains: [{name: x, hops: [{name: named}]}]
hops: [{name: named, nodes: [{addr: 'h:1', dialer: {type: wss, metadata: {path: /a&b}}}]}]
",
    );
    assert_eq!(
        commands,
        ["adit -L http://:1 -L socks5://:3 -F 'wss://h:1?path=/a%26b'", "adit -L http://:2"]
    );
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("names are dropped"), "{said:?}");
}

#[test]
fn what_protects_and_cannot_be_said_leaves_the_service_out() {
    for (service, rest, path) in [
        (
            "handler: {type: http, auther: two}",
            "authers: [{name: two, auths: [{username: a, password: p}, {username: b, password: p}]}]",
            "handler.auther",
        ),
        (
            "handler: {type: http, auther: f}",
            "authers: [{name: f, file: {path: users}}]",
            "handler.auther",
        ),
        (
            "handler: {type: http}, admissions: [a, b]",
            "admissions: [{name: a, matchers: ['::1']}, {name: b, matchers: ['::2']}]",
            "admission",
        ),
        (
            "handler: {type: http}, admission: a",
            "admissions: [{name: a, file: {path: x}}]",
            "admission",
        ),
        (
            "handler: {type: http}, bypass: a",
            "bypasses: [{name: a, network: udp, matchers: [x]}]",
            "bypass",
        ),
        (
            "handler: {type: http}, limiter: a",
            "limiters: [{name: a, limits: ['10.0.0.0/8 1MB']}]",
            "limiter",
        ),
        (
            "handler: {type: http}, climiter: a",
            "climiters: [{name: a, limits: ['$$ 1']}]",
            "climiter",
        ),
        (
            "handler: {type: http}, resolver: a",
            "resolvers: [{name: a, nameservers: [{addr: 1.1.1.1, only: ipv4}]}]",
            "resolver",
        ),
        (
            "listener: {type: wss, tls: {options: {minVersion: VersionTLS13}}}",
            "",
            "listener.tls.options",
        ),
        (
            "listener: {type: wss, tls: {rejectUnknownSNI: true}}",
            "",
            "listener.tls.rejectUnknownSNI",
        ),
        (
            "handler: {type: tcp}, forwarder: {nodes: [{addr: 'h:1', bypass: a}]}",
            "bypasses: [{name: a, matchers: [x]}]",
            "forwarder.nodes[0].bypass",
        ),
        (
            "handler: {type: http, chain: c}",
            "chains: [{name: c, hops: [{nodes: [{addr: 'h:1'}, {addr: 'h:2', connector: {type: socks5}}]}]}]",
            "handler.chain",
        ),
        (
            "handler: {type: http, chain: c}",
            "chains: [{name: c, hops: [{nodes: [{addr: 'h:1', connector: {auth: {file: x}}}]}]}]",
            "handler.chain",
        ),
    ] {
        let text = format!("services: [{{name: service-0, addr: ':1', {service}}}]\n{rest}");
        let (commands, said) = shown(&text);
        assert_eq!(commands, Vec::<String>::new(), "{text}");
        let last = said.last().unwrap();
        let start = format!("services[0].{path}: the service is left out: ");
        assert!(last.starts_with(&start), "{last}");
    }
}

#[test]
fn what_only_weighs_or_decorates_is_dropped_with_a_word() {
    let (commands, said) = shown(
        "
services:
- name: service-0
  addr: ':1'
  hostnames: [a.example]
  handler: {type: tcp}
  listener: {type: ws, metadata: {header: {a: b}, trustedProxies: [10.0.0.0/8, '::1'], mux: {x: 1}}}
  forwarder: {nodes: [{addr: 'h:1', metadata: {backup: true}}]}
- name: service-1
  addr: ':2'
  handler: {type: http, chain: c}
chains:
- name: c
  hops: [{nodes: [{addr: 'h:1', metadata: {weight: 2}}, {addr: 'h:2'}]}]
",
    );
    assert_eq!(
        commands,
        [
            "adit -L 'forward+ws://:1/h:1?mux.x=1&trustedProxies=10.0.0.0/8,::1'",
            "adit -L http://:2 -F http://h:1,h:2",
        ]
    );
    let paths: Vec<_> = said.iter().filter_map(|line| line.split(": dropped").next()).collect();
    assert_eq!(
        paths,
        [
            "chains[0].hops[0].nodes[0].metadata.weight",
            "services[0].forwarder.nodes[0].metadata.backup",
            "services[0].hostnames",
            "services[0].listener.metadata.header",
            "names are dropped: on a command line services are service-0 and so on",
        ]
    );
}
