//! Exposed services: their ports, and what objects say of them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::world::{World, service};
use crate::control::expose::{Standing, Standings};
use crate::control::fleet::{Member, Replica};
use crate::control::report::{Entry, Pod, Report, Tunnels};

fn spec(port: u16) -> Value {
    json!({"services": [{
        "name": "db", "addr": format!(":{port}"), "handler": {"type": "tcp"},
        "listener": {"type": "tcp"}, "expose": {},
        "forwarder": {"nodes": [{"name": "n", "addr": "db.example:5432"}]},
    }]})
}

fn stand(world: &mut World, uid: &str, standing: Standing) {
    world.standings = Standings::from([((uid.into(), "edge-db".into()), standing)]);
}

fn target(world: &World, ns: &str) -> Option<u16> {
    world.object(ns, "edge").status.listener("db")?.target_port
}

/// Two namespaces with the same object, written and bound.
fn world() -> World {
    let mut world = World::default();
    world.create("a", "edge", spec(5432));
    world.create("b", "edge", spec(5432));
    world.settle();
    world
}

#[test]
fn two_namespaces_expose_one_port_and_get_two() {
    let mut world = world();
    assert!(world.running().is_empty(), "the status comes first");
    assert_eq!(world.condition("a", "edge", "Programmed"), "Unknown/Pending");
    assert_eq!(world.condition("a", "edge", "Accepted"), "True/Accepted");
    stand(&mut world, "uid-1", Standing::Ours);
    world.settle();
    world.settle();
    assert_eq!(world.settle(), 0);
    assert_eq!(world.running(), ["a/edge/db", "b/edge/db"]);
    let (a, b) = (target(&world, "a").unwrap(), target(&world, "b").unwrap());
    assert!(a != b && (20000..=29999).contains(&a) && (20000..=29999).contains(&b));
    let status = world.object("a", "edge").status.clone();
    let listener = &status.listeners[0];
    assert_eq!(listener.address.as_deref(), Some("edge-db.a.svc:5432"));
    assert_eq!(listener.port, Some(5432));
    let address = &status.addresses[0];
    assert_eq!(
        (&*address.kind, &*address.value, address.port),
        ("Hostname", "edge-db.a.svc", 5432)
    );
    assert_eq!(world.condition("a", "edge", "Ready"), "True/Ready");
    let message = world.full_condition("a", "edge", "Programmed").message;
    assert!(!message.contains("no Service"), "{message}");
    // Nobody has said yet that b's Service is there.
    assert_eq!(world.condition("b", "edge", "Programmed"), "Unknown/Pending");
    world.restart();
    world.settle();
    world.settle();
    assert_eq!((target(&world, "a"), target(&world, "b")), (Some(a), Some(b)));
}

#[test]
fn a_name_that_is_taken_is_said_with_what_to_do() {
    let mut world = world();
    stand(&mut world, "uid-1", Standing::Taken);
    world.settle();
    world.settle();
    let accepted = world.full_condition("a", "edge", "Accepted");
    assert_eq!(accepted.reason, "ServiceNameTaken");
    assert!(accepted.message.contains("\"edge-db\""), "{}", accepted.message);
    assert!(accepted.message.contains("expose.name"), "{}", accepted.message);
    assert_eq!(world.object("a", "edge").status.summary.as_ref().unwrap().listeners, "0/1");
}

#[test]
fn the_port_stays_through_suspension_and_an_invalid_edit_and_a_restart() {
    let mut world = world();
    world.settle();
    let port = target(&world, "a");
    assert!(port.is_some());
    let mut suspended = spec(5432);
    suspended["suspend"] = true.into();
    world.edit("a", "edge", suspended);
    world.settle();
    assert_eq!(world.running(), ["b/edge/db"]);
    assert_eq!(target(&world, "a"), port);
    world.restart();
    world.settle();
    assert_eq!(world.settle(), 0);
    world.edit("a", "edge", json!({"services": "none"}));
    world.restart();
    world.settle();
    assert_eq!(target(&world, "a"), port);
    world.edit("a", "edge", spec(5432));
    world.settle();
    assert_eq!(world.running(), ["a/edge/db", "b/edge/db"]);
    assert_eq!(target(&world, "a"), port);
}

#[test]
fn without_expose_the_port_is_given_back() {
    let mut world = world();
    world.settle();
    world.edit("a", "edge", service(":8080", "/x", &[]));
    world.settle();
    let status = &world.object("a", "edge").status;
    assert_eq!(status.listeners.len(), 1);
    assert!(status.addresses.is_empty());
    assert_eq!(status.listeners[0].target_port, None);
}

#[test]
fn only_exposed_services_are_bound_in_the_range_for_them() {
    let mut world = World::default();
    let mut chosen = spec(20001);
    chosen["services"][0].as_object_mut().unwrap().remove("expose");
    world.create("a", "edge", chosen);
    world.settle();
    assert_eq!(world.condition("a", "edge", "Accepted"), "False/PortNotAllowed");
    // Where the range does not count: the address is the Service's.
    world.edit("a", "edge", spec(20001));
    world.settle();
    world.settle();
    assert_eq!(world.running(), ["a/edge/db"]);
}

/// A Pod whose report says this port of a/edge, in a world where it is another replica or this one.
fn reports(world: &mut World, name: &str, port: Option<u16>) {
    let pod = Pod { name: name.into(), uid: name.into() };
    let ports = port.map(|port| ("db".into(), port)).into_iter().collect();
    let entry = Entry { generation: 1, ports, ..Entry::default() };
    let tunnels = Arc::new(Tunnels::from([("uid-1".into(), entry)]));
    let report = Arc::new(Report::new(Some(pod.clone()), None, tunnels));
    if name == "one" {
        world.fleet.pod = Some(pod.clone());
    } else {
        world.fleet.others = vec![Replica { name: name.into(), report: report.clone() }];
    }
    let members = world.fleet.members.get_or_insert_default();
    members.retain(|member| member.pod != pod);
    members.push(Member {
        pod,
        node: None,
        namespace: "release".into(),
        ips: vec![([10, 0, 0, 1], 0).into()]
            .into_iter()
            .map(|at: std::net::SocketAddr| at.ip())
            .collect(),
        ready: true,
        terminating: false,
        report,
    });
}

#[test]
fn ready_says_of_each_replica_what_its_endpoint_says() {
    let mut world = world();
    stand(&mut world, "uid-1", Standing::Ours);
    world.settle();
    world.settle();
    let port = target(&world, "a");
    let other = port.map(|port| port + 1);
    // What the replicas' reports say, and how many endpoints are ready by that.
    for (own, two, ready) in [
        (None, None, "0/2"),
        (None, port, "1/2"),
        (port, None, "1/2"),
        (port, other, "1/2"),
        (other, port, "1/2"),
        (port, port, "2/2"),
    ] {
        reports(&mut world, "one", own);
        reports(&mut world, "two", two);
        world.settle();
        let status = &world.object("a", "edge").status;
        assert_eq!(status.listeners[0].replicas, ready, "{own:?} {two:?}");
        let programmed = match ready {
            "2/2" => "True",
            // Nothing is wrong: they are on their way.
            "0/2" => "Unknown",
            _ => "False",
        };
        assert!(world.condition("a", "edge", "Ready").starts_with(programmed), "{own:?} {two:?}");
        let members = world.fleet.members.as_deref().unwrap();
        let counted = members
            .iter()
            .filter(|member| member.report.tunnels["uid-1"].ports.get("db").copied() == port);
        assert_eq!(format!("{}/2", counted.count()), ready);
    }
}

#[test]
fn what_the_api_server_says_of_a_service_that_it_refuses_is_said_with_a_reason_of_its_own() {
    let mut world = world();
    let words = "services \"edge-db\" is forbidden: exceeded quota: few, requested: services=1";
    stand(&mut world, "uid-1", Standing::Refused(words.into()));
    world.settle();
    world.settle();
    let ready = world.full_condition("a", "edge", "Ready");
    assert_eq!((&*ready.status, &*ready.reason), ("False", "ServiceRefused"));
    assert!(ready.message.ends_with(words), "{}", ready.message);
}

#[test]
fn a_service_that_is_still_to_be_made_is_not_known_to_fail() {
    let mut world = world();
    let mut spec = spec(5432);
    spec["services"]
        .as_array_mut()
        .unwrap()
        .push(service(":8080", "/x", &[])["services"][0].clone());
    world.create("c", "both", spec);
    world.settle();
    let ready = world.full_condition("c", "both", "Ready");
    assert_eq!((&*ready.status, &*ready.reason), ("Unknown", "Pending"));
    assert!(ready.message.contains("allocated"), "{}", ready.message);
}

#[test]
fn the_address_of_a_load_balancer_is_said_beside_the_name_in_the_cluster() {
    let mut world = world();
    stand(&mut world, "uid-1", Standing::Ours);
    let places = vec![("IPAddress", "203.0.113.7".to_string())];
    world.balancers = [(("uid-1".into(), "edge-db".into()), places)].into();
    world.settle();
    world.settle();
    let addresses = world.object("a", "edge").status.addresses.clone();
    let said: Vec<_> = addresses.iter().map(|a| (&*a.kind, &*a.value, a.port)).collect();
    assert_eq!(said, [("Hostname", "edge-db.a.svc", 5432), ("IPAddress", "203.0.113.7", 5432)]);
}
