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
    parse(&strings(listen), &strings(forward)).unwrap().0
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
        assert!(error.starts_with("-L[0]: "), "{error}");
    }
}

#[test]
fn what_this_version_lacks_is_refused_by_its_name() {
    for (text, name) in
        [("wss://:1", "\"wss\""), ("https://:1", "\"tls\""), ("socks5+ws://:1", "\"socks5\"")]
    {
        let errors = lowered(&config(&[text], &[])).unwrap_err();
        assert_eq!(errors.reason(), Reason::Unsupported);
        assert!(errors.to_string().contains(name), "{errors}");
    }
    assert!(error(&["http://:1?bypass=10.0.0.0/8"], &[]).contains("`bypass`"));
    assert!(error(&[], &["ws://h:1?Secure=true"]).contains("`secure`"));
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
        assert!(error(&[text], &[]).starts_with("-L[0]: "), "{text}");
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
fn a_path_of_a_hop_and_a_discarded_handler_are_warned_about() {
    let (_, warnings) = parse(&strings(&["http+ws://:1/h:1"]), &strings(&["ws://h:1/ws"])).unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
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
