//! Classes over time: what is narrowed revokes, what is edited keeps.

use std::sync::Arc;

use serde_json::json;

use super::world::{World, service};
use crate::control::policy::{Labels, Policy, Reserved};

/// Goes by a class file from the next translation on.
fn govern(world: &mut World, classes: &str) {
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
