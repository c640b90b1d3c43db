//! The controller without an API server and without sockets: objects in, plan, statuses back.

mod claims;
mod classes;
mod counted;
mod exposed;
mod references;
mod replicas;
mod statuses;
mod world;

use proptest::prelude::*;
use serde_json::json;

use super::status::Condition;
use super::translate::Outside;
use crate::config::secrets::Secrets;
use crate::config::services::Services;
use world::World;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Two objects an index pair, on few paths and hosts so that many duel.
    #[test]
    fn verdicts_and_the_desired_set_do_not_depend_on_the_order_of_objects(
        picks in proptest::collection::vec((0..3usize, 0..4usize, 0..4usize, any::<bool>()), 1..12),
        seed in any::<u64>(),
    ) {
        let mut world = World::default();
        for (index, (namespace, path, host, bad)) in picks.iter().enumerate() {
            let spec = world::service(
                if *bad { "nonsense" } else { ":8080" },
                ["/a", "/a/", "/b", "/"][*path],
                [&[][..], &["x.example"], &["*.example"], &["y.example"]][*host],
            );
            world.create(&format!("ns{namespace}"), &format!("t{index}"), spec);
        }
        let mut shuffled = World::default();
        let mut objects: Vec<_> = world.objects.values().cloned().collect();
        let length = objects.len();
        for i in (1..length).rev() {
            objects.swap(i, (seed as usize).wrapping_mul(31).wrapping_add(i * 7) % (i + 1));
        }
        let nothing = Outside { secrets: &Secrets::default(), services: &Services::default() };
        let mut translator = super::translate::Translator::new(vec![8080], &[], ("release", "adit"));
        let now = world.instant();
        let one = translator.translate(world.objects.values(), nothing, now);
        let other = shuffled.translator.translate(objects.iter(), nothing, now);
        prop_assert_eq!(one, other);
    }
}

#[test]
fn an_object_of_a_class_that_nobody_has_is_told_the_names_that_there_are() {
    let mut world = World::default();
    let mut spec = world::service(":8080", "/x", &[]);
    spec["className"] = json!("other");
    world.create("a", "t", spec);
    world.settle();
    assert!(world.running().is_empty());
    assert!(world.translation.verdicts[&world::key("a", "t")].is_classless());
    let accepted = world.full_condition("a", "t", "Accepted");
    assert_eq!(accepted.reason, "NoClass");
    assert_eq!(
        accepted.message,
        "spec.className: no installation has class \"other\"; set className to adit"
    );
    let status = &world.object("a", "t").status;
    assert_eq!((&status.controller, &status.class_name), (&None, &None), "nobody holds it");
}

#[test]
fn an_object_that_another_installation_holds_is_left_alone_until_that_one_is_gone() {
    let mut world = World::default();
    world.create("a", "t", world::service(":8080", "/x", &[]));
    let held = |world: &mut World, by: &str| {
        world.objects.values_mut().for_each(|o| o.status.controller = Some(by.into()));
    };
    held(&mut world, "elsewhere/adit");
    assert_eq!(world.settle(), 0);
    assert!(world.running().is_empty());
    world.translator.outlive([("elsewhere/adit".to_string(), "a".into())].into());
    assert_eq!(world.settle(), 1);
    assert_eq!(world.running(), ["a/t/s"]);
    let status = &world.object("a", "t").status;
    assert_eq!(status.controller.as_deref(), Some("release/adit"));
    assert_eq!(status.class_name.as_deref(), Some("adit"));
    // It came back and took what was its own: nobody serves one object twice.
    world.translator.outlive(Default::default());
    held(&mut world, "elsewhere/adit");
    assert_eq!(world.settle(), 0);
    assert!(world.running().is_empty());
}

#[test]
fn a_holder_that_is_asked_whether_it_is_there_answers_by_its_next_status() {
    let mut world = World::default();
    world.create("a", "t", world::service(":8080", "/x", &[]));
    world.settle();
    let object = world.objects.values_mut().next().unwrap();
    object.status.contender = Some("elsewhere/adit".into());
    assert_eq!(world.settle(), 1);
    assert_eq!(world.object("a", "t").status.contender, None);
    assert_eq!(world.settle(), 0);
}

#[test]
fn conditions_that_others_add_to_an_object_stay() {
    let mut world = World::default();
    world.create("a", "t", world::service(":8080", "/x", &[]));
    world.settle();
    let object = world.objects.values_mut().next().unwrap();
    let theirs =
        Condition { kind: "example.com/Audited".into(), ..object.status.conditions[0].clone() };
    object.status.conditions.push(theirs.clone());
    assert_eq!(world.settle(), 0);
    world.edit("a", "t", world::service(":8080", "/y", &[]));
    world.settle();
    assert!(world.object("a", "t").status.conditions.contains(&theirs));
}

#[test]
fn a_settled_world_writes_nothing_more() {
    let mut world = World::default();
    world.create("a", "t", world::service(":8080", "/x", &[]));
    world.create("b", "u", world::service(":8080", "/x", &[]));
    world.create("b", "v", json!({"services": "none"}));
    assert_eq!(world.settle(), 3);
    world.now += 100;
    assert_eq!(world.settle(), 0);
    world.restart();
    assert_eq!(world.settle(), 0, "also not by a new process");
}
