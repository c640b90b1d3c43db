//! `adit check`, and a start from a file that is wrong.

use std::time::Duration;

use crate::support::pki::Authority;
use crate::support::process::Process;

/// Runs adit on a file with this text; the exit code and what it printed.
fn adit_on(command: &[&str], text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tunnel.yaml");
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let mut adit = Process::adit(&[command, &[file.as_str()]].concat());
    let status = adit.ends(Duration::from_secs(10));
    (status.code(), adit.printed())
}

const TYPO: &str = "
apiVersion: adit.dev/v1alpha1
kind: WsTunnel
metadata: {name: t}
spec:
  services:
  - name: in
    addr: ':8080'
    handler: {type: http, authr: users}
    listener: {type: ws}
  authers:
  - name: users
    auths: [{username: u, password: hunter2}]
";

#[test]
fn a_typo_that_would_open_a_door_is_refused_by_check_and_by_a_start() {
    for command in [&["check"][..], &["-C"]] {
        let (code, printed) = adit_on(command, TYPO);
        assert_eq!(code, Some(64), "{command:?}: {printed}");
        assert!(printed.contains("authr") && printed.contains("auther"), "{printed}");
    }
}

#[test]
fn a_class_file_is_checked_and_tunnels_against_it() {
    let folder = tempfile::tempdir().unwrap();
    let classes = folder.path().join("classes.yaml");
    let flag = format!("--classes={}", classes.display());
    std::fs::write(&classes, "classes: [{name: a, namespaces: {all: true}, path: [/]}]").unwrap();
    let mut adit = Process::adit(&["check", &flag]);
    assert_eq!(adit.ends(Duration::from_secs(10)).code(), Some(64));
    assert!(adit.printed().contains("classes[0]: unknown field `path`"), "{}", adit.printed());

    let text = "classes: [{name: a, default: true, namespaces: {names: [team]}, paths: [/t]}]";
    std::fs::write(&classes, text).unwrap();
    let tunnel = TYPO.replace("authr", "auther");
    let (code, printed) = adit_on(&["check", &flag], &tunnel);
    assert_eq!(code, Some(64), "{printed}");
    for part in [
        "WsTunnel default/t: spec.className: class \"a\" does not serve",
        "does not allow path /ws",
    ] {
        assert!(printed.contains(part), "{part}:\n{printed}");
    }
    std::fs::write(&classes, "classes: [{name: a, default: true, namespaces: {all: true}}]")
        .unwrap();
    let (code, printed) = adit_on(&["check", &flag], &tunnel);
    assert_eq!(code, Some(0), "{printed}");

    // Also what waits for a Secret that is in no file.
    let text = "classes: [{name: a, default: true, namespaces: {all: true}, listeners: wss}]";
    std::fs::write(&classes, text).unwrap();
    let (code, printed) = adit_on(&["check", &flag], &tunnel);
    assert_eq!(code, Some(64), "{printed}");
    assert!(printed.contains("classes[0].listeners: invalid type"), "{printed}");
    std::fs::write(&classes, text.replace("wss", "[wss]")).unwrap();
    let waits = "{apiVersion: adit.dev/v1alpha1, kind: WsTunnel, metadata: {name: t}, spec: {services: [\
                 {name: s, addr: ':8080', listener: {type: ws}, \
                 handler: {type: http, auth: {secretRef: {name: users}}}}]}}";
    let (code, printed) = adit_on(&["check", &flag], waits);
    assert_eq!(code, Some(64), "{printed}");
    assert!(printed.contains("class \"a\" does not allow listener ws"), "{printed}");

    let text = "classes: [{name: a, default: true, namespaces: {all: true}, \
                defaultCertificate: {secret: front}}]";
    std::fs::write(&classes, text).unwrap();
    let bare = "{apiVersion: adit.dev/v1alpha1, kind: WsTunnel, metadata: {name: t}, spec: {services: [\
                {name: s, addr: ':8443', handler: {type: http}, listener: {type: wss}}]}}";
    let (code, printed) = adit_on(&["check", &flag], bare);
    assert_eq!(code, Some(64), "{printed}");
    assert!(printed.contains("class \"a\" requires users: add auth or an auther"), "{printed}");
    std::fs::write(&classes, text.replace("default: true", "default: true, requireAuth: false"))
        .unwrap();
    let (code, printed) = adit_on(&["check", &flag], bare);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("default certificate of class \"a\"") && !printed.contains("self-"));
}

#[test]
fn every_error_is_reported_at_once_with_its_path() {
    let (code, printed) = adit_on(
        &["check"],
        "
services:
- name: a
  addr: ':99999'
  handler: {type: http, chain: nowhere}
  listener: {type: wsss}
- name: a
  addr: ':1'
  handler: {type: tcp}
",
    );
    assert_eq!(code, Some(64));
    for part in ["services[0].addr", "nowhere", "wsss", "forwarder"] {
        assert!(printed.contains(part), "{part}:\n{printed}");
    }
}

#[test]
fn a_good_file_is_ok_and_its_open_proxy_is_said() {
    let text = "services: [{name: a, addr: ':8080', handler: {type: http}, listener: {type: ws}}]";
    let (code, printed) = adit_on(&["check"], text);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("ok: 1 service"), "{printed}");
    assert!(printed.contains("warning"), "{printed}");
}

#[test]
fn a_key_of_another_certificate_is_found_by_check_and_by_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new(folder.path(), "ca");
    let (one, other) = (ca.leaf("one"), ca.leaf("other"));
    let text = format!(
        "services: [{{name: a, addr: '127.0.0.1:0', handler: {{type: http}},\n\
         \x20 listener: {{type: wss, tls: {{certFile: {}, keyFile: {}}}}}}}]",
        one.cert, other.key
    );
    for command in [&["check"][..], &["-C"]] {
        let (code, printed) = adit_on(command, &text);
        assert_eq!(code, Some(64), "{command:?}: {printed}");
        assert!(printed.contains("services[0].listener.tls.keyFile: "), "{printed}");
        assert!(printed.contains("has the private key of another certificate"), "{printed}");
    }
}

#[test]
fn a_password_is_never_printed() {
    let (_, printed) = adit_on(&["check"], TYPO);
    assert!(!printed.contains("hunter2"), "{printed}");
    let (_, printed) = adit_on(&["check"], "services: [{name: a, auth: {password: hunter2}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

const REFERRING: &str = "
apiVersion: adit.dev/v1alpha1
kind: WsTunnel
metadata: {name: t, namespace: team-a}
spec:
  services:
  - name: db
    addr: ':5432'
    handler: {type: tcp}
    listener: {type: tcp}
    forwarder: {nodes: [{name: n, serviceRef: {name: postgres, port: 5432}}]}
  - name: in
    addr: ':8443'
    handler: {type: http}
    listener: {type: wss, tls: {secretRef: {name: edge}}}
";

#[test]
fn a_tunnel_is_checked_for_a_cluster_that_has_what_it_refers_to() {
    let (code, printed) = adit_on(&["check"], REFERRING);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("ok: 2 services"), "{printed}");
    assert!(printed.contains("service db is open: it forwards to its declared"), "{printed}");
    for part in ["Service \"postgres\" is not known", "Secret \"edge\" was not read yet"] {
        assert!(printed.contains(&format!("{part}: no cluster was asked")), "{printed}");
    }
    // A process has no cluster to follow.
    let (code, printed) = adit_on(&["-C"], REFERRING);
    assert_eq!(code, Some(64), "{printed}");
    assert!(printed.contains("only the controller follows Services"), "{printed}");
    // Nor has a file of GOST's.
    let gost = "services: [{name: a, addr: ':1', handler: {type: tcp},\n\
                \x20 forwarder: {nodes: [{name: n, serviceRef: {name: s, port: 1}}]}}]";
    let (code, printed) = adit_on(&["check"], gost);
    assert_eq!(code, Some(64), "{printed}");
    assert!(printed.contains("only the controller follows Services"), "{printed}");
}

#[test]
fn check_says_what_the_cluster_would_refuse_and_a_process_would_run() {
    let loopback =
        REFERRING.replace("serviceRef: {name: postgres, port: 5432}", "addr: '127.0.0.1:22'");
    let (code, printed) = adit_on(&["check"], &loopback);
    assert_eq!(code, Some(64), "{printed}");
    assert!(printed.contains("the controller's own loopback interface"), "{printed}");
    assert!(!printed.contains("no cluster was asked"), "a doubt is no error: {printed}");
    let (code, printed) =
        adit_on(&["check"], &REFERRING.replace("{type: http}", "{type: http, retries: 11}"));
    assert_eq!(code, Some(64), "{printed}");
    assert!(
        printed.contains("services[1].handler.retries: 11 is too large; at most 10"),
        "{printed}"
    );
}

#[test]
fn explain_tells_a_file_service_by_service() {
    let (code, printed) = adit_on(&["explain"], REFERRING);
    assert_eq!(code, Some(0), "{printed}");
    for part in [
        "WsTunnel team-a/t: valid",
        "service db is open",
        "db: valid",
        "in: valid",
        "Nothing is known",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let (code, printed) = adit_on(&["explain"], &REFERRING.replace("type: wss", "type: wsss"));
    assert_eq!(code, Some(64), "{printed}");
    assert!(printed.contains("db: valid") && printed.contains("in: invalid"), "{printed}");
    let (code, printed) = adit_on(&["explain", "a/b/c"], REFERRING);
    assert_eq!(code, Some(2), "one thing at a time: {printed}");
}

#[test]
fn what_a_start_would_refuse_check_refuses_in_the_same_words() {
    let service = |name: &str, addr: &str, listener: &str| {
        format!(
            "- {{name: {name}, addr: '{addr}', handler: {{type: http}}, listener: {listener}}}\n"
        )
    };
    let both = |one: &str, other: &str| format!("services:\n{one}{other}");
    let (tcp, ws) = ("{type: tcp}", "{type: ws, metadata: {path: /x}}");
    let back = "services: [{name: a, addr: ':15432', handler: {type: tcp}, listener: {type: tcp},\n\
                \x20 forwarder: {nodes: [{addr: 'localhost:15432'}]}}]";
    for (text, words) in [
        (
            both(&service("a", ":81", tcp), &service("b", ":81", tcp)),
            "services[1].addr: addr :81 belongs",
        ),
        (
            both(&service("a", ":81", ws), &service("b", ":81", tcp)),
            "services[1].addr: addr :81 belongs",
        ),
        (
            both(&service("a", ":81", ws), &service("b", ":81", ws)),
            "services[1]: path /x on these host",
        ),
        (
            back.into(),
            "services[0].forwarder: localhost:15432 is the address of this service itself",
        ),
        (String::new(), "nothing to run: no service is given"),
    ] {
        for command in [&["check"][..], &["-C"]] {
            let (code, printed) = adit_on(command, &text);
            assert_eq!(code, Some(64), "{command:?} {text}{printed}");
            assert!(printed.contains(words), "{command:?} {text}{printed}");
        }
    }
    for lines in [&["-L", "http://:81", "-L", "socks5://:81"][..], &["-F", "ws://h:1"]] {
        let mut adit = Process::adit(&[&["check"], lines].concat());
        assert_eq!(adit.ends(Duration::from_secs(10)).code(), Some(64), "{lines:?}");
    }
    // One port, two paths.
    let other = "{type: ws, metadata: {path: /y}}";
    let (code, printed) =
        adit_on(&["check"], &both(&service("a", ":81", ws), &service("b", ":81", other)));
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn tunnels_are_checked_against_the_ports_of_a_cluster_and_against_each_other() {
    let tunnel = |name: &str, addr: &str, listener: &str| {
        format!(
            "---\napiVersion: adit.dev/v1alpha1\nkind: WsTunnel\nmetadata: {{name: {name}}}\nspec:\n\
             \x20 services: [{{name: in, addr: '{addr}', handler: {{type: http, auther: u}}, \
             listener: {listener}}}]\n\x20 authers: [{{name: u, auths: [{{username: u, password: p}}]}}]\n"
        )
    };
    let (ws, tcp) = ("{type: ws, metadata: {path: /x}}", "{type: tcp}");
    for (text, words) in [
        (tunnel("a", ":8443", ws), "use listener wss or mwss, or addr :8080"),
        (
            tunnel("a", ":8080", tcp),
            "services[0].addr: addr :8080 is a front port, which speaks ws",
        ),
        (tunnel("a", ":9180", tcp), "services[0].addr: addr :9180 is the admin port"),
        (
            tunnel("a", ":8080", ws) + &tunnel("b", ":8080", ws),
            "WsTunnel default/b: services[0]: path /x",
        ),
        (
            tunnel("z", ":9001", tcp) + &tunnel("b", ":9001", tcp),
            "WsTunnel default/b: services[0].addr: ",
        ),
    ] {
        for command in ["check", "explain"] {
            let (code, printed) = adit_on(&[command], &text);
            assert_eq!(code, Some(64), "{command} {text}{printed}");
            assert!(command == "explain" || printed.contains(words), "{command} {text}{printed}");
        }
    }
    let suspended = tunnel("b", ":9001", tcp).replace("spec:\n", "spec:\n  suspend: true\n");
    let (code, printed) = adit_on(&["check"], &(tunnel("a", ":9001", tcp) + &suspended));
    assert_eq!(code, Some(0), "{printed}");
}
