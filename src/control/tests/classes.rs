//! Classes over time: what is narrowed revokes, what is edited keeps.

use std::sync::Arc;

use serde_json::{Value, json};

use super::references::pair;
use super::world::{RELEASE, World, service};
use crate::config::model::{AutoProtocols, Certificate, HandlerConfig};
use crate::control::policy::{Labels, Policy, Reserved};

/// Goes by a class file from the next translation on.
pub(super) fn govern(world: &mut World, classes: &str) {
    let policy = Policy::read([("classes", classes)], Reserved::default()).unwrap();
    world.translator.govern(Arc::new(policy), Arc::new(Labels::default()));
}

const ALL: &str = "classes: [{name: adit, default: true, namespaces: {all: true}}]";

#[test]
fn a_narrowed_class_stops_what_it_does_not_allow_any_more() {
    let mut world = World::default();
    govern(&mut world, ALL);
    world.create("a", "t", service(":8080", "/x", &[]));
    world.settle();
    assert_eq!(world.running(), ["a/t/s"]);
    let narrow = "classes: [{name: adit, default: true, namespaces: {all: true}, paths: [/t]}]";
    govern(&mut world, narrow);
    world.settle();
    assert!(world.running().is_empty());
    assert_eq!(world.condition("a", "t", "Accepted"), "False/PathNotAllowed");
    assert_eq!(world.condition("a", "t", "Programmed"), "False/Pending");
    govern(&mut world, ALL);
    world.settle();
    assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
}

#[test]
fn a_tunnel_without_users_is_refused_by_default_and_closed_when_its_class_asks_for_them() {
    let mut open = service(":8080", "/x", &[]);
    open["services"][0]["handler"] = json!({"type": "http"});
    let mut world = World::default();
    world.create("a", "t", open);
    world.settle();
    assert_eq!(world.condition("a", "t", "Accepted"), "False/NotAllowedByClass");
    let lax = ALL.replace("}}", "}, requireAuth: false}");
    govern(&mut world, &lax);
    world.settle();
    assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
    govern(&mut world, ALL);
    world.settle();
    assert!(world.running().is_empty());
    assert_eq!(world.condition("a", "t", "Accepted"), "False/NotAllowedByClass");
}

#[test]
fn auto_runs_with_the_protocols_of_its_class_and_follows_them() {
    let mut auto = service(":8080", "/x", &[]);
    auto["services"][0]["handler"]["type"] = json!("auto");
    auto["services"].as_array_mut().unwrap().push(json!({
        "name": "e", "addr": ":1080", "listener": {"type": "tcp"}, "expose": {},
        "handler": {"type": "auto", "auth": {"username": "u", "password": "p"}},
    }));
    let mut world = World::default();
    govern(&mut world, ALL);
    world.create("a", "t", auto);
    let speaks = |world: &mut World| {
        world.settle();
        world.settle();
        let configs = world.translation.services.values().map(|desired| &desired.config.handler);
        let speaks = configs.map(|handler| match handler {
            HandlerConfig::Auto(auto) => auto.speaks,
            other => panic!("{other:?}"),
        });
        speaks.collect::<Vec<_>>()
    };
    assert_eq!(speaks(&mut world), [AutoProtocols::default(); 2]);
    govern(&mut world, &ALL.replace("}}", "}, handlers: [auto, http]}"));
    let http = AutoProtocols { http: true, socks4: false, socks5: false };
    assert_eq!(speaks(&mut world), [http; 2]);
    govern(&mut world, ALL);
    assert_eq!(speaks(&mut world), [AutoProtocols::default(); 2]);
}

#[test]
fn an_edit_that_the_class_does_not_allow_keeps_what_it_does() {
    let mut world = World::default();
    let narrow = "classes: [{name: adit, default: true, namespaces: {all: true}, paths: [/x, /y]}]";
    govern(&mut world, narrow);
    world.create("a", "t", service(":8080", "/x", &[]));
    world.settle();
    world.edit("a", "t", service(":8080", "/z", &[]));
    world.settle();
    assert_eq!(world.running(), ["a/t/s"]);
    assert_eq!(world.condition("a", "t", "Programmed"), "False/UsingPreviousConfig");
    // Now what ran before is not allowed either.
    let narrower = "classes: [{name: adit, default: true, namespaces: {all: true}, paths: [/y]}]";
    govern(&mut world, narrower);
    world.settle();
    assert!(world.running().is_empty());
}

#[test]
fn a_service_that_waits_for_what_it_refers_to_is_held_to_its_class_like_any_other() {
    let mut world = World::default();
    govern(&mut world, ALL);
    let mut waits = service(":8080", "/x", &[]);
    waits["services"][0]["handler"] =
        json!({"type": "http", "auth": {"secretRef": {"name": "no"}}});
    world.create("a", "good", waits.clone());
    world.settle();
    assert_eq!(world.condition("a", "good", "Accepted"), "True/Accepted");
    assert_eq!(world.condition("a", "good", "ResolvedRefs"), "False/SecretNotFound");

    for (name, key, value, reason) in [
        ("path", "listener", json!({"type": "ws", "metadata": {"path": "/z"}}), "PathNotAllowed"),
        (
            "kind",
            "listener",
            json!({"type": "mws", "metadata": {"path": "/x"}}),
            "NotAllowedByClass",
        ),
        ("lent", "expose", json!({"type": "LoadBalancer"}), "NotAllowedByClass"),
        ("port", "addr", json!(":22"), "PortNotAllowed"),
    ] {
        let narrow = "classes: [{name: adit, default: true, namespaces: {all: true}, \
                      listeners: [ws], paths: [/x], requireAuth: true}]";
        govern(&mut world, narrow);
        let mut bad = waits.clone();
        bad["services"][0][key] = value;
        world.create("a", name, bad);
        world.settle();
        assert_eq!(world.condition("a", name, "Accepted"), format!("False/{reason}"), "{name}");
        let listeners = &world.object("a", name).status.listeners;
        assert!(listeners.iter().all(|listener| listener.target_port.is_none()), "{name}");
    }
    // Whoever asks for users that nobody has seen is no open proxy.
    assert_eq!(world.condition("a", "good", "Accepted"), "True/Accepted");
}

#[test]
fn a_class_that_is_taken_away_is_said_once_and_then_the_object_is_nobody_s() {
    let mut world = World::default();
    govern(&mut world, "classes: [{name: gold, default: true, namespaces: {all: true}}]");
    let mut spec = service(":8080", "/x", &[]);
    spec["className"] = json!("gold");
    world.create("a", "t", spec);
    world.settle();
    assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
    govern(&mut world, ALL);
    world.settle();
    assert!(world.running().is_empty());
    assert_eq!(world.condition("a", "t", "Accepted"), "False/NoClass");
    assert_eq!(world.condition("a", "t", "Ready"), "False/NoClass");
    // Another installation may have it now, and className may be corrected.
    let status = &world.object("a", "t").status;
    assert_eq!((&status.controller, &status.class_name), (&None, &None));
    assert_eq!((world.settle(), world.settle()), (0, 0));
}

#[test]
fn a_mistake_does_not_start_what_was_suspended() {
    let mut world = World::default();
    let mut spec = service(":8080", "/x", &[]);
    world.create("a", "t", spec.clone());
    world.settle();
    spec["suspend"] = json!(true);
    world.edit("a", "t", spec);
    world.settle();
    assert!(world.running().is_empty());
    world.edit("a", "t", service(":8080", "no path", &[]));
    world.settle();
    assert!(world.running().is_empty());
    assert_eq!(world.condition("a", "t", "Programmed"), "False/Pending");
}

#[test]
fn a_newcomer_s_certificate_is_not_shown_to_the_clients_of_another_namespace() {
    let mut world = World::default();
    let wss = |path: &str, tls: Value| {
        let mut spec = service(":8443", path, &[]);
        spec["services"][0]["listener"]["type"] = json!("wss");
        spec["services"][0]["listener"]["tls"] = tls;
        spec
    };
    let own = |version: &str| json!({"options": {"minVersion": version}});
    world.create("b", "incumbent", wss("/b", json!(null)));
    world.settle();
    world.create("a", "newcomer", wss("/a", own("VersionTLS13")));
    world.create("b", "beside", wss("/c", own("VersionTLS12")));
    world.settle();
    world.settle();
    assert_eq!(world.condition("a", "newcomer", "Accepted"), "False/HostConflict");
    let message = world.full_condition("a", "newcomer", "Accepted").message;
    assert!(message.contains("another namespace"), "{message}");
    assert_eq!(world.running(), ["b/beside/s", "b/incumbent/s"], "a namespace is its own matter");
}

#[test]
fn the_oldest_tunnels_are_within_the_quota() {
    let mut world = World::default();
    let two = "classes: [{name: adit, default: true, namespaces: {all: true}, \
               limits: {tunnelsPerNamespace: 2}}]";
    govern(&mut world, two);
    for (namespace, name) in [("a", "z"), ("a", "y"), ("a", "x"), ("b", "w")] {
        world.create(namespace, name, service(":8080", &format!("/{name}"), &[]));
    }
    world.settle();
    assert_eq!(world.running(), ["a/y/s", "a/z/s", "b/w/s"]);
    assert_eq!(world.condition("a", "x", "Accepted"), "False/QuotaExceeded");
    world.delete("a", "z");
    world.settle();
    assert_eq!(world.condition("a", "x", "Ready"), "True/Ready");
}

#[test]
fn a_namespace_that_the_class_does_not_serve_and_no_default_class_are_said() {
    let mut world = World::default();
    govern(&mut world, "classes: [{name: c, namespaces: {names: [a]}}]");
    world.create("a", "none", service(":8080", "/x", &[]));
    let mut named = service(":8080", "/y", &[]);
    named["className"] = json!("c");
    world.create("a", "in", named.clone());
    world.create("b", "out", named);
    world.settle();
    assert_eq!(world.running(), ["a/in/s"]);
    assert_eq!(world.condition("a", "none", "Accepted"), "False/NoClass");
    assert_eq!(world.condition("b", "out", "Accepted"), "False/NotAllowedByClass");
}

#[test]
fn a_class_caps_the_drain_and_gives_its_terms() {
    let mut world = World::default();
    let short = "classes: [{name: adit, default: true, namespaces: {all: true}, \
                 limits: {maxDrain: 5s, connectionsPerTunnel: 7}}]";
    govern(&mut world, short);
    world.create("a", "t", service(":8080", "/x", &[]));
    world.settle();
    let desired = world.translation.services.values().next().unwrap();
    assert_eq!(desired.drain.as_secs(), 5);
    assert_eq!(desired.terms.as_ref().unwrap().connections_of_tunnel, 7);
}

const WITH_CERTIFICATE: &str = "classes: [{name: adit, default: true, namespaces: {all: true}, \
                                defaultCertificate: {secret: front}}]";

/// A wss service `s` that says nothing of TLS.
fn bare() -> Value {
    let mut spec = service(":8443", "/x", &["h.example"]);
    spec["services"][0]["listener"]["type"] = json!("wss");
    spec
}

fn publish(world: &mut World, pair: &[(&str, String); 2]) {
    let values: Vec<_> = pair.iter().map(|(key, value)| (*key, value.as_str())).collect();
    world.secret(RELEASE, "front", &values);
}

/// What service `s` of a/t shows; none is self-signed.
fn shown(world: &World) -> Option<Certificate> {
    let service = world.translation.services.values().next().unwrap();
    service.config.listener.tls().unwrap().shown().cloned()
}

#[test]
fn a_listener_without_a_certificate_shows_its_classes_and_follows_it() {
    let mut world = World::default();
    govern(&mut world, WITH_CERTIFICATE);
    let [first, second] = [pair(4000), pair(4000)];
    publish(&mut world, &first);
    world.create("a", "t", bare());
    world.settle();
    assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
    let message = world.full_condition("a", "t", "Accepted").message;
    assert!(!message.contains("self-signed"), "{message}");
    let chain = |world: &World| shown(world).unwrap().chain.expose().to_vec();
    assert_eq!(chain(&world), first[0].1.as_bytes());
    let used = world.translator.used_by(world.object("a", "t"));
    assert_eq!(used.map(|key| key.to_string()).collect::<Vec<_>>(), ["release/front"]);

    publish(&mut world, &second);
    world.settle();
    assert_eq!(chain(&world), second[0].1.as_bytes());
    govern(&mut world, ALL);
    world.settle();
    assert_eq!(shown(&world), None);
    let message = world.full_condition("a", "t", "Accepted").message;
    assert!(message.contains("self-signed"), "{message}");
}

#[test]
fn a_default_certificate_that_is_not_there_is_said_without_its_name_and_is_never_self_signed() {
    let mut world = World::default();
    govern(&mut world, WITH_CERTIFICATE);
    world.create("a", "t", bare());
    let broken = [("tls.crt", "nonsense".to_string()), ("tls.key", "nonsense".to_string())];
    for (there, reason) in [(false, "False/SecretNotFound"), (true, "False/SecretInvalid")] {
        if there {
            publish(&mut world, &broken);
        }
        world.settle();
        assert!(world.running().is_empty());
        assert_eq!(world.condition("a", "t", "Ready"), reason);
        let message = world.full_condition("a", "t", "ResolvedRefs").message;
        for part in ["the default certificate of class \"adit\"", "write tls.secretRef"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains("front") && !message.contains("nonsense"), "{message}");
    }

    // Once it was there, what was loaded goes on.
    publish(&mut world, &pair(4000));
    world.settle();
    assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
    let before = shown(&world);
    world.without_secret(RELEASE, "front");
    world.settle();
    assert_eq!((world.running(), shown(&world)), (vec!["a/t/s".to_string()], before));
    assert_eq!(world.condition("a", "t", "Ready"), "False/SecretNotFound");
    world.restart();
    govern(&mut world, WITH_CERTIFICATE);
    world.settle();
    assert!(world.running().is_empty());
}

#[test]
fn a_default_certificate_yields_to_the_one_of_the_host() {
    let mut world = World::default();
    govern(&mut world, WITH_CERTIFICATE);
    publish(&mut world, &pair(4000));
    let own = pair(4000).map(|(key, value)| (key, value));
    let values: Vec<_> = own.iter().map(|(key, value)| (*key, value.as_str())).collect();
    world.secret("a", "edge", &values);
    world.create("a", "bare", bare());
    let mut with = bare();
    with["services"][0]["listener"]["tls"] = json!({"secretRef": {"name": "edge"}});
    with["services"][0]["listener"]["metadata"]["path"] = json!("/y");
    world.create("a", "with", with);
    world.settle();
    for name in ["bare", "with"] {
        assert_eq!(world.condition("a", name, "Ready"), "True/Ready", "no conflict of policies");
    }
}

#[test]
fn the_end_of_a_default_certificate_is_said_by_its_class() {
    let mut world = World::default();
    govern(&mut world, WITH_CERTIFICATE);
    publish(&mut world, &pair(1970));
    world.create("a", "t", bare());
    world.now = 7 * 24 * 60 * 60;
    world.settle();
    assert_eq!(world.condition("a", "t", "Ready"), "False/CertificateExpired");
    let message = world.full_condition("a", "t", "ResolvedRefs").message;
    assert!(message.contains("class \"adit\" ended on 1970-01-08"), "{message}");
}

/// Exposed services, so many of them.
fn exposed(count: usize) -> Value {
    let service = |i: usize| {
        json!({"name": format!("s{i}"), "addr": ":5432", "expose": {},
            "handler": {"type": "tcp"}, "listener": {"type": "tcp"},
            "forwarder": {"nodes": [{"addr": "db.example:5432"}]}})
    };
    json!({"services": (0..count).map(service).collect::<Vec<_>>()})
}

#[test]
fn a_namespace_in_two_classes_has_one_quota_and_its_oldest_tunnels_have_it() {
    let mut world = World::default();
    let two = "classes: [\
        {name: adit, default: true, namespaces: {all: true}, limits: {tunnelsPerNamespace: 2}}, \
        {name: gold, namespaces: {all: true}, limits: {tunnelsPerNamespace: 2}}]";
    govern(&mut world, two);
    for (i, class) in ["adit", "gold", "adit", "gold"].into_iter().enumerate() {
        let mut spec = service(":8080", &format!("/{i}"), &[]);
        spec["className"] = json!(class);
        world.create("a", &format!("t{i}"), spec);
    }
    world.create("b", "other", service(":8080", "/b", &[]));
    world.settle();
    assert_eq!(world.running(), ["a/t0/s", "a/t1/s", "b/other/s"]);
    let refused = world.full_condition("a", "t3", "Accepted");
    assert_eq!(refused.reason, "QuotaExceeded");
    assert!(refused.message.contains("4 of 2 tunnels of this namespace"), "{}", refused.message);
}

#[test]
fn what_goes_on_behind_an_edit_that_is_refused_is_counted() {
    let mut world = World::default();
    let few = "classes: [{name: adit, default: true, namespaces: {all: true}, \
               limits: {portsPerNamespace: 3, claimsPerNamespace: 3}}]";
    govern(&mut world, few);
    world.create("a", "t", exposed(3));
    world.settle();
    world.settle();
    assert_eq!(world.condition("a", "t", "Accepted"), "True/Accepted");
    let hosts = ["a.example", "b.example", "c.example", "d.example"];
    // Neither an edit that is one claim too many nor one that is no spec at all frees its ports.
    for bad in [service(":8080", "/x", &hosts), service("nonsense", "/x", &[])] {
        world.edit("a", "t", bad);
        world.settle();
        assert_eq!(world.condition("a", "t", "Programmed"), "False/UsingPreviousConfig");
        assert_eq!(world.running(), ["a/t/s0", "a/t/s1", "a/t/s2"]);
        world.create("a", "second", exposed(1));
        world.settle();
        world.settle();
        assert_eq!(world.condition("a", "second", "Accepted"), "False/QuotaExceeded");
        assert_eq!(world.running(), ["a/t/s0", "a/t/s1", "a/t/s2"]);
        world.delete("a", "second");
    }
}

#[test]
fn a_class_that_lowers_a_bound_judges_again() {
    let mut world = World::default();
    let limit = |limits: &str| {
        format!(
            "classes: [{{name: adit, default: true, namespaces: {{all: true}}, limits: {{{limits}}}}}]"
        )
    };
    govern(&mut world, &limit("receiveBuffer: 64MiB"));
    let mut spec = service(":8080", "/x", &[]);
    spec["services"][0]["listener"] =
        json!({"type": "mws", "metadata": {"path": "/x", "mux.maxReceiveBuffer": 64 << 20}});
    world.create("a", "t", spec);
    world.settle();
    assert_eq!(world.condition("a", "t", "Accepted"), "True/Accepted");
    govern(&mut world, &limit(""));
    world.settle();
    let refused = world.full_condition("a", "t", "Accepted");
    assert_eq!(refused.reason, "Invalid");
    for part in ["maxReceiveBuffer", "67108864", "16MiB", "limits.receiveBuffer"] {
        assert!(refused.message.contains(part), "{part}: {}", refused.message);
    }
    assert!(world.running().is_empty());
    govern(&mut world, &limit("receiveBuffer: 64MiB"));
    world.settle();
    assert_eq!(world.condition("a", "t", "Accepted"), "True/Accepted");
}
