//! What objects say and run when Secrets come, change and go.

use serde_json::{Value, json};

use super::world::{World, service};
use crate::config::services::{ServicePort, ServiceState};

const DAY: i64 = 24 * 60 * 60;

/// A service `s` that asks the users of Secret `users`, and one `o` that asks inline ones.
fn users() -> Value {
    let mut spec = service(":8080", "/x", &[]);
    spec["services"][0]["handler"] = json!({"type": "http", "auther": "u"});
    let mut other = spec["services"][0].clone();
    other["name"] = json!("o");
    other["handler"] = json!({"type": "http", "auth": {"username": "u", "password": "p"}});
    other["listener"]["metadata"]["path"] = json!("/o");
    spec["services"].as_array_mut().unwrap().push(other);
    spec["authers"] = json!([{"name": "u", "secretRef": {"name": "users"}}]);
    spec
}

/// A service with TLS of Secret `edge`.
fn tls() -> Value {
    let mut spec = service(":8443", "/x", &["h.example"]);
    spec["services"][0]["listener"]["type"] = json!("wss");
    spec["services"][0]["listener"]["tls"] = json!({"secretRef": {"name": "edge"}});
    spec
}

/// A certificate that ends in a year, and its key.
pub(super) fn pair(year: i32) -> [(&'static str, String); 2] {
    let mut params = rcgen::CertificateParams::new(vec!["h.example".to_string()]).unwrap();
    params.not_before = rcgen::date_time_ymd(1960, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 8);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    [("tls.crt", certificate.pem()), ("tls.key", key.serialize_pem())]
}

fn put(world: &mut World, pair: &[(&str, String); 2]) {
    let values: Vec<_> = pair.iter().map(|(key, value)| (*key, value.as_str())).collect();
    world.secret("a", "edge", &values);
}

fn of_listener(world: &World, service: &str, kind: &str) -> String {
    let listener = world.object("a", "t").status.listener(service).unwrap();
    let condition = listener.conditions.iter().find(|c| c.kind == kind).unwrap();
    format!("{}/{}", condition.status, condition.reason)
}

#[test]
fn a_missing_secret_is_said_with_its_fix_and_the_object_serves_when_it_comes() {
    let mut world = World::default();
    world.create("a", "t", users());
    world.settle();
    assert_eq!(world.running(), ["a/t/o"]);
    assert_eq!(world.condition("a", "t", "Accepted"), "True/Accepted");
    assert_eq!(world.condition("a", "t", "Programmed"), "False/Partial");
    assert_eq!(world.condition("a", "t", "Ready"), "False/SecretNotFound");
    assert_eq!(of_listener(&world, "s", "ResolvedRefs"), "False/SecretNotFound");
    assert_eq!(of_listener(&world, "o", "Ready"), "True/Ready");
    let message = world.full_condition("a", "t", "ResolvedRefs").message;
    assert!(message.starts_with("service s: authers[0].secretRef: Secret \"users\""), "{message}");
    assert!(message.contains("kubectl create secret generic users -n a"), "{message}");
    world.secret("a", "users", &[("ann", "pass")]);
    world.settle();
    assert_eq!(world.running(), ["a/t/o", "a/t/s"]);
    assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
    assert_eq!(world.settle(), 0);
}

#[test]
fn a_secret_of_another_namespace_is_none() {
    let mut world = World::default();
    world.create("a", "t", users());
    world.secret("b", "users", &[("ann", "pass")]);
    world.settle();
    assert_eq!(world.condition("a", "t", "ResolvedRefs"), "False/SecretNotFound");
}

#[test]
fn users_that_go_close_the_service_within_half_a_minute_and_nobody_takes_its_place() {
    for emptied in [false, true] {
        let mut world = World::default();
        world.create("a", "t", users());
        world.secret("a", "users", &[("ann", "pass")]);
        world.settle();
        let held = world.object("a", "t").status.listener("s").unwrap().claimed_at.clone();
        assert!(held.is_some());
        match emptied {
            true => world.secret("a", "users", &[]),
            false => world.without_secret("a", "users"),
        }
        world.create("b", "rival", service(":8080", "/x", &[]));
        world.settle();
        assert_eq!(world.running(), ["a/t/o"]);
        assert_eq!(world.condition("b", "rival", "Ready"), "False/HostConflict");
        let closed = world.translation.services.values().find(|service| service.closed).unwrap();
        assert_eq!(closed.drain, std::time::Duration::from_secs(30));
        let reason = if emptied { "False/SecretInvalid" } else { "False/SecretNotFound" };
        assert_eq!(of_listener(&world, "s", "ResolvedRefs"), reason);
        world.secret("a", "users", &[("bob", "pass")]);
        world.settle();
        assert_eq!(world.running(), ["a/t/o", "a/t/s"]);
        assert_eq!(world.object("a", "t").status.listener("s").unwrap().claimed_at, held);
    }
}

#[test]
fn what_runs_behind_a_refused_edit_loses_its_users_too() {
    let mut world = World::default();
    world.create("a", "t", users());
    world.secret("a", "users", &[("ann", "pass")]);
    world.settle();
    for refused in [service("nonsense", "/x", &[]), json!({"services": "none"})] {
        world.secret("a", "users", &[("ann", "pass")]);
        world.edit("a", "t", refused);
        world.settle();
        assert_eq!(world.running(), ["a/t/o", "a/t/s"]);
        let wanted: Vec<_> = world.translator.secrets().map(|key| key.to_string()).collect();
        assert_eq!(wanted, ["a/users"], "nobody stops to follow it");
        world.without_secret("a", "users");
        world.settle();
        assert_eq!(world.running(), ["a/t/o"]);
    }
}

#[test]
fn a_certificate_goes_on_without_its_secret_until_the_restart() {
    let mut world = World::default();
    world.create("a", "t", tls());
    put(&mut world, &pair(4000));
    world.settle();
    assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
    let certificate = |world: &World| {
        let service = world.translation.services.values().next().unwrap();
        service.config.listener.tls().unwrap().certificate.clone().unwrap()
    };
    let before = certificate(&world);
    world.without_secret("a", "edge");
    world.settle();
    assert_eq!(certificate(&world), before);
    assert_eq!(world.condition("a", "t", "Programmed"), "True/Programmed");
    assert_eq!(world.condition("a", "t", "Ready"), "False/SecretNotFound");
    let message = world.full_condition("a", "t", "ResolvedRefs").message;
    assert!(message.ends_with("goes on until the controller restarts"), "{message}");
    world.secret("a", "edge", &[("tls.crt", "nonsense"), ("tls.key", "nonsense")]);
    world.settle();
    assert_eq!(certificate(&world), before);
    assert_eq!(world.condition("a", "t", "Ready"), "False/SecretInvalid");
    world.restart();
    world.settle();
    assert!(world.running().is_empty());
    assert_eq!(world.condition("a", "t", "Ready"), "False/SecretInvalid");
    put(&mut world, &pair(4000));
    world.settle();
    assert_ne!(certificate(&world), before, "the new one");
    assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
}

#[test]
fn a_certificate_of_another_object_that_is_gone_serves_no_new_one() {
    let mut world = World::default();
    world.create("a", "t", tls());
    put(&mut world, &pair(4000));
    world.settle();
    world.without_secret("a", "edge");
    let mut late = tls();
    late["services"][0]["listener"]["metadata"]["path"] = json!("/late");
    world.create("a", "late", late);
    world.settle();
    assert_eq!(world.running(), ["a/t/s"]);
}

#[test]
fn the_end_of_a_certificate_is_said_before_it_comes() {
    let mut world = World::default();
    world.create("a", "t", tls());
    put(&mut world, &pair(1970));
    world.now = DAY / 2;
    world.settle();
    let resolved = world.full_condition("a", "t", "ResolvedRefs");
    assert_eq!((resolved.status.as_str(), resolved.message.contains("1970-01-08")), ("True", true));
    assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
    world.now += DAY;
    assert_eq!(world.settle(), 0, "it does not count down");
    world.now = 7 * DAY;
    world.settle();
    assert_eq!(world.condition("a", "t", "Ready"), "False/CertificateExpired");
    assert_eq!(world.running(), ["a/t/s"], "clients may not mind");
    let message = world.full_condition("a", "t", "ResolvedRefs").message;
    for part in ["\"edge\"", "\"tls.crt\"", "1970-01-08", "kubectl create secret tls edge"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_services_endpoints_are_followed_and_its_end_is_said() {
    let mut spec = service(":8080", "/x", &[]);
    spec["services"][0]["handler"] = json!({"type": "forward"});
    spec["services"][0]["forwarder"] =
        json!({"nodes": [{"name": "n", "serviceRef": {"name": "db", "port": "sql"}}]});
    let mut world = World::default();
    world.create("a", "t", spec);
    world.settle();
    assert_eq!(world.condition("a", "t", "Ready"), "False/ServiceNotFound");
    let targets = |world: &World| {
        let service = world.translation.services.values().next().unwrap();
        let to = service.config.handler.forward().unwrap();
        to.nodes.iter().map(|node| node.target.to_string()).collect::<Vec<_>>()
    };
    for ready in [&["10.0.0.1:1"][..], &["10.0.0.1:1", "10.0.0.2:1"], &["10.0.0.2:1"]] {
        let port = ServicePort {
            name: "sql".into(),
            udp: false,
            number: 5432,
            ready: ready.iter().map(|addr| addr.parse().unwrap()).collect(),
        };
        let key = ("a".to_string(), "db".to_string());
        world.services.0.insert(key, ServiceState::Known(vec![port]));
        world.settle();
        assert_eq!(targets(&world), ready);
        assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
    }
    world.services.0.clear();
    world.settle();
    assert!(world.running().is_empty());
    assert_eq!(world.condition("a", "t", "Ready"), "False/ServiceNotFound");
    let closed = world.translation.services.values().next().unwrap();
    assert_eq!(closed.drain.as_secs(), 60, "what is open has the object's own time");
}
