//! What metrics say of objects.

use super::world::{World, service};
use crate::control::reconcile::counted::Counted;
use crate::control::translate::Translation;
use crate::metrics::Metrics;

/// Settles the world, and counts what came of it.
fn step(world: &mut World, counted: &mut Counted) {
    let services = world.translation.services.clone();
    let verdicts = world.translation.verdicts.clone();
    let before = Translation { services, verdicts };
    world.settle();
    let generation = |key: &_| world.objects.get(key).map(|object| object.generation);
    counted.translated(&before, &world.translation, generation);
    counted.pictured(&world.snapshot());
}

#[test]
fn the_generation_that_is_acted_on_is_shown_and_goes_with_its_object() {
    let (mut world, metrics) = (World::default(), Metrics::new().unwrap());
    let mut counted = Counted::new(metrics.clone());
    let shown = || metrics.config_generation_observed.with_label_values(&["a", "t"]).get();
    world.create("a", "t", service(":8080", "/x", &[]));
    step(&mut world, &mut counted);
    assert_eq!(shown(), 1);
    world.edit("a", "t", service("nonsense", "/x", &[]));
    step(&mut world, &mut counted);
    assert_eq!(shown(), 1, "the version before it runs");
    world.edit("a", "t", service(":8080", "/y", &[]));
    step(&mut world, &mut counted);
    assert_eq!(shown(), 3);
    world.create("a", "never", service("nonsense", "/x", &[]));
    world.delete("a", "t");
    step(&mut world, &mut counted);
    let text = metrics.encode().unwrap();
    assert!(!text.contains("tunnel=\"t\""), "{text}");
    assert!(text.contains("tunnel=\"never\"} 1"), "that it is refused is acted on: {text}");
}

#[test]
fn a_class_that_is_gone_leaves_no_series() {
    let metrics = Metrics::new().unwrap();
    let mut counted = Counted::new(metrics.clone());
    counted.looked(["gold", "adit"].into_iter(), std::iter::empty());
    assert!(metrics.encode().unwrap().contains("class=\"gold\""));
    counted.looked(["adit"].into_iter(), std::iter::empty());
    let text = metrics.encode().unwrap();
    assert!(!text.contains("class=\"gold\"") && text.contains("class=\"adit\""), "{text}");
}

#[test]
fn what_comes_to_nothing_is_counted_once_by_its_reason() {
    let (mut world, metrics) = (World::default(), Metrics::new().unwrap());
    let mut counted = Counted::new(metrics.clone());
    let errors = |reason: &str| metrics.reconcile_errors.with_label_values(&[reason]).get();
    world.create("a", "t", service(":8080", "/x", &[]));
    world.create("a", "bad", service("nonsense", "/x", &[]));
    world.create("b", "rival", service(":8080", "/x", &[]));
    for _ in 0..2 {
        step(&mut world, &mut counted);
        assert_eq!((errors("Invalid"), errors("HostConflict"), errors("Pending")), (1, 1, 0));
    }
    world.delete("a", "t");
    step(&mut world, &mut counted);
    world.taken.insert(8080);
    step(&mut world, &mut counted);
    assert_eq!((errors("HostConflict"), errors("AddressInUse")), (1, 1));
}
