use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// An object `ns/name` with these listeners in its status.
fn object(ns: &str, name: &str, created: i64, listeners: Value) -> Object {
    let created = Timestamp::from_second(created).unwrap().to_string();
    let object = json!({
        "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel",
        "metadata": {"name": name, "namespace": ns, "uid": format!("{ns}-{name}"),
            "generation": 1, "creationTimestamp": created},
        "spec": {}, "status": {"listeners": listeners},
    });
    Object::read(&serde_json::from_value(object).unwrap())
}

fn plain(ns: &str, name: &str, created: i64) -> Object {
    object(ns, name, created, json!([]))
}

/// A listener `s` that holds a port since a second.
fn holds(port: u16, since: Option<i64>) -> Value {
    let at = since.map(|second| Timestamp::from_second(second).unwrap().to_string());
    json!([{"name": "s", "targetPort": port, "claimedAt": at, "claim": digest_of_port(port)}])
}

fn slot(object: &Object) -> Slot {
    Slot::new(object, "s")
}

fn allocation() -> Allocation {
    Allocation::new(vec![20002])
}

/// Ports of a class.
const FOUR: Ports = Ports::new(20000, 20003);
const MANY: Ports = Ports::new(20000, 20063);

fn wanted<'a>(objects: impl IntoIterator<Item = &'a Object>, range: Ports) -> Vec<Want> {
    let want = |object: &Object| Want { slot: slot(object), created: object.created, range };
    objects.into_iter().map(want).collect()
}

fn of<'a>(
    objects: impl IntoIterator<Item = &'a Object>,
    range: Ports,
) -> impl Iterator<Item = (&'a Object, Ports)> {
    objects.into_iter().map(move |object| (object, range))
}

/// The object as it is once its status says which port it has.
fn written(ports: &Allocation, object: &Object) -> Object {
    let mut object = object.clone();
    let target_port = ports.target(&slot(&object));
    object.status.listeners = vec![crate::control::status::Listener {
        name: "s".into(),
        target_port,
        ..Default::default()
    }];
    object
}

#[test]
fn nobody_binds_a_port_before_the_status_says_it() {
    let mut ports = allocation();
    let (now, object) = (Instant::now(), plain("a", "t", 1));
    ports.follow(of([&object], FOUR), now);
    ports.allocate(wanted([&object], FOUR), now);
    let granted = ports.target(&slot(&object));
    assert!(granted.is_some());
    assert_eq!(ports.bound(&slot(&object)), None);
    // A look before the write came back gives no other one.
    ports.follow(of([&object], FOUR), now);
    ports.allocate(wanted([&object], FOUR), now);
    assert_eq!(ports.target(&slot(&object)), granted);
    let stored = written(&ports, &object);
    ports.follow(of([&stored], FOUR), now);
    assert_eq!(ports.bound(&slot(&stored)), granted);
}

#[test]
fn the_incumbent_of_two_keeps_the_port_and_the_other_gets_another() {
    let older = object("a", "older", 1, holds(20001, None));
    let young = object("b", "holder", 2, holds(20001, Some(50)));
    let later = object("c", "later", 0, holds(20001, Some(60)));
    let now = Instant::now();
    let mut ports = allocation();
    ports.follow(of([&older, &young, &later], FOUR), now);
    assert_eq!(ports.bound(&slot(&young)), Some(20001));
    assert_eq!((ports.bound(&slot(&older)), ports.bound(&slot(&later))), (None, None));
    ports.allocate(wanted([&older, &young, &later], FOUR), now);
    let mut all = [&older, &young, &later].map(|object| ports.target(&slot(object)).unwrap());
    all.sort();
    assert_eq!(all, [20000, 20001, 20003]);
    // A claim on what it was before is none on what it is now.
    let mut moved = young.clone();
    moved.status.listeners[0].claim = Some(digest_of_port(20000));
    ports.follow(of([&older, &moved], FOUR), now);
    assert_eq!(ports.bound(&slot(&older)), Some(20001), "the older object");
}

#[test]
fn ports_that_are_not_to_be_had_are_not_believed() {
    let mut ports = allocation();
    for port in [80, 19999, 20002, 20004] {
        let object = object("a", "t", 1, holds(port, Some(1)));
        ports.follow(of([&object], FOUR), Instant::now());
        assert_eq!(ports.bound(&slot(&object)), None, "{port}");
    }
}

#[test]
fn a_class_that_is_narrowed_takes_its_ports_back() {
    let (now, mut ports) = (Instant::now(), allocation());
    let object = object("a", "t", 1, holds(20003, Some(1)));
    ports.follow(of([&object], FOUR), now);
    assert_eq!(ports.bound(&slot(&object)), Some(20003));
    let narrow = Ports::new(20000, 20001);
    ports.follow(of([&object], narrow), now);
    assert_eq!(ports.bound(&slot(&object)), None);
    ports.allocate(wanted([&object], narrow), now);
    assert!(ports.target(&slot(&object)).is_some_and(|port| narrow.contains(port)));
}

#[test]
fn a_port_that_was_let_go_rests_for_the_drain_and_a_minute() {
    let now = Instant::now();
    let mut ports = allocation();
    let objects = [plain("a", "1", 1), plain("a", "2", 2), plain("a", "3", 3)];
    ports.allocate(wanted(&objects, FOUR), now);
    let stored = objects.each_ref().map(|object| written(&ports, object));
    ports.follow(of(&stored, FOUR), now);
    let freed = ports.bound(&slot(&stored[0])).unwrap();
    ports.drains(&slot(&stored[0]), Duration::from_secs(30));
    let late = plain("z", "late", 9);
    let look = |ports: &mut Allocation, objects: &[&Object], after: u64| {
        let now = now + Duration::from_secs(after);
        ports.follow(of(objects.iter().copied(), FOUR), now);
        ports.allocate(wanted(objects.iter().copied(), FOUR), now);
    };
    let all = [&stored[1], &stored[2], &late];
    look(&mut ports, &all, 1);
    assert_eq!(ports.exhausted(&slot(&late)), Some(FOUR));
    assert_eq!(ports.wake(), Some(now + Duration::from_secs(91)));
    look(&mut ports, &all, 90);
    assert_eq!(ports.exhausted(&slot(&late)), Some(FOUR));
    // Whoever had it may have it again.
    let again = plain("a", "1", 90);
    look(&mut ports, &[&stored[1], &stored[2], &again], 90);
    assert_eq!(ports.target(&slot(&again)), Some(freed));
    // An object that goes before its port was written lets it go too.
    look(&mut ports, &all, 91);
    assert_eq!(ports.exhausted(&slot(&late)), Some(FOUR));
    look(&mut ports, &all, 152);
    assert_eq!(ports.target(&slot(&late)), Some(freed));
    assert!(ports.exhausted(&slot(&late)).is_none() && ports.wake().is_none());
}

#[test]
fn a_namespace_that_lets_go_of_port_after_port_leaves_enough_for_others() {
    let range = Ports::new(20000, 20099);
    let (now, mut ports) = (Instant::now(), Allocation::new(Vec::new()));
    let mut last = None;
    for number in 0..300 {
        let object = plain("greedy", &format!("t{number}"), number);
        ports.follow(of(&last, range), now);
        ports.allocate(wanted([&object], range), now);
        let stored = written(&ports, &object);
        ports.follow(of([&stored], range), now);
        assert!(ports.bound(&slot(&stored)).is_some(), "{number}");
        ports.drains(&slot(&stored), Duration::from_secs(600));
        last = Some(stored);
    }
    assert!(ports.quarantine.len() <= RESTING + 1, "{}", ports.quarantine.len());
    let other = plain("other", "t", 1);
    ports.allocate(wanted(last.iter().chain([&other]), range), now);
    assert!(ports.target(&slot(&other)).is_some());
    assert!(!ports.quarantine.contains_key(&ports.target(&slot(&other)).unwrap()));
}

#[test]
fn every_port_of_a_range_is_probed_once() {
    let object = plain("a", "t", 1);
    for (first, last) in [(20000, 20000), (20000, 29999), (1, u16::MAX)] {
        let mut all: Vec<_> = probe(Ports::new(first, last), &slot(&object)).collect();
        all.sort();
        assert_eq!(all, (first..=last).collect::<Vec<_>>());
    }
}

proptest! {
    /// A new leader comes to the same from the same statuses, in whatever order it saw the objects,
    /// and what was written once stays.
    #[test]
    fn ports_are_unique_stable_and_no_matter_of_order(
        first in 1..40usize,
        more in 0..20usize,
        turn in any::<usize>(),
        lost in any::<u64>(),
    ) {
        let now = Instant::now();
        let mut ports = Allocation::new(Vec::new());
        let mut objects: Vec<_> = (0..first + more)
            .map(|n| plain(&format!("ns{}", n % 3), &format!("t{n}"), (n % 4) as i64))
            .collect();
        let early = &objects[..first];
        ports.allocate(wanted(early, MANY), now);
        let mut turned: Vec<_> = early.iter().rev().collect();
        turned.rotate_left(turn % first);
        let mut other = Allocation::new(Vec::new());
        other.allocate(wanted(turned, MANY), now);
        for object in early {
            prop_assert_eq!(ports.target(&slot(object)), other.target(&slot(object)));
        }
        // The leader dies when some statuses were written and others not.
        for (n, object) in objects.iter_mut().take(first).enumerate() {
            if lost >> (n % 64) & 1 == 0 {
                *object = written(&ports, object);
            }
        }
        let mut next = Allocation::new(Vec::new());
        next.follow(of(&objects, MANY), now);
        next.allocate(wanted(&objects, MANY), now);
        let mut seen = BTreeSet::new();
        for object in &objects {
            let port = next.target(&slot(object)).unwrap();
            prop_assert!(seen.insert(port), "{port} twice");
            if let Some(listener) = object.status.listeners.first() {
                prop_assert_eq!(listener.target_port, Some(port));
            }
        }
    }
}
