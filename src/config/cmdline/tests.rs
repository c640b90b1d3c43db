use super::*;
use crate::base::Reason;
use crate::config::lower::{LowerContext, Lowered, lower};
use crate::config::read::read;
use crate::config::secrets::Secrets;
use proptest::prelude::*;

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn config(listen: &[&str], forward: &[&str]) -> raw::Config {
    parse(&strings(listen), &strings(forward)).unwrap().config
}

fn error(listen: &[&str], forward: &[&str]) -> String {
    parse(&strings(listen), &strings(forward)).unwrap_err().to_string()
}

fn lowered(config: &raw::Config) -> Result<Lowered, ConfigErrors> {
    lower(config, &LowerContext::files("default", &Secrets::default()))
}

fn yaml(text: &str) -> raw::Config {
    read(text).unwrap().gost
}

#[test]
fn what_gost_prints_for_a_command_line_is_what_we_read() {
    for (listen, forward, printed) in [
        (
            &["ws://:8080"][..],
            &[][..],
            "services: [{name: service-0, addr: ':8080', handler: {type: auto}, listener: {type: ws}}]",
        ),
        (
            &["ws://:8443?path=/ws"],
            &[],
            "services: [{name: service-0, addr: ':8443', handler: {type: auto, metadata: {path: /ws}}, \
             listener: {type: ws, metadata: {path: /ws}}, metadata: {path: /ws}}]",
        ),
        (
            &["http://:8080"],
            &["wss://:8443?keepalive=true&ttl=15s"],
            "
services: [{name: service-0, addr: ':8080', handler: {type: http, chain: chain-0}, listener: {type: tcp}}]
chains:
- name: chain-0
  hops:
  - name: hop-0
    nodes:
    - name: node-0
      addr: ':8443'
      connector: {type: http, metadata: {keepalive: 'true', ttl: 15s}}
      dialer: {type: wss, metadata: {keepalive: 'true', ttl: 15s}}
      metadata: {keepalive: 'true', ttl: 15s}
    metadata: {keepalive: 'true', ttl: 15s}
",
        ),
        (
            &["wss://:8443/:1080", "socks5://:1080"],
            &[],
            "
services:
- {name: service-0, addr: ':8443', handler: {type: forward}, listener: {type: wss}, forwarder: {nodes: [{name: target-0, addr: ':1080'}]}}
- {name: service-1, addr: ':1080', handler: {type: socks5}, listener: {type: tcp}}
",
        ),
    ] {
        assert_eq!(config(listen, forward), yaml(printed), "{listen:?}");
    }
    assert_eq!(config(&["forward+wss://:1/:2"], &[]), config(&["wss://:1/:2"], &[]));
    assert_eq!(config(&[":8080"], &[]), config(&["auto://:8080"], &[]));
}

#[test]
fn every_form_of_a_service_is_a_handler_a_listener_and_an_address() {
    for (text, expected) in [
        (":8080", "auto tcp :8080"),
        (" ws://:8080 ", "auto ws :8080"),
        ("WSS://Host:1", "auto wss Host:1"),
        ("http://:8080/", "http tcp :8080"),
        ("https://:1", "http tls :1"),
        ("HTTPS://:1", "http tls :1"),
        ("socks://[::1]:1", "socks tcp [::1]:1"),
        ("socks4a+mws://:1", "socks4a mws :1"),
        ("relay+mwss://:1", "relay mwss :1"),
        ("auto+tcp://127.0.0.1:1", "auto tcp 127.0.0.1:1"),
        ("ws://", "auto ws :0"),
        ("ws://:?path=/x", "auto ws :"),
        ("tcp://:1/h:2", "tcp tcp :1 h:2"),
        ("udp://:1/h:2,[::1]:3", "udp udp :1 h:2 [::1]:3"),
        ("forward://:1/:2", "tcp tcp :1 :2"),
        ("auto+udp://:1/h:2", "udp udp :1 h:2"),
        ("mws://:1//h:2/", "forward mws :1 h:2"),
        ("forward+tls://:1/h:2-3", "forward tls :1 h:2 h:3"),
        ("rtcp://:1/h:2", "rtcp rtcp :1 h:2"),
        ("relay://:1/h:2", "relay tcp :1 h:2"),
        ("relay+ws://:1", "relay ws :1"),
        ("tcp://:1-1/h:2", "tcp tcp :1 h:2"),
    ] {
        let config = config(&[text], &[]);
        let [service] = config.services.as_slice() else { panic!("{text}") };
        let (handler, listener) =
            (service.handler.as_ref().unwrap(), service.listener.as_ref().unwrap());
        let mut words = vec![handler.kind.as_str(), &listener.kind, &service.addr];
        let targets = service.forwarder.iter().flat_map(|f| &f.nodes);
        words.extend(targets.map(|node| node.addr.as_str()));
        assert_eq!(words.join(" "), expected, "{text}");
    }
    assert_eq!(config(&["", " "], &[]), raw::Config::default());
}

#[test]
fn every_form_of_a_hop_is_a_connector_a_dialer_and_nodes() {
    for (text, expected) in [
        ("h:1", "http tcp h:1"),
        (":8443", "http tcp :8443"),
        ("https://h:1", "http tls h:1"),
        ("wss://h:1", "http wss h:1"),
        ("socks5://[::1]:1", "socks5 tcp [::1]:1"),
        ("relay+mwss://a:1,b:2", "relay mwss a:1 b:2"),
        ("Forward+TLS://h:1?path=/x", "forward tls h:1"),
        ("tcp://h:1", "tcp tcp h:1"),
        ("direct://", "direct direct "),
        ("virtual://:0", "virtual virtual :0"),
    ] {
        let config = config(&[], &[text]);
        let nodes = config.chains[0].hops[0].nodes.as_ref().unwrap();
        let first = &nodes[0];
        let mut words = vec![first.connector.as_ref().unwrap().kind.as_str()];
        words.push(&first.dialer.as_ref().unwrap().kind);
        words.extend(nodes.iter().map(|node| node.addr.as_str()));
        assert_eq!(words.join(" "), expected, "{text}");
    }
}

#[test]
fn parameters_are_decoded_and_the_first_of_a_name_counts() {
    let of_listener = |text: &str| {
        let listener = config(&[text], &[]).services[0].listener.clone().unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
        listener.metadata.iter().map(|(k, v)| format!("{k}={}", text(v))).collect::<Vec<_>>()
    };
    for (query, expected) in [
        ("path=%2Fa%20b+c", &["path=/a b c"][..]),
        ("path=/a&path=/b", &["path=/a"]),
        ("path=/a=b", &["path=/a=b"]),
        ("a&b=", &["a=", "b="]),
        ("a=1&&b=2", &["a=1", "b=2"]),
        ("%70ath=/x", &["path=/x"]),
        ("a=?b", &["a=?b"]),
        ("BYPASS=x&Climiter=5&Retries=1", &[]),
        ("handler.a=1&service.b=2&listener.c.d=3", &["c.d=3"]),
        ("", &[]),
    ] {
        assert_eq!(of_listener(&format!("ws://:1?{query}")), expected, "{query}");
    }
    let auth = config(&["http://a%3Ab:%25%40%2F@:1"], &[]).services[0].clone();
    let auth = auth.handler.unwrap().auth.unwrap();
    assert_eq!((auth.username.as_str(), auth.password.as_deref()), ("a:b", Some("%@/")));
    // Base64 of "u:??" in the alphabet of URLs and in the other one.
    for encoded in ["dTo_Pw", "dTo/Pw=="] {
        let config = config(&[&format!("http://:1?auth={encoded}")], &[]);
        let auth = config.services[0].handler.clone().unwrap().auth.unwrap();
        assert_eq!((auth.username, auth.password), ("u".into(), Some("??".into())));
    }
}

#[test]
fn files_of_tls_have_three_names_each() {
    let expected = config(&["wss://:1?certFile=c&keyFile=k&caFile=a"], &[]);
    for query in
        ["tls.certFile=c&tls.keyFile=k&tls.caFile=a", "cert=c&key=k&ca=a", "CERT=c&Key=k&CA=a"]
    {
        assert_eq!(config(&[&format!("wss://:1?{query}")], &[]), expected, "{query}");
    }
    let expected = config(&[], &["wss://h:1?secure=true&serverName=x&caFile=a"]);
    for query in ["tls.secure=1&tls.servername=x&ca=a", "Secure=T&servername=x&tls.caFile=a"] {
        assert_eq!(config(&[], &[&format!("wss://h:1?{query}")]), expected, "{query}");
    }
    assert!(error(&[], &["wss://h:1?secure=yes"]).contains("neither true nor false"));
}

#[test]
fn copies_of_parameters_make_no_noise() {
    let config = config(
        &["http://127.0.0.1:8080?idleTimeout=1m", "ws://127.0.0.1:1?path=/x"],
        &["ws://h:1?path=/ws&keepalive=true&ttl=15s"],
    );
    assert_eq!(lowered(&config).unwrap().warnings, []);
}

#[test]
fn a_parameter_that_nobody_knows_is_one_warning() {
    let config = config(&["ws://127.0.0.1:1?pth=/x"], &[]);
    let warnings = lowered(&config).unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].message.contains("did you mean `path`?"), "{warnings:?}");
}

#[test]
fn an_unknown_scheme_is_an_error_and_never_a_fallback() {
    for (text, word) in [
        ("wsss://:1", "\"wsss\""),
        ("htp+ws://:1", "\"htp\""),
        ("http+wz://:1", "\"wz\""),
        ("tls+mws://:1", "\"tls\""),
        ("a+b+c://:1", "more than two"),
    ] {
        let error = error(&[text], &[text]);
        assert_eq!(error.lines().count(), 2, "{error}");
        assert!(error.lines().all(|line| line.contains(word)), "{error}");
        assert!(error.starts_with(&format!("-F {text}: ")), "{error}");
    }
}

#[test]
fn what_this_version_lacks_is_refused_by_its_name_once() {
    for (text, part) in [
        ("quic://:1", "scheme \"quic\": listener \"quic\" is not"),
        ("ss://u:p@:1", "scheme \"ss\": handler \"ss\" is not"),
        ("sni+ws://:1", "handler \"sni\" is not"),
        ("ssu+kcp://:1", "handler \"ssu\" and listener \"kcp\" are not"),
        ("unix:///tmp/socket", "handler \"unix\" and listener \"unix\" are not"),
        ("serial://COM1", "\"serial\""),
        ("redirect://:1?tproxy=true", "\"redirect\""),
        ("dns://:53/1.1.1.1?mode=udp&dns=1.1.1.1", "\"dns\""),
        ("tun://:1/h:2?net=10.0.0.1/24", "\"tun\""),
        ("api://u:p@:1", "\"api\""),
        ("file://:1?dir=/tmp", "\"file\""),
        ("tunnel+mtls://:1?entrypoint=:80", "handler \"tunnel\" and listener \"mtls\" are not"),
        ("rudp://:1/:2", "\"rudp\""),
    ] {
        let errors = parse(&strings(&[text]), &[]).unwrap_err();
        assert_eq!((errors.reason(), errors.0.len()), (Reason::Unsupported, 1), "{errors}");
        assert!(errors.0[0].message.contains(part), "{errors}");
    }
    for (text, part) in [
        ("h2://h:1/x?secure=true", "scheme \"h2\": dialer \"h2\" is not"),
        ("unix:///tmp/socket", "connector \"unix\" and dialer \"unix\" are not"),
        ("sshd://u@h:1", "connector \"sshd\" and dialer \"sshd\" are not"),
        ("ss+quic://h:1", "connector \"ss\" and dialer \"quic\" are not"),
        ("udp://h:1", "dialer \"udp\" is not"),
    ] {
        let errors = parse(&[], &strings(&[text])).unwrap_err();
        assert_eq!((errors.reason(), errors.0.len()), (Reason::Unsupported, 1), "{errors}");
        assert!(errors.0[0].message.contains(part), "{errors}");
    }
    assert!(error(&["http://:1?quotas=x"], &[]).contains("quotas="));
    assert!(error(&[], &["ws://h:1?Secure=true"]).contains("ws has none"));
}

#[test]
fn credentials_come_from_user_info_or_from_auth() {
    let auth = |text: &str| {
        let config = config(&[text], &[]);
        let auth = config.services[0].handler.clone().unwrap().auth.unwrap();
        (auth.username, auth.password)
    };
    assert_eq!(auth("http://u:p%40:q@:1"), ("u".into(), Some("p@:q".into())));
    assert_eq!(auth("http://u@:1"), ("u".into(), None));
    assert_eq!(auth("http://:1?auth=dTpw"), ("u".into(), Some("p".into())));
    assert!(error(&["http://:1?auth=%21"], &[]).contains("base64"));
    let config = config(&[], &["http+ws://u:p@h:1"]);
    let node = &config.chains[0].hops[0].nodes.as_ref().unwrap()[0];
    assert_eq!(node.connector.as_ref().unwrap().auth.as_ref().unwrap().username, "u");
    assert_eq!(node.addr, "h:1");
    assert!(lowered(&self::config(&["http://u:@:1"], &[])).is_err());
}

#[test]
fn ranges_of_ports_pair_with_targets() {
    let config = config(&[":8000-8001/10.0.0.1:1-2", "tcp://:9000-9002/h:1"], &[]);
    let shown: Vec<_> = config
        .services
        .iter()
        .map(|s| {
            let target = s.forwarder.as_ref().unwrap().nodes[0].addr.as_str();
            (s.name.as_str(), s.addr.as_str(), s.handler.as_ref().unwrap().kind.as_str(), target)
        })
        .collect();
    let expected = [
        ("service-0", ":8000", "tcp", "10.0.0.1:1"),
        ("service-1", ":8001", "tcp", "10.0.0.1:2"),
        ("service-2", ":9000", "tcp", "h:1"),
        ("service-3", ":9001", "tcp", "h:1"),
        ("service-4", ":9002", "tcp", "h:1"),
    ];
    assert_eq!(shown, expected);
    for text in ["http://:2-1", "http://:a-b", "http://:1-99999", "tcp://:1-3/h:1-2"] {
        assert!(error(&[text], &[]).starts_with("-L "), "{text}");
    }
}

#[test]
fn prefixes_send_a_parameter_to_one_part() {
    let text = "ws://:1?listener.path=/l&handler.keepalive=true&service.x=1&path=/all";
    let service = &config(&[text], &[]).services[0];
    let keys = |m: &raw::Metadata| m.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&service.handler.as_ref().unwrap().metadata), ["keepalive", "path"]);
    assert_eq!(keys(&service.listener.as_ref().unwrap().metadata), ["path"]);
    assert_eq!(keys(&service.metadata), ["path", "x"]);
}

#[test]
fn a_path_of_a_hop_is_warned_about_and_a_displaced_handler_is_an_error() {
    let line = parse(&strings(&[":1"]), &strings(&["ws://h:1/ws"])).unwrap();
    assert_eq!(line.warnings.len(), 1, "{:?}", line.warnings);
    for text in ["http://:8080/h:1", "socks5+wss://:1/:2"] {
        assert!(error(&[text], &[]).contains("does not go with the target"), "{text}");
    }
    assert!(error(&["ws://:1/ws"], &[]).contains("did you mean ?path="));
}

#[test]
fn parameters_become_objects_and_references() {
    let config = config(
        &["http://:1?admission=~10.0.0.0/8,::1&bypass=a.com&resolver=1.1.1.1,tcp://8.8.8.8\
           &prefer=ipv6&hosts=a:1.2.3.4,b:::1&limiter.out=2MB&limiter.conn.in=1KB&climiter=5\
           &rlimiter=2.5&proxyProtocol=1"],
        &["wss://a:1,b:2?secure=true&ca=ca.pem&bypass=~*.corp&strategy=fifo&node.x=1"],
    );
    let expected = yaml(
        "
services:
- name: service-0
  addr: ':1'
  admission: admission-0
  bypass: bypass-1
  resolver: resolver-0
  hosts: hosts-0
  limiter: limiter-0
  climiter: climiter-0
  rlimiter: rlimiter-0
  handler: {type: http, chain: chain-0}
  listener: {type: tcp}
  metadata: {proxyProtocol: '1'}
chains:
- name: chain-0
  hops:
  - name: hop-0
    selector: {strategy: fifo, maxFails: 1, failTimeout: 30s}
    bypass: bypass-0
    nodes:
    - {name: node-0, addr: 'a:1', connector: {type: http}, dialer: {type: wss, tls: {secure: true, caFile: ca.pem}}, metadata: {x: '1'}}
    - {name: node-1, addr: 'b:2', connector: {type: http}, dialer: {type: wss, tls: {secure: true, caFile: ca.pem}}, metadata: {x: '1'}}
admissions: [{name: admission-0, whitelist: true, matchers: [10.0.0.0/8, '::1']}]
bypasses:
- {name: bypass-0, whitelist: true, matchers: ['*.corp']}
- {name: bypass-1, matchers: [a.com]}
resolvers: [{name: resolver-0, nameservers: [{addr: 1.1.1.1, prefer: ipv6}, {addr: 'tcp://8.8.8.8', prefer: ipv6}]}]
hosts: [{name: hosts-0, mappings: [{hostname: a, ip: 1.2.3.4}, {hostname: b, ip: '::1'}]}]
limiters: [{name: limiter-0, limits: [$ 0 2MB, $$ 1KB]}]
climiters: [{name: climiter-0, limits: [$ 5]}]
rlimiters: [{name: rlimiter-0, limits: [$ 2.5]}]
",
    );
    assert_eq!(config, expected);
}

#[test]
fn what_protects_is_never_dropped_in_silence() {
    for text in ["http://:1?admission=", "http://:1?bypass=~", "http://:1?climiter=x"] {
        assert!(parse(&strings(&[text]), &[]).is_err(), "{text}");
    }
    assert!(error(&["http://:1?cert=a&key=b"], &[]).contains("tcp has none"));
    assert!(error(&["http://u:p@:1?auth=dTpx"], &[]).contains("differ"));
    assert!(error(&["http://:1?strategy=fifo"], &[]).contains("there are none"));
}

#[test]
fn a_remote_forward_has_the_chain_at_its_listener() {
    let config = config(&["rtcp://:1/:2"], &["relay+wss://h:1", "socks5://[::1]:2"]);
    let service = &config.services[0];
    assert_eq!(service.listener.as_ref().unwrap().chain, "chain-0");
    let handler = service.handler.as_ref().unwrap();
    assert_eq!((handler.kind.as_str(), handler.chain.as_str()), ("rtcp", ""));
    let names: Vec<_> =
        config.chains[0].hops.iter().flat_map(|h| h.nodes.iter().flatten()).collect();
    assert_eq!(names[0].name, "hop-0-node-0");
    assert_eq!(names[1].name, "hop-1-node-0");
}

#[test]
fn a_password_with_a_slash_is_not_taken_for_an_address() {
    for text in ["http://u:hunter/2@h:1", "http://u:hun?ter2@h:1", "http://u:hun?a=ter2@h:1"] {
        let error = error(&[text], &[text]);
        assert!(error.contains("%2F") && !error.contains("hun"), "{error}");
        assert!(error.starts_with("-F[0]: "), "{error}");
    }
}

#[test]
fn findings_are_told_by_the_flag_that_they_come_from() {
    let line = parse(&strings(&["http://:1-2?bypass=x"]), &strings(&["ws://u:p@h:1?a=b"])).unwrap();
    let labels: Vec<_> = line.labels.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let expected = [
        ("chains[0].hops[0]", "-F ws://h:1"),
        ("services[0]", "-L http://:1-2"),
        ("services[1]", "-L http://:1-2"),
        ("bypasses[0]", "-L http://:1-2: bypass="),
    ];
    assert_eq!(labels, expected);
}

#[test]
fn retries_are_the_handlers() {
    let config = config(&["http://:1?retries=3"], &[]);
    assert_eq!(config.services[0].handler.as_ref().unwrap().retries, Some(3));
}

proptest! {
    #[test]
    fn no_text_panics(text in "(ws|http|:)?(://)?[ -~ä]{0,40}") {
        let _ = parse(std::slice::from_ref(&text), std::slice::from_ref(&text));
    }

    #[test]
    fn errors_never_repeat_a_password(scheme in "[a-z+]{1,6}", port in "[0-9-]{0,6}") {
        let text = strings(&[&format!("{scheme}://user:hunter2@:{port}?bypass=x")]);
        let Err(errors) = parse(&text, &text) else { return Ok(()) };
        prop_assert!(!errors.to_string().contains("hunter2"));
    }
}
