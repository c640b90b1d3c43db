//! The examples of GOST's WebSocket page, in YAML and as command lines.

use super::lower::{LowerContext, lower};
use super::secrets::Secrets;
use super::{cmdline, raw, read};
use crate::base::Reason;

const EXAMPLES: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/gost-websocket-page.yaml"));

const COMMANDS: &[(&str, &str)] = &[
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

/// Types of the page that this version does not have.
const LACKING: &[&str] = &["mwss", "mws", "wss", "socks5", "relay"];

/// The examples as in the page's source, and as someone copies them: without the outer columns.
fn examples() -> impl Iterator<Item = String> {
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

/// With the types that this version has in the place of those that it lacks.
fn within_reach(mut config: raw::Config) -> raw::Config {
    let replace = |kind: &mut String| {
        *kind = match kind.as_str() {
            "wss" | "mws" | "mwss" => "ws".into(),
            "socks5" | "relay" => "http".into(),
            other => other.into(),
        };
    };
    for service in &mut config.services {
        service.handler.iter_mut().for_each(|h| replace(&mut h.kind));
        service.listener.iter_mut().for_each(|l| replace(&mut l.kind));
    }
    for node in config.chains.iter_mut().flat_map(|c| &mut c.hops).flat_map(|h| &mut h.nodes) {
        node.iter_mut().flat_map(|n| &mut n.dialer).for_each(|d| replace(&mut d.kind));
    }
    config
}

fn check(text: &str, config: &raw::Config) {
    let secrets = Secrets::default();
    let context = LowerContext::files("default", &secrets);
    let last_words: Vec<_> = text.lines().filter_map(|l| l.split_whitespace().last()).collect();
    let lacking: Vec<_> = LACKING.iter().filter(|kind| last_words.contains(kind)).collect();
    match lower(config, &context) {
        Ok(_) => assert!(lacking.is_empty(), "{text}"),
        Err(errors) => {
            assert!(errors.0.iter().all(|e| e.reason == Reason::Unsupported), "{errors}");
            let shown = errors.to_string();
            for kind in lacking {
                assert!(
                    shown.contains(&format!("type {kind:?} is not supported")),
                    "{text}{shown}"
                );
            }
        }
    }
    let lowered = lower(&within_reach(config.clone()), &context).unwrap();
    let odd: Vec<_> =
        lowered.warnings.iter().filter(|w| !w.message.starts_with("an open proxy")).collect();
    // A ws listener of this version does not read mux.version.
    assert!(odd.iter().all(|w| w.path.ends_with("mux.version")), "{text}{odd:?}");
}

#[test]
fn every_yaml_example_loads_or_names_the_type_that_is_missing() {
    let mut count = 0;
    for text in examples() {
        let documents = read::read(&text).unwrap_or_else(|e| panic!("{text}{e}"));
        assert!(!documents.gost.services.is_empty(), "{text}");
        let uncommented: String =
            text.lines().filter(|l| !l.contains('#')).map(|l| format!("{l}\n")).collect();
        check(&uncommented, &documents.gost);
        count += 1;
    }
    assert_eq!(count, 24);
}

#[test]
fn every_command_line_loads_or_names_the_type_that_is_missing() {
    for (listen, forward) in COMMANDS {
        let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
        let (config, warnings) = cmdline::parse(&words(listen), &words(forward)).unwrap();
        assert_eq!(warnings, [], "{listen}");
        let kinds: String = words(&format!("{listen} {forward}"))
            .iter()
            .filter_map(|word| word.split_once("://"))
            .flat_map(|(scheme, _)| scheme.split('+').map(|s| format!("{s}\n")).collect::<Vec<_>>())
            .collect();
        check(&kinds, &config);
    }
}
