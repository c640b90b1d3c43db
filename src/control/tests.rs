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
        let mut translator = super::translate::Translator::new(vec![8080], &[], "release");
        let now = world.instant();
        let one = translator.translate(world.objects.values(), nothing, now);
        let other = shuffled.translator.translate(objects.iter(), nothing, now);
        prop_assert_eq!(one, other);
    }
}

#[test]
fn an_object_of_another_class_is_left_alone() {
    let mut world = World::default();
    let mut spec = world::service(":8080", "/x", &[]);
    spec["className"] = json!("other");
    world.create("a", "t", spec);
    world.settle();
    assert!(world.running().is_empty());
    assert!(world.object("a", "t").status.conditions.is_empty());
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
