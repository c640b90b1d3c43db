//! Several replicas: what their reports add up to, and that all come to one plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::world::{World, service, translator};
use crate::base::Reason;
use crate::control::fleet::Replica;
use crate::control::object::Object;
use crate::control::report::{self, Entry, Exception, Report, Tunnels};
use crate::control::store::Store;
use crate::control::translate::Translator;
use crate::control::watch::Change;

/// A world with one object `a/t`, whose leader is the replica `one`.
fn world() -> World {
    let mut world = World::default();
    world.create("a", "t", service(":8080", "/x", &[]));
    world
}

/// Another replica that runs this generation of the first object, but for some of its services.
fn other(name: &str, generation: i64, exceptions: &[(&str, Reason, &str)]) -> Replica {
    let exception = |(service, reason, message): &(&str, Reason, &str)| {
        (Arc::from(*service), Exception::new(*reason, message))
    };
    let exceptions: BTreeMap<_, _> = exceptions.iter().map(exception).collect();
    let entry = Entry { generation, exceptions, ..Entry::default() };
    reports(name, Tunnels::from([("uid-1".into(), entry)]))
}

fn reports(name: &str, tunnels: Tunnels) -> Replica {
    let report = Report::new(None, None, Arc::new(tunnels));
    Replica { name: name.into(), report: Arc::new(report) }
}

fn replicas(world: &World) -> [String; 3] {
    let status = &world.object("a", "t").status;
    let summary = status.summary.clone().unwrap();
    let listener = status.listeners.first().map(|l| l.replicas.clone()).unwrap_or_default();
    [summary.listeners, summary.replicas, listener]
}

#[test]
fn replicas_that_serve_are_counted() {
    let mut world = world();
    world.fleet.others = vec![other("two", 1, &[]), other("three", 1, &[])];
    world.settle();
    assert_eq!(replicas(&world), ["1/1", "3/3", "3/3"]);
    assert_eq!(world.condition("a", "t", "Ready"), "True/Ready");
    world.fleet.others.pop();
    assert_eq!(world.settle(), 1);
    assert_eq!(replicas(&world), ["1/1", "2/2", "2/2"]);
    assert_eq!(world.settle(), 0);
}

#[test]
fn a_replica_that_cannot_bind_is_named_and_the_rest_is_partial() {
    let mut world = world();
    let taken = ("s", Reason::AddressInUse, "port 8080 is in use");
    world.fleet.others = vec![other("two", 1, &[taken]), other("three", 1, &[])];
    world.settle();
    assert_eq!(replicas(&world), ["1/1", "2/3", "2/3"]);
    let programmed = world.full_condition("a", "t", "Programmed");
    assert_eq!((&*programmed.status, &*programmed.reason), ("False", "Partial"));
    assert_eq!(programmed.message, "service s: replica two: port 8080 is in use");
    assert_eq!(world.condition("a", "t", "Accepted"), "True/Accepted");
    assert_eq!(world.condition("a", "t", "Ready"), "False/Partial");
}

#[test]
fn a_service_that_waits_for_its_secret_is_reported_as_one_that_does_not_serve() {
    let mut world = World::default();
    let mut spec = service(":8080", "/x", &[]);
    spec["services"][0]["handler"] = json!({"type": "http", "auth": {"secretRef": {"name": "u"}}});
    world.create("a", "t", spec);
    world.settle();
    let mut store = Store::new(vec![None]);
    let objects = world.objects.values().cloned().collect();
    store.change(Change::Listed { scope: 0, objects });
    let digest = |_: &Object| Some("digest".into());
    let tunnels = report::tunnels(&world.translation, &store, &world.snapshot(), digest);
    let entry = &tunnels["uid-1"];
    assert_eq!(entry.exceptions["s"].reason(), Reason::Pending);
    assert_eq!(entry.secrets.as_deref(), Some("digest"));
    world.fleet.others = vec![reports("two", tunnels)];
    world.settle();
    assert_eq!(replicas(&world), ["0/1", "0/2", "0/2"]);
    assert_eq!(world.condition("a", "t", "Programmed"), "False/Pending");
    assert_eq!(world.condition("a", "t", "Ready"), "False/SecretNotFound");
}

#[test]
fn a_replica_that_has_no_room_to_say_why_does_not_count_as_serving() {
    let mut world = world();
    let mut cut = other("two", 1, &[]);
    let report = Arc::make_mut(&mut cut.report);
    Arc::make_mut(&mut report.tunnels).get_mut("uid-1").unwrap().unsaid = 1;
    world.fleet.others = vec![cut];
    world.settle();
    assert_eq!(replicas(&world), ["1/1", "1/2", "1/2"]);
    let message = world.full_condition("a", "t", "Programmed").message;
    assert!(message.contains("no room to say why"), "{message}");
}

#[test]
fn replicas_with_the_same_trouble_share_its_words() {
    let mut world = world();
    world.taken.insert(8080);
    let taken = ("s", Reason::AddressInUse, "port 8080 is in use");
    world.fleet.others = vec![other("two", 1, &[taken]), other("three", 1, &[])];
    world.settle();
    let message = world.full_condition("a", "t", "Programmed").message;
    assert_eq!(message, "service s: replicas one, two: port 8080 is in use");
    world.fleet.others[1] = other("three", 1, &[taken]);
    world.settle();
    assert_eq!(world.condition("a", "t", "Programmed"), "False/AddressInUse");
    assert_eq!(replicas(&world), ["0/1", "0/3", "0/3"]);
}

#[test]
fn a_replica_that_fell_behind_says_what_it_runs_instead() {
    let mut world = world();
    world.settle();
    world.edit("a", "t", service(":8080", "/y", &[]));
    world.fleet.others = vec![other("two", 1, &[]), reports("three", Tunnels::new())];
    world.settle();
    assert_eq!(replicas(&world), ["1/1", "1/3", "1/3"]);
    let message = world.full_condition("a", "t", "Programmed").message;
    for part in ["replica two: it still runs generation 1", "replica three: it does not run"] {
        assert!(message.contains(part), "{message}");
    }
    Arc::make_mut(&mut world.fleet.others[1].report).truncated = true;
    world.settle();
    let message = world.full_condition("a", "t", "Programmed").message;
    assert!(message.contains("replica three: its report has no room"), "{message}");
}

#[test]
fn without_a_ready_replica_nothing_is_programmed() {
    let mut world = world();
    world.fleet.own = false;
    world.settle();
    assert_eq!(world.condition("a", "t", "Programmed"), "False/NoReplica");
    assert_eq!(replicas(&world), ["0/1", "0/0", "0/0"]);
}

#[test]
fn a_service_that_the_plan_refuses_does_not_count_against_a_replica() {
    let mut world = world();
    let mut spec = service(":8080", "/x", &[]);
    let mut second = spec["services"][0].clone();
    second["name"] = json!("t");
    second["addr"] = json!(":9180");
    spec["services"].as_array_mut().unwrap().push(second);
    world.edit("a", "t", spec);
    world.fleet.others = vec![other("two", 2, &[("t", Reason::PortNotAllowed, "no")])];
    world.settle();
    let summary = world.object("a", "t").status.summary.clone().unwrap();
    assert_eq!((&*summary.listeners, &*summary.replicas), ("1/2", "2/2"));
    assert_eq!(world.condition("a", "t", "Ready"), "False/PortNotAllowed");
}

#[test]
fn the_version_before_an_invalid_edit_is_counted_where_it_still_runs() {
    let mut world = world();
    world.fleet.others = vec![other("two", 1, &[]), other("three", 1, &[])];
    world.settle();
    world.edit("a", "t", service("nonsense", "/x", &[]));
    world.settle();
    assert_eq!(replicas(&world), ["1/1", "3/3", "3/3"]);
    assert_eq!(world.condition("a", "t", "Programmed"), "False/UsingPreviousConfig");
    // One of the others restarted.
    world.fleet.others[1] = reports("three", Tunnels::new());
    world.settle();
    assert_eq!(replicas(&world), ["1/1", "2/3", "2/3"]);
    let message = world.full_condition("a", "t", "Programmed").message;
    assert!(message.contains("on 2 of 3 replicas"), "{message}");
    // And now this one.
    world.restart();
    world.settle();
    assert_eq!(replicas(&world), ["0/1", "1/3", "1/3"]);
    assert_eq!(world.condition("a", "t", "Programmed"), "False/UsingPreviousConfig");
    let listener = &world.object("a", "t").status.listeners[0];
    assert_eq!(listener.claimed_at, None, "nobody keeps others away from what it does not know");
    assert_eq!(world.settle(), 0);
    world.fleet.others.clear();
    world.settle();
    assert_eq!(world.condition("a", "t", "Programmed"), "False/Pending");
    let listener = &world.object("a", "t").status.listeners[0];
    assert_eq!((&*listener.replicas, &*listener.conditions[0].reason), ("0/1", "Invalid"));
}

#[test]
fn another_leader_rewrites_nothing() {
    let mut world = world();
    world.create("b", "u", service(":8080", "/x", &[]));
    world.fleet.others = vec![other("two", 1, &[])];
    world.settle();
    let mut follower = translator(false);
    sees(&mut follower, &world);
    world.now += 100;
    follower.lead(true);
    world.translator = follower;
    assert_eq!(world.settle(), 0);
}

/// A replica hears of everything that was written.
fn sees(replica: &mut Translator, world: &World) -> crate::control::translate::Translation {
    world.objects.values().for_each(|object| replica.ledger.written(object));
    replica.translate(world.objects.values(), world.outside(), world.instant())
}

#[derive(Clone, Debug)]
enum Happens {
    /// An object is made, or edited: namespace, name, path, suspended.
    Put(usize, usize, usize, bool),
    Delete(usize, usize),
    /// The leader looks and writes.
    Leads,
    /// A follower looks.
    Looks,
    /// They change places.
    Swap,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        5 => (0..2usize, 0..3usize, 0..3usize, proptest::bool::weighted(0.2))
            .prop_map(|(namespace, name, path, off)| Happens::Put(namespace, name, path, off)),
        1 => (0..2usize, 0..3usize).prop_map(|(namespace, name)| Happens::Delete(namespace, name)),
        3 => Just(Happens::Leads),
        3 => Just(Happens::Looks),
        1 => Just(Happens::Swap),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever each saw, and when, and who led: once all is written and seen, all plan the same.
    #[test]
    fn replicas_that_saw_events_in_different_orders_come_to_one_plan(
        history in proptest::collection::vec(happens(), 1..40),
    ) {
        let mut world = World::default();
        let mut follower = translator(false);
        for event in history {
            match event {
                Happens::Put(namespace, name, path, suspend) => {
                    let (namespace, name) = (format!("ns{namespace}"), format!("t{name}"));
                    let mut spec = service(":8080", ["/a", "/a/", "/b"][path], &[]);
                    spec["suspend"] = json!(suspend);
                    if world.objects.contains_key(&super::world::key(&namespace, &name)) {
                        world.edit(&namespace, &name, spec);
                    } else {
                        world.create(&namespace, &name, spec);
                    }
                }
                Happens::Delete(namespace, name) => {
                    world.delete(&format!("ns{namespace}"), &format!("t{name}"));
                }
                Happens::Leads => {
                    world.settle();
                }
                Happens::Looks => {
                    sees(&mut follower, &world);
                }
                Happens::Swap => {
                    std::mem::swap(&mut world.translator, &mut follower);
                    follower.lead(false);
                    world.translator.lead(true);
                }
            }
        }
        world.settle();
        world.settle();
        prop_assert_eq!(world.settle(), 0);
        let seen = sees(&mut follower, &world);
        prop_assert_eq!(&seen.services, &world.translation.services);
        // A process that has seen nothing comes to the same.
        let fresh = sees(&mut translator(false), &world);
        prop_assert_eq!(&fresh.services, &world.translation.services);
    }
}
