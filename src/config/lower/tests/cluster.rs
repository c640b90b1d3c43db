//! What a tenant may not do, because the controller would do it.

use super::*;
use crate::config::raw::TunnelSpec;
use crate::config::secrets::{SecretData, SecretState};
use crate::config::services::{ServicePort, ServiceState, Services};

fn error(text: &str) -> String {
    let errors = errors(controller(text));
    assert_eq!(errors.len(), 1, "{text}: {errors:?}");
    errors[0].clone()
}

fn service(rest: &str) -> String {
    format!("services: [{{name: a, addr: ':1', {rest}}}]\n")
}

#[test]
fn what_would_act_with_the_controllers_identity_is_refused() {
    let file = "a file would be read with the controller's rights, not with yours; write the \
                values, or refer to a Secret";
    let bind = "clients would open ports of the controller, with its identity; remove `bind`";
    for (text, expected) in [
        (service("handler: {auth: {file: u}}"), format!("services[0].handler.auth.file: {file}")),
        ("authers: [{name: a, file: {path: u}}]".into(), format!("authers[0].file.path: {file}")),
        ("bypasses: [{name: a, file: {path: u}}]".into(), format!("bypasses[0].file.path: {file}")),
        (
            service("handler: {type: socks5, metadata: {bind: true}}"),
            format!("services[0].handler.metadata.bind: {bind}"),
        ),
        (
            service("handler: {type: relay, metadata: {bind: true}}"),
            format!("services[0].handler.metadata.bind: {bind}"),
        ),
        (
            service(
                "handler: {type: forward}, listener: {type: rtcp}, forwarder: {nodes: [{addr: 'h:1'}]}",
            ),
            "services[0].listener.type: listener rtcp is not supported in a cluster: its ports \
             would have to be declared; supported there: ws, wss, mws, mwss, tcp, tls, udp"
                .into(),
        ),
        (
            service("handler: {type: rtcp}, forwarder: {nodes: [{addr: 'h:1'}]}"),
            "services[0].handler.type: handler rtcp is not supported in a cluster; write forward"
                .into(),
        ),
        (
            "resolvers: [{name: r, nameservers: [{addr: '127.0.0.1:53'}]}]".into(),
            "resolvers[0].nameservers[0].addr: 127.0.0.1:53 is the controller's own loopback \
             interface"
                .into(),
        ),
    ] {
        assert_eq!(error(&text), expected);
    }
    let files_of_tls = service("listener: {type: wss, tls: {certFile: c, keyFile: k}}");
    assert_eq!(errors(controller(&files_of_tls)).len(), 2);
}

#[test]
fn tenants_get_udp_over_tcp_and_no_ports() {
    let lowered = controller(&service("handler: {type: socks5, metadata: {udp: true}}")).unwrap();
    let HandlerConfig::Socks5(socks5) = &lowered.services[0].handler else { panic!() };
    assert!(socks5.udp && !socks5.udp_associate);
}

#[test]
fn a_loopback_port_of_a_tcp_listener_is_not_one_for_datagrams() {
    let text = |listener: &str| {
        format!(
            "services:\n\
             - {{name: p, addr: ':1080', handler: {{type: http}}, listener: {{type: tcp}}}}\n\
             - {{name: f, addr: ':9000', handler: {{type: forward}}, listener: {{type: {listener}}},\n\
             \x20  forwarder: {{nodes: [{{addr: 'h:1'}}, {{addr: ':1080'}}]}}}}"
        )
    };
    assert!(controller(&text("ws")).is_ok());
    let error = controller(&text("udp")).unwrap_err();
    assert_eq!(error.reason(), Reason::LoopbackTarget);
    assert_eq!(error.0[0].path, "services[1].forwarder.nodes[1].addr");
}

#[test]
fn a_tunnel_has_no_certificate_for_all() {
    let config = raw::Config { tls: Some(raw::Tls::default()), ..raw::Config::default() };
    let spec = raw::TunnelSpec { config, ..raw::TunnelSpec::default() };
    let secrets = Secrets::default();
    let context = LowerContext::files("a", &secrets);
    let errors = errors(lower_tunnel(&spec, &context));
    assert!(errors[0].starts_with("tls: "), "{errors:?}");
}

/// Keys and what they hold.
type Values<'a> = &'a [(&'a str, &'a str)];

/// A world of Secrets of namespace team-a: their names, what they hold, whether it may be sent.
fn secrets(all: &[(&str, Values, bool)]) -> Secrets {
    let secret = |(name, values, shared): &(&str, Values, bool)| {
        let value =
            |(key, value): &(&str, &str)| (key.to_string(), Secret::new(value.as_bytes().to_vec()));
        let values = values.iter().map(value).collect();
        let data = SecretData { values, shared: *shared, ..Default::default() };
        (("team-a".to_string(), name.to_string()), SecretState::Known(Arc::new(data)))
    };
    Secrets(all.iter().map(secret).collect())
}

fn with_secrets(text: &str, secrets: &Secrets, kept: &Kept) -> Result<Lowered, ConfigErrors> {
    let documents = read(text)?;
    let context = LowerContext::controller("team-a", secrets, &[8080, 8443]);
    lower(&documents.gost, &context.with_kept(kept))
}

/// Why a service does not serve.
fn missing(lowered: &Lowered, service: &str) -> Vec<(Reason, String)> {
    let references = lowered.references.get(service).cloned().unwrap_or_default();
    references.missing.iter().map(|d| (d.reason, d.to_string())).collect()
}

fn names(lowered: &Lowered) -> Vec<&str> {
    lowered.services.iter().map(|service| &*service.name).collect()
}

/// Two services, of which `b` needs nothing.
fn beside(rest: &str) -> String {
    format!(
        "services:\n- {{name: a, addr: ':1', {rest}}}\n\
         - {{name: b, addr: ':2', handler: {{type: http}}, listener: {{type: ws}}}}\n"
    )
}

#[test]
fn a_missing_secret_ends_the_service_that_needs_it_and_no_other() {
    let of_chain = "chains: [{name: c, hops: [{name: h}]}]\n\
         hops: [{name: h, nodes: [{addr: 'h:1', connector: {auth: {secretRef: {name: s}}}}]}]\n";
    for (text, path, line) in [
        (
            beside("listener: {type: wss, tls: {secretRef: {name: s}}}"),
            "services[0].listener.tls.secretRef",
            "kubectl create secret tls s -n team-a --cert=FILE --key=FILE",
        ),
        (
            beside("handler: {type: http, auth: {secretRef: {name: s}}}"),
            "services[0].handler.auth.secretRef",
            "--type=kubernetes.io/basic-auth",
        ),
        (
            beside("handler: {type: http, auther: u}")
                + "authers: [{name: u, auths: [{username: v, password: w}], secretRef: {name: s}}]",
            "authers[0].secretRef",
            "kubectl label secret s -n team-a adit.dev/usage=users",
        ),
        (
            beside("handler: {type: http, chain: c}") + of_chain,
            "hops[0].nodes[0].connector.auth.secretRef",
            "kubectl label secret s -n team-a adit.dev/share=true",
        ),
    ] {
        let lowered = with_secrets(&text, &Secrets::default(), &Kept::new()).unwrap();
        assert_eq!(names(&lowered), ["b"], "{text}");
        let missing = missing(&lowered, "a");
        assert_eq!((missing.len(), missing[0].0), (1, Reason::SecretNotFound), "{missing:?}");
        let start = format!("{path}: Secret \"s\" does not exist in namespace \"team-a\": ");
        assert!(missing[0].1.starts_with(&start), "{missing:?}");
        assert!(missing[0].1.contains(line), "{missing:?}");
    }
}

#[test]
fn no_trouble_with_users_ever_opens_a_door() {
    let text = beside("handler: {type: http, authers: [u, v]}")
        + "authers: [{name: u, auths: [{username: x, password: y}]}, {name: v, secretRef: {name: s}}]";
    let cases: &[&[(&str, &str)]] =
        &[&[], &[("u", "")], &[("u", "a\n")], &[("a:b", "c")], &[("x", "other")]];
    for values in cases {
        let secrets = secrets(&[("s", values, false)]);
        let lowered = with_secrets(&text, &secrets, &Kept::new()).unwrap();
        assert_eq!(names(&lowered), ["b"], "{values:?}");
        assert_eq!(missing(&lowered, "a")[0].0, Reason::SecretInvalid, "{values:?}");
    }
    let lowered = with_secrets(&text, &secrets(&[("s", &[("u", "p")], false)]), &Kept::new());
    let lowered = lowered.unwrap();
    assert!(!lowered.services[0].handler.is_open());
    assert_eq!(lowered.references, BTreeMap::new());
}

#[test]
fn what_is_sent_out_needs_its_owners_word() {
    let text = beside("handler: {type: http, chain: c}")
        + "chains: [{name: c, hops: [{nodes: [{addr: 'h:1', connector: {auth: {secretRef: {name: s}}}}]}]}]";
    let values: &[(&str, &str)] = &[("username", "u"), ("password", "p")];
    let lowered = with_secrets(&text, &secrets(&[("s", values, false)]), &Kept::new()).unwrap();
    assert_eq!(names(&lowered), ["b"]);
    let (reason, message) = &missing(&lowered, "a")[0];
    assert_eq!(*reason, Reason::SecretInvalid);
    assert!(message.ends_with("kubectl label secret s -n team-a adit.dev/share=true"), "{message}");
    let lowered = with_secrets(&text, &secrets(&[("s", values, true)]), &Kept::new()).unwrap();
    assert_eq!(names(&lowered), ["a", "b"]);
}

#[test]
fn a_certificate_that_was_loaded_outlives_its_secret() {
    let pair = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec![name.to_string()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let (one, other) = (pair("one"), pair("other"));
    let text = beside("listener: {type: wss, tls: {secretRef: {name: s}}}");
    let good = secrets(&[("s", &[("tls.crt", &one.0), ("tls.key", &one.1)], false)]);
    let lowered = with_secrets(&text, &good, &Kept::new()).unwrap();
    let holder = Holder::Secret("s".into());
    assert_eq!(lowered.loaded, [(holder.clone(), true)].into());
    assert_eq!(lowered.references["a"].certificates.len(), 1);
    let SecretState::Known(data) = good.find("team-a", "s") else { panic!() };
    let kept = Kept::from([(holder.clone(), data.clone())]);
    let mixed = secrets(&[("s", &[("tls.crt", &one.0), ("tls.key", &other.1)], false)]);
    for (secrets, reason) in
        [(Secrets::default(), Reason::SecretNotFound), (mixed, Reason::SecretInvalid)]
    {
        let first = with_secrets(&text, &secrets, &Kept::new()).unwrap();
        assert_eq!((names(&first), missing(&first, "a")[0].0), (vec!["b"], reason));
        let after = with_secrets(&text, &secrets, &kept).unwrap();
        assert_eq!(after.services, lowered.services);
        assert_eq!(after.loaded, [(holder.clone(), false)].into());
        let stale = &after.references["a"].stale;
        assert_eq!((stale.len(), stale[0].reason), (1, reason));
        assert!(stale[0].message.ends_with("goes on until the controller restarts"), "{stale:?}");
    }
}

#[test]
fn a_mistake_in_the_spec_rejects_it_whatever_is_missing_besides() {
    let text = beside("addr: nonsense, listener: {type: wss, tls: {secretRef: {name: s}}}")
        .replace("addr: ':1', ", "");
    let errors = with_secrets(&text, &Secrets::default(), &Kept::new()).unwrap_err();
    assert_eq!(errors.0.len(), 2, "{errors}");
}

/// A Service `db` of team-a with a port `sql` and these ready endpoints.
fn db(ready: &[&str]) -> Services {
    let port = ServicePort {
        name: "sql".into(),
        udp: false,
        number: 5432,
        ready: ready.iter().map(|addr| addr.parse().unwrap()).collect(),
    };
    let key = ("team-a".to_string(), "db".to_string());
    Services([(key, ServiceState::Known(vec![port]))].into())
}

fn with_services(text: &str, services: &Services) -> Result<Lowered, ConfigErrors> {
    let documents = read(text)?;
    let secrets = Secrets::default();
    let context = LowerContext::controller("team-a", &secrets, &[8080, 8443]);
    lower(&documents.gost, &context.with_services(services))
}

#[test]
fn the_ready_endpoints_of_a_service_are_the_targets() {
    for port in ["5432", "sql", "'5432'"] {
        let node = format!("{{name: n, serviceRef: {{name: db, port: {port}}}}}");
        let text = beside(&format!(
            "handler: {{type: forward}}, forwarder: {{nodes: [{node}, {{addr: 'h:1'}}]}}"
        ));
        let targets = |ready: &[&str]| {
            let lowered = with_services(&text, &db(ready)).unwrap();
            let to = lowered.services[0].handler.forward().unwrap().clone();
            to.nodes.iter().map(|n| format!("{} {}", n.name, n.target)).collect::<Vec<_>>()
        };
        assert_eq!(
            targets(&["10.0.0.2:6000", "10.0.0.1:6000"]),
            ["n 10.0.0.1:6000", "n 10.0.0.2:6000", "target-1 h:1"]
        );
        assert_eq!(targets(&[]), ["n db.team-a.svc:5432", "target-1 h:1"]);
    }
}

#[test]
fn a_node_behind_a_service_is_called_by_the_services_name() {
    let text = beside("handler: {type: http, chain: c}")
        + "chains: [{name: c, hops: [{nodes: [{serviceRef: {name: db, port: sql}, \
           dialer: {type: wss, tls: {secure: true}}}]}]}]";
    let lowered = with_services(&text, &db(&["10.0.0.1:6000", "10.0.0.2:6000"])).unwrap();
    let nodes = &lowered.services[0].chain.hops[0].nodes;
    assert_eq!(nodes.len(), 2);
    assert_eq!(nodes[1].addr.to_string(), "10.0.0.2:6000");
    let DialerConfig::Ws(ws) = &nodes[1].dialer else { panic!() };
    assert_eq!(ws.host, "db.team-a.svc:5432");
    assert_eq!(ws.tls.as_ref().unwrap().server_name.as_deref(), Some("db.team-a.svc"));
}

#[test]
fn a_service_that_is_not_there_ends_what_needs_it() {
    let text =
        |node: &str| beside(&format!("handler: {{type: forward}}, forwarder: {{nodes: [{node}]}}"));
    for (node, reason, words) in [
        ("{serviceRef: {name: gone, port: 1}}", Reason::ServiceNotFound, "does not exist"),
        ("{serviceRef: {name: db, port: 1}}", Reason::ServiceNotFound, "known: 5432 (sql)"),
    ] {
        let lowered = with_services(&text(node), &db(&[])).unwrap();
        assert_eq!(names(&lowered), ["b"]);
        let missing = missing(&lowered, "a");
        assert_eq!((missing.len(), missing[0].0), (1, reason));
        assert!(missing[0].1.contains(words), "{missing:?}");
    }
    for (node, words) in [
        ("{addr: 'h:1', serviceRef: {name: db, port: 1}}", "keep one form"),
        ("{serviceRef: {name: db}}", "by number or name"),
        ("{serviceRef: {port: 1}}", "name is missing"),
    ] {
        let errors = errors(with_services(&text(node), &db(&[])));
        assert!(errors.len() == 1 && errors[0].contains(words), "{errors:?}");
    }
    let errors = errors(files(&text("{serviceRef: {name: db, port: 1}}")));
    assert!(errors[0].contains("only the controller follows Services"), "{errors:?}");
}

#[test]
fn services_that_are_open_by_declaration_are_named_in_one_sentence() {
    let to = "forwarder: {nodes: [{addr: 'h:1'}]}";
    let user = "auth: {username: u, password: p}";
    let of = |services: &[(&str, &str)]| {
        let line = |(name, rest): &(&str, &str)| format!("{{name: {name}, addr: ':1', {rest}}}");
        let services: Vec<_> = services.iter().map(line).collect();
        let config = read(&format!("services: [{}]", services.join(", "))).unwrap().gost;
        let spec = TunnelSpec { config, ..TunnelSpec::default() };
        let (secrets, known) = (Secrets::default(), Services::default());
        let context = LowerContext::controller("team-a", &secrets, &[8080]).with_services(&known);
        let lowered = lower_tunnel(&spec, &context).unwrap();
        let open = lowered.warnings.into_iter().map(|warning| warning.to_string());
        open.filter(|warning| warning.contains("declared targets")).collect::<Vec<_>>()
    };
    let db = ("db", &*format!("handler: {{type: tcp}}, {to}"));
    let cache = ("cache", &*format!("handler: {{type: forward}}, {to}"));
    let closed = ("closed", &*format!("handler: {{type: relay, {user}}}, {to}"));
    let http = ("http", &*format!("handler: {{type: http, {user}}}"));
    assert_eq!(
        of(&[http, db]),
        ["service db is open: it forwards to its declared targets without users"]
    );
    assert_eq!(
        of(&[cache, closed, db]),
        ["services cache, db are open: they forward to their declared targets without users"]
    );
    assert_eq!(of(&[http, closed]), Vec::<String>::new());
    // One that waits for its Service is open as soon as that is there.
    let follows = "forwarder: {nodes: [{serviceRef: {name: pg, port: 1}}]}";
    let waits = ("waits", &*format!("handler: {{type: tcp}}, {follows}"));
    assert_eq!(of(&[waits]).len(), 1);
}

#[test]
fn a_relay_to_declared_targets_is_told_to_have_users() {
    let relay = "handler: {type: relay}, forwarder: {nodes: [{addr: 'h:1'}]}";
    let lowered = controller(&service(relay)).unwrap();
    assert_eq!(
        warnings(&lowered),
        ["services[0].handler: no users: whoever reaches it goes to its targets; add auth or an \
          auther, which a class requires by default"]
    );
    assert_eq!(warnings(&files(&service(relay)).unwrap()), Vec::<String>::new());
}
