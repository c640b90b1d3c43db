//! What planning costs, in comparisons and lookups.

use super::*;
use crate::engine::claims::cost;

/// So many services as the largest test of the shape has.
const MANY: usize = 3200;

/// A service by its number and how many there are.
type Shape = fn(usize, usize) -> (String, String, Vec<String>);

fn nested(depth: usize) -> String {
    "/a".repeat(depth) + "/"
}

/// Namespace, path and hosts of services that get in each other's way as far as they can.
const SHAPES: [(&str, Shape); 9] = [
    ("one path, hosts of one namespace", |i, _| {
        let hosts = (0..16).map(|host| format!("h{host}.s{i}.test"));
        ("a".into(), "/x".into(), hosts.collect())
    }),
    ("one path and one host", |_, _| ("a".into(), "/x".into(), vec!["a.test".into()])),
    ("one path, one parent", |i, _| ("a".into(), "/x/".into(), vec![format!("s{i}.test")])),
    ("one path and wildcards", |i, _| {
        let hosts = (0..16).map(|host| format!("*.h{host}.s{i}.test"));
        (format!("n{}", i % 40), "/x/".into(), hosts.collect())
    }),
    ("any host below one path, the widest last", |i, most| {
        let path = if i + 1 == most { "/x/".into() } else { format!("/x/{i}/") };
        ("a".into(), path, vec![])
    }),
    ("subtrees in subtrees, the innermost first", |i, most| {
        ("a".into(), nested((most - i) % 400 + 1), vec![format!("s{}.test", i / 400)])
    }),
    ("any host in subtrees of other hosts", |i, _| match i % 2 {
        0 => ("a".into(), nested(i % 100), vec![format!("s{i}.test")]),
        _ => ("b".into(), format!("{}{i}", nested(50)), vec![]),
    }),
    ("many namespaces, a path each", |i, _| (format!("n{i}"), format!("/p{i}/"), vec![])),
    ("many namespaces, a host each", |i, _| {
        (format!("n{i}"), "/".into(), vec![format!("s{i}.test"), format!("*.s{i}.test")])
    }),
];

/// The steps of a plan for each host and segment that was written.
fn steps(shape: Shape, count: usize) -> usize {
    let mut written = 0;
    let services: Vec<_> = (0..count)
        .map(|i| {
            let (namespace, path, hosts) = shape(i, count);
            written += 1 + hosts.len() + path.matches('/').count();
            let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
            let claim = created(i as i64);
            (key(&namespace, &format!("{i:05}")), desired("in", 8080, ws(&path, &hosts), claim))
        })
        .collect();
    cost::taken();
    plan(&services);
    cost::taken() / written
}

#[test]
fn a_plan_of_thousands_of_services_compares_few_with_few() {
    for (what, shape) in SHAPES {
        let (half, whole) = (steps(shape, MANY / 2), steps(shape, MANY));
        assert!(whole < 200, "{what}: {whole} steps for each host and segment");
        // Twice as many cost a step more in each lookup, not twice as much each.
        assert!(whole <= half + half / 3 + 2, "{what}: {half} steps, then {whole}");
    }
}
