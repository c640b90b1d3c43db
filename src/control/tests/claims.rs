//! Duels: who keeps a host and path.

use super::world::{World, service};

fn duel() -> World {
    let mut world = World::default();
    world.create("a", "first", service(":8080", "/x", &["h.example"]));
    world.settle();
    world.create("b", "second", service(":8080", "/x", &["h.example"]));
    world.settle();
    world
}

#[test]
fn the_incumbent_serves_and_the_other_says_so_without_naming_it() {
    let world = duel();
    assert_eq!(world.running(), ["a/first/s"]);
    let accepted = world.full_condition("b", "second", "Accepted");
    assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "HostConflict"));
    assert!(!accepted.message.contains("first"), "{}", accepted.message);
    assert!(!accepted.message.contains("a/"), "{}", accepted.message);
    assert_eq!(world.condition("b", "second", "Ready"), "False/HostConflict");
    assert_eq!(world.condition("b", "second", "Programmed"), "False/Pending");
    let loser = &world.object("b", "second").status.listeners[0];
    assert_eq!((loser.claimed_at.as_deref(), loser.replicas.as_str()), (None, "0/1"));
}

#[test]
fn an_older_object_that_was_edited_later_loses_against_the_incumbent() {
    let mut world = World::default();
    world.create("a", "older", service(":8080", "/elsewhere", &[]));
    world.create("b", "incumbent", service(":8080", "/x", &[]));
    world.settle();
    world.edit("a", "older", service(":8080", "/x", &[]));
    world.settle();
    assert_eq!(world.running(), ["b/incumbent/s"]);
    world.restart();
    world.settle();
    assert_eq!(world.running(), ["b/incumbent/s"], "also after a restart");
}

#[test]
fn an_edit_while_nobody_looked_still_loses() {
    let mut world = World::default();
    world.create("a", "older", service(":8080", "/elsewhere", &[]));
    world.create("b", "incumbent", service(":8080", "/x", &[]));
    world.settle();
    world.edit("a", "older", service(":8080", "/x", &[]));
    world.restart();
    world.settle();
    assert_eq!(world.running(), ["b/incumbent/s"]);
}

#[test]
fn a_more_specific_claim_of_another_namespace_does_not_displace_the_incumbent() {
    let mut world = World::default();
    world.create("a", "wide", service(":8080", "/x/", &[]));
    world.settle();
    world.create("b", "narrow", service(":8080", "/x/y", &["h.example"]));
    world.settle();
    assert_eq!(world.running(), ["a/wide/s"]);
    assert_eq!(world.condition("b", "narrow", "Ready"), "False/HostConflict");
}

#[test]
fn the_address_is_handed_over_when_the_incumbent_goes() {
    for leave in ["delete", "suspend", "move"] {
        let mut world = duel();
        let mut suspended = service(":8080", "/x", &["h.example"]);
        suspended["suspend"] = true.into();
        match leave {
            "delete" => world.delete("a", "first"),
            "suspend" => world.edit("a", "first", suspended),
            _ => world.edit("a", "first", service(":8080", "/y", &["h.example"])),
        }
        world.settle();
        assert!(world.running().contains(&"b/second/s".to_string()), "{leave}");
        assert_eq!(world.condition("b", "second", "Ready"), "True/Ready");
        if leave != "delete" {
            world.edit("a", "first", service(":8080", "/x", &["h.example"]));
            world.settle();
            assert_eq!(world.running(), ["b/second/s"], "{leave}: what was let go is gone");
        }
    }
}

#[test]
fn an_edit_that_keeps_the_address_keeps_the_claim() {
    let mut world = duel();
    let before = world.object("a", "first").status.listeners[0].claimed_at.clone();
    let mut spec = service(":8080", "/x", &["h.example"]);
    spec["services"][0]["handler"]["metadata"] = serde_json::json!({"idleTimeout": "5m"});
    world.edit("a", "first", spec);
    world.settle();
    assert_eq!(world.running(), ["a/first/s"]);
    assert_eq!(world.object("a", "first").status.listeners[0].claimed_at, before);
}

#[test]
fn an_invalid_edit_keeps_the_claim_of_what_goes_on_running() {
    let mut world = duel();
    world.edit("a", "first", service("nonsense", "/x", &["h.example"]));
    world.settle();
    assert_eq!(world.running(), ["a/first/s"]);
    assert_eq!(world.condition("b", "second", "Ready"), "False/HostConflict");
}

#[test]
fn host_names_in_another_order_are_the_same_claim() {
    let mut world = World::default();
    world.create("a", "t", service(":8080", "/x", &["a.example", "b.example"]));
    world.settle();
    let before = world.object("a", "t").status.listeners[0].claim.clone();
    world.edit("a", "t", service(":8080", "/x", &["b.example", "a.example"]));
    world.settle();
    assert!(before.is_some());
    assert_eq!(world.object("a", "t").status.listeners[0].claim, before);
}
