//! The examples of GOST's WebSocket page, in YAML and as command lines.

use super::lower::{LowerContext, lower};
use super::model::ServiceConfig;
use super::secrets::Secrets;
use super::{cmdline, raw, read};

const EXAMPLES: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/gost-websocket-page.yaml"));

pub(super) const COMMANDS: &[(&str, &str)] = &[
    ("ws://:8080", ""),
    ("wss://:8080", ""),
    ("mws://:8443", ""),
    ("mwss://:8443", ""),
    ("wss://:8443?path=/ws", ""),
    ("http://:8080", "wss://:8443?path=/ws"),
    ("http://:8080", "wss://:8443?host=example.com"),
    ("http://:8080", "wss://:8443?keepalive=true&ttl=15s"),
    ("http+wss://:8443", ""),
    ("socks5+wss://:8443", ""),
    ("relay+wss://:8443", ""),
    ("wss://:8443/:1080 socks5://:1080", ""),
    ("forward+wss://:8443/:1080 socks5://:1080", ""),
];

/// The examples as in the page's source, and as someone copies them: without the outer columns.
pub(super) fn examples() -> impl Iterator<Item = String> {
    let dedent = |text: &str| {
        let line = |l: &str| {
            let inner = l.strip_prefix('\t').or_else(|| l.strip_prefix("    "));
            format!("{}\n", inner.filter(|_| text.starts_with(' ')).unwrap_or(l))
        };
        text.lines().map(line).collect::<String>()
    };
    let examples = EXAMPLES.split("#### example\n").skip(1);
    examples.flat_map(move |text| [text.to_string(), dedent(text)])
}

/// Nothing is odd about a page's example but what it leaves open: no authentication, certificates that
/// are made up, and none that is verified.
fn check(text: &str, config: &raw::Config) -> Vec<ServiceConfig> {
    let secrets = Secrets::default();
    let context = LowerContext::files("default", &secrets);
    let lowered = lower(config, &context).unwrap_or_else(|e| panic!("{text}{e}"));
    let expected = ["an open proxy", "no certificate is given", "the server's certificate is not"];
    for warning in &lowered.warnings {
        assert!(expected.iter().any(|e| warning.message.starts_with(e)), "{text}{warning}");
    }
    lowered.services
}

/// What the words `type:` of a text say, in order, chains behind services.
fn kinds(services: &[ServiceConfig]) -> Vec<&'static str> {
    services
        .iter()
        .flat_map(|service| {
            let nodes = service.chain.hops.iter().flat_map(|hop| &hop.nodes);
            std::iter::once(service.listener.kind()).chain(nodes.map(|node| node.dialer.kind()))
        })
        .collect()
}

#[test]
fn every_yaml_example_is_what_it_says() {
    let mut count = 0;
    for text in examples() {
        let documents = read::read(&text).unwrap_or_else(|e| panic!("{text}{e}"));
        let services = check(&text, &documents.gost);
        assert!(!services.is_empty(), "{text}");
        let words =
            text.lines().filter(|l| !l.contains('#')).filter_map(|l| l.split_once("type: "));
        let words: Vec<&str> = words.map(|(_, kind)| kind.trim()).collect();
        for kind in kinds(&services) {
            assert!(words.contains(&kind) || kind == "tcp", "{text}{kind}");
        }
        let secure = words.iter().filter(|w| ["wss", "mwss"].contains(w)).count();
        let found = kinds(&services).iter().filter(|k| ["wss", "mwss"].contains(k)).count();
        assert_eq!(found, secure, "{text}");
        count += 1;
    }
    assert_eq!(count, 24);
}

#[test]
fn every_command_line_is_what_it_says() {
    for (listen, forward) in COMMANDS {
        let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
        let line = cmdline::parse(&words(listen), &words(forward)).unwrap();
        assert_eq!(line.warnings, [], "{listen}");
        let services = check(listen, &line.config);
        let transport = |word: &String| {
            let scheme = word.split_once("://").map(|(scheme, _)| scheme).unwrap_or_default();
            let kind = scheme.rsplit('+').next().unwrap_or_default();
            if ["http", "socks5"].contains(&kind) { "tcp".into() } else { kind.to_string() }
        };
        let mut expected: Vec<String> = words(listen).iter().map(transport).collect();
        expected.extend(words(forward).iter().map(transport));
        assert_eq!(kinds(&services), expected, "{listen} {forward}");
    }
}
