//! What objects say.

use serde_json::json;

use super::classes::govern;
use super::world::{World, service};

#[test]
fn a_good_object_becomes_ready_and_says_where_it_listens() {
    let mut world = World::default();
    world.create("a", "t", service(":8080", "/x", &["h.example"]));
    world.settle();
    for (kind, reason) in [
        ("Accepted", "True/Accepted"),
        ("ResolvedRefs", "True/ResolvedRefs"),
        ("Programmed", "True/Programmed"),
        ("Ready", "True/Ready"),
    ] {
        assert_eq!(world.condition("a", "t", kind), reason);
    }
    let status = &world.object("a", "t").status;
    let listener = &status.listeners[0];
    assert_eq!(listener.address.as_deref(), Some("h.example:8080/x"));
    assert_eq!((listener.port, listener.replicas.as_str()), (Some(8080), "1/1"));
    assert_eq!(listener.conditions.len(), 4);
    let summary = status.summary.as_ref().unwrap();
    assert_eq!((summary.listeners.as_str(), summary.replicas.as_str()), ("1/1", "1/1"));
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn an_open_proxy_is_flagged() {
    let mut world = World::default();
    let lax = "classes: [{name: adit, default: true, namespaces: {all: true}, requireAuth: false}]";
    govern(&mut world, lax);
    let mut spec = service(":8080", "/x", &[]);
    spec["services"][0]["handler"] = json!({"type": "http"});
    world.create("a", "t", spec);
    world.settle();
    let accepted = world.full_condition("a", "t", "Accepted");
    assert_eq!(accepted.status, "True");
    assert!(accepted.message.contains("an open proxy"), "{}", accepted.message);
}

#[test]
fn a_forward_to_declared_targets_is_accepted_and_called_open() {
    let mut world = World::default();
    let mut spec = service(":8080", "/x", &[]);
    spec["services"].as_array_mut().unwrap().push(json!({
        "name": "db", "addr": ":5432", "handler": {"type": "tcp"}, "listener": {"type": "tcp"},
        "forwarder": {"nodes": [{"name": "n", "addr": "db.example:5432"}]},
    }));
    world.create("a", "t", spec);
    world.settle();
    let accepted = world.full_condition("a", "t", "Accepted");
    assert_eq!(accepted.status, "True");
    let word = "service db is open: it forwards to its declared targets without users";
    assert!(accepted.message.ends_with(word), "{}", accepted.message);
}

#[test]
fn a_target_that_the_guard_always_refuses_is_said() {
    let mut world = World::default();
    let spec = |target: &str| {
        json!({"services": [{
            "name": "db", "addr": ":5432", "handler": {"type": "tcp"}, "listener": {"type": "tcp"},
            "forwarder": {"nodes": [{"name": "n", "addr": target}]},
        }]})
    };
    world.create("a", "t", spec("169.254.169.254:80"));
    world.settle();
    let accepted = world.full_condition("a", "t", "Accepted");
    let word = "service db: 169.254.169.254:80 is a cloud's metadata service: no tunnel gets there";
    assert!(accepted.message.starts_with(word), "{}", accepted.message);
    world.edit("a", "t", spec("10.0.0.1:80"));
    world.settle();
    assert!(!world.full_condition("a", "t", "Accepted").message.contains("no tunnel gets there"));
    // Behind a chain the far end dials the target.
    let mut chained = spec("169.254.169.254:80");
    chained["services"][0]["handler"]["chain"] = json!("c");
    chained["chains"] = json!([{"name": "c", "hops": [{"name": "h", "nodes": [
        {"name": "n", "addr": "gw.example:443", "connector": {"type": "http"}, "dialer": {"type": "tcp"}}]}]}]);
    world.edit("a", "t", chained);
    world.settle();
    assert!(!world.full_condition("a", "t", "Accepted").message.contains("no tunnel gets there"));
}

#[test]
fn an_invalid_object_says_all_that_is_wrong_with_paths() {
    let mut world = World::default();
    let mut spec = service("nonsense", "/x{", &[]);
    spec["services"][0]["handler"]["chain"] = json!("missing");
    world.create("a", "t", spec);
    world.settle();
    let accepted = world.full_condition("a", "t", "Accepted");
    assert_eq!(accepted.status, "False");
    assert!(accepted.message.starts_with("services[0].addr: "), "{}", accepted.message);
    assert!(accepted.message.ends_with(" (+2 more)"), "{}", accepted.message);
    let of_service = world.object("a", "t").status.listeners[0].conditions[0].message.clone();
    for part in ["services[0].addr: ", "path: ", "missing", "; "] {
        assert!(of_service.contains(part), "{part}: {of_service}");
    }
    assert_eq!(world.condition("a", "t", "Programmed"), "False/Pending");
    let status = &world.object("a", "t").status;
    assert_eq!(status.summary.as_ref().unwrap().listeners, "0/1");
}

#[test]
fn an_invalid_edit_leaves_the_version_before_it_running() {
    let mut world = World::default();
    world.create("a", "t", service(":8080", "/x", &[]));
    world.settle();
    world.edit("a", "t", service("nonsense", "/x", &[]));
    world.settle();
    assert_eq!(world.running(), ["a/t/s"]);
    assert_eq!(world.condition("a", "t", "Accepted"), "False/Invalid");
    assert_eq!(world.condition("a", "t", "Programmed"), "False/UsingPreviousConfig");
    assert_eq!(world.condition("a", "t", "Ready"), "False/Invalid");
    assert_eq!(world.object("a", "t").status.observed_generation, Some(2));
    assert_eq!(world.object("a", "t").status.summary.as_ref().unwrap().replicas, "1/1");
    world.restart();
    world.settle();
    assert!(world.running().is_empty(), "a new process never had it");
    assert_eq!(world.condition("a", "t", "Programmed"), "False/Pending");
    world.edit("a", "t", service(":8080", "/x", &[]));
    world.settle();
    assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
}

/// Three services; the second one needs an auther, by this name.
fn three(auther: &str) -> serde_json::Value {
    let mut spec = service(":8080", "/a", &[]);
    let mut more = [service(":8080", "/b", &[]), service(":8080", "/c", &[])];
    for (more, name) in more.iter_mut().zip(["t", "u"]) {
        more["services"][0]["name"] = json!(name);
        spec["services"].as_array_mut().unwrap().push(more["services"][0].clone());
    }
    spec["services"][1]["handler"] = json!({"type": "http", "auther": auther});
    spec["authers"] = json!([{"name": "users", "auths": [{"username": "u", "password": "p"}]}]);
    spec
}

#[test]
fn after_a_restart_what_is_valid_by_itself_of_an_invalid_edit_serves() {
    let mut world = World::default();
    world.create("a", "o", three("users"));
    world.settle();
    let mut wrong = three("users");
    wrong["services"][0]["addr"] = json!("nonsense");
    world.edit("a", "o", wrong);
    world.settle();
    assert_eq!(world.running(), ["a/o/s", "a/o/t", "a/o/u"], "as before the edit");
    world.restart();
    world.settle();
    assert_eq!(world.running(), ["a/o/t", "a/o/u"]);
    assert_eq!(world.condition("a", "o", "Accepted"), "False/Invalid");
    let programmed = world.full_condition("a", "o", "Programmed");
    assert_eq!(programmed.reason, "Partial");
    assert!(programmed.message.contains("without s;"), "{}", programmed.message);
    let status = world.object("a", "o").status.clone();
    let ready = |name: &str| status.listener(name).unwrap().conditions[3].reason.clone();
    assert_eq!(
        (ready("s"), ready("t"), ready("u")),
        ("Invalid".into(), "Ready".into(), "Ready".into())
    );
    assert_eq!(status.summary.unwrap().listeners, "2/3");
    assert_eq!(world.settle(), 0);
    world.edit("a", "o", three("users"));
    world.settle();
    assert_eq!(world.condition("a", "o", "Ready"), "True/Ready");
}

#[test]
fn a_service_never_runs_without_what_should_have_protected_it() {
    let mut world = World::default();
    let mut wrong = three("users");
    wrong["authers"][0]["auths"] = json!([]);
    world.create("a", "o", wrong);
    world.settle();
    assert_eq!(world.running(), ["a/o/s", "a/o/u"]);
    world.create("a", "p", three("nobody"));
    world.settle();
    assert!(world.running().iter().all(|service| service != "a/p/t"), "{:?}", world.running());
}

#[test]
fn what_the_class_does_not_allow_of_an_object_takes_only_that_service_with_it() {
    let mut world = World::default();
    govern(
        &mut world,
        "classes: [{name: adit, default: true, namespaces: {all: true}, paths: [/a, /c]}]",
    );
    world.create("a", "o", three("users"));
    world.settle();
    assert_eq!(world.running(), ["a/o/s", "a/o/u"]);
    assert_eq!(world.condition("a", "o", "Accepted"), "False/PathNotAllowed");
    govern(&mut world, "classes: [{name: adit, default: true, namespaces: {names: [b]}}]");
    world.settle();
    assert!(world.running().is_empty(), "the class does not serve the namespace");
}

#[test]
fn an_object_that_does_not_decode_disturbs_nobody_and_keeps_what_it_ran() {
    let mut world = World::default();
    world.create("a", "good", service(":8080", "/x", &[]));
    world.create("a", "broken", service(":8080", "/y", &[]));
    world.settle();
    world.edit("a", "broken", json!({"services": "none"}));
    world.settle();
    assert_eq!(world.running(), ["a/broken/s", "a/good/s"]);
    assert_eq!(world.condition("a", "broken", "Accepted"), "False/Undecodable");
    assert_eq!(world.condition("a", "good", "Ready"), "True/Ready");
}

#[test]
fn a_suspended_object_stops_and_says_so() {
    let mut world = World::default();
    let mut spec = service(":8080", "/x", &[]);
    spec["suspend"] = json!(true);
    world.create("a", "t", spec);
    world.settle();
    assert!(world.running().is_empty());
    assert_eq!(world.condition("a", "t", "Accepted"), "True/Accepted");
    assert_eq!(world.condition("a", "t", "Ready"), "False/Suspended");
}

#[test]
fn a_port_of_another_process_is_told_and_recovered_from() {
    let mut world = World::default();
    let mut spec = service(":8080", "/x", &[]);
    spec["services"].as_array_mut().unwrap().push(json!({
        "name": "db", "addr": ":5432", "handler": {"type": "tcp"}, "listener": {"type": "tcp"},
        "forwarder": {"nodes": [{"name": "n", "addr": "db.example:5432"}]},
    }));
    world.create("a", "t", spec);
    world.taken.insert(5432);
    world.settle();
    assert_eq!(world.condition("a", "t", "Programmed"), "False/Partial");
    assert_eq!(world.object("a", "t").status.summary.as_ref().unwrap().listeners, "1/2");
    let listener = world.object("a", "t").status.listener("db").unwrap().clone();
    assert_eq!(listener.conditions[3].reason, "AddressInUse");
    assert!(listener.claimed_at.is_some(), "the plan gave it the port");
    world.taken.clear();
    world.settle();
    assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
    let programmed = world.full_condition("a", "t", "Programmed").message;
    assert!(programmed.contains("db") && programmed.contains("5432"), "{programmed}");
}

#[test]
fn an_object_that_waits_for_a_finalizer_no_longer_runs() {
    let mut world = World::default();
    world.create("a", "t", service(":8080", "/x", &[]));
    world.settle();
    world.objects.values_mut().for_each(|object| object.deleting = true);
    assert_eq!(world.settle(), 1);
    assert!(world.running().is_empty());
    assert_eq!(world.condition("a", "t", "Ready"), "False/Deleting");
    assert!(world.object("a", "t").status.listeners.is_empty());
    assert_eq!(world.settle(), 0);
}
