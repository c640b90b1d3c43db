use super::*;
use crate::base::Reason;
use crate::config::cmdline;
use crate::config::lower::{LowerContext, lower};
use crate::config::read::read;

/// A configuration that is valid, with places for one more key.
const WHOLE: &str = "
services:
- name: a
  addr: ':1'
  HERE: 1
  handler: {type: http, HERE: 1, auth: {username: u, password: p, HERE: 1}, metadata: {HERE: 1}}
  listener: {type: wss, HERE: 1, tls: {HERE: 1, options: {HERE: 1}}, metadata: {HERE: 1}}
  metadata: {HERE: 1}
chains:
- name: c
  HERE: 1
  hops:
  - name: h
    HERE: 1
    metadata: {HERE: 1}
    nodes:
    - addr: 'h:1'
      HERE: 1
      metadata: {HERE: 1}
      connector: {type: http, HERE: 1, metadata: {HERE: 1}}
      dialer: {type: wss, HERE: 1, tls: {HERE: 1}, metadata: {HERE: 1}}
authers: [{name: u, HERE: 1, auths: [{username: u, password: p, HERE: 1}]}]
HERE: 1
";

/// The configuration with the key at the nth place alone.
fn with(key: &str, place: usize) -> String {
    let mut text = String::new();
    for (at, part) in WHOLE.split("HERE: 1").enumerate() {
        match at {
            0 => {}
            _ if at == place + 1 => text.push_str(&format!("{key}: 1")),
            // A key that means nothing keeps the text a map.
            _ => text.push_str(&format!("x-{at}: null")),
        }
        text.push_str(part);
    }
    text
}

/// Whether a text is taken with nothing but a shrug about a key that nobody knows.
fn is_shrugged_at(text: &str, key: &str) -> bool {
    let Ok(documents) = read(text) else { return false };
    let read_warnings = documents.warnings.clone();
    let lowered = lower(&documents.gost, &LowerContext::files("default", &documents.secrets));
    let Ok(lowered) = lowered else { return false };
    let mut warnings = read_warnings.into_iter().chain(lowered.warnings);
    warnings.any(|w| w.reason == Reason::UnknownKey && w.message.contains(&format!("`{key}`")))
}

#[test]
fn no_key_that_protects_or_directs_is_ignored_wherever_it_stands() {
    let places = WHOLE.matches("HERE: 1").count();
    for key in all() {
        for place in 0..places {
            let text = with(&key, place);
            assert!(!is_shrugged_at(&text, &key), "{key} at place {place}:\n{text}");
        }
    }
    assert!(is_shrugged_at(&with("colour", 3), "colour"), "a key that is nothing to anybody");
}

#[test]
fn what_real_files_and_command_lines_had_is_refused_with_its_place() {
    let file = |services: &str| {
        read(services).map(|documents| {
            lower(&documents.gost, &LowerContext::files("default", &documents.secrets)).map(drop)
        })
    };
    let errors = |text: &str| match file(text) {
        Err(errors) | Ok(Err(errors)) => errors.to_string(),
        Ok(Ok(())) => panic!("taken: {text}"),
    };
    for (service, words) in [
        ("handler: {type: http, metadata: {auther: a}}", "belongs at services[].handler.auther"),
        ("listener: {type: ws, metadata: {username: u}}", "`username` does nothing here"),
        ("listener: {type: wss, metadata: {certFile: c}}", "tls.certFile"),
        ("chain: c", "belongs at services[].handler.chain or services[].listener.chain"),
        (
            "handler: {type: http, auth: {username: u, password: p, chain: c}}",
            "services[].handler.chain",
        ),
        ("handler: {type: http, metadata: {chain: c}}", "services[].handler.chain"),
        ("handler: {type: http, metadata: {interface: eth0}}", "not supported in this version"),
        (
            "handler: {type: http, listener: {type: ws}}",
            "`listener` does nothing here: it belongs at services[].listener",
        ),
        ("handler: {type: http, metadata: {authr: a}}", "unknown key `authr`"),
        ("handler: {type: http, metadata: {bypas: a}}", "unknown key `bypas`"),
        ("listener: {type: ws, path: /x}", "`path` does nothing here: write it under metadata"),
        ("listener: {type: mws, mux.version: 2}", "write it under metadata"),
        ("listener: {type: mws, mux: {version: 2}}", "write it under metadata"),
    ] {
        let text = format!("services: [{{name: a, addr: ':1', {service}}}]");
        let found = errors(&text);
        assert!(found.contains(words), "{text}\n{found}");
    }
    for (text, words) in [
        (
            "services: {web: {addr: ':1', handler: {type: http}}}",
            "services: expected a list, got a map: write `- name: web`",
        ),
        (
            "services: [{name: a, handler: {type: http}}]",
            "services[0].addr: the address is missing",
        ),
        (
            "services: [{name: a, addr: 8080}]",
            "\"8080\" is a port without a colon; write \":8080\"",
        ),
        (
            "{\"ServeNodes\": [\":1\"], \"ChainNodes\": [\"ws://h:1\"]}",
            "this is a file of gost version 2",
        ),
        ("Routes: [{ServeNodes: [':1']}]", "this is a file of gost version 2"),
    ] {
        let found = errors(text);
        assert!(found.contains(words), "{text}\n{found}");
    }
    // Anchors have a place of their own.
    let anchored = "x-users: &u {username: u, password: p}\nservices: [{name: a, addr: ':1', handler: {type: http, auth: *u}}]";
    assert_eq!(file(anchored), Ok(Ok(())));
    let line = |listen: &str, forward: &[&str]| {
        let forward: Vec<String> = forward.iter().map(ToString::to_string).collect();
        let line = cmdline::parse(&[listen.into()], &forward)?;
        lower(&line.config, &LowerContext::files("default", &Default::default())).map(drop)
    };
    for (listen, forward, words) in [
        ("http://:1?secrets=/etc/s.txt", &[][..], "`secrets` does nothing here: write an auther"),
        ("http://:1?auther=a", &[], "services[].handler.auther"),
        ("http://:1", &["ws://h:1?ip=192.0.2.1"], "`ip` does nothing here"),
        ("http+wss://8080", &[], "write \":8080\""),
        ("http://:1", &["ws:/h:1"], "write ws://"),
        ("http://:1", &["wss://host"], "for example \"host:443\""),
    ] {
        let found = line(listen, forward).unwrap_err().to_string();
        assert!(found.contains(words), "{listen} {forward:?}: {found}");
    }
}
