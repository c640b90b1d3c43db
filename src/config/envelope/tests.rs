//! What the table has to be.

use std::collections::BTreeSet;

use super::*;

#[test]
fn no_row_is_there_twice() {
    let mut seen = BTreeSet::new();
    for row in TABLE.iter().copied().flatten() {
        match row.what {
            What::Key(maps, names) => {
                for (map, name) in maps.iter().flat_map(|map| names.iter().map(move |n| (map, n))) {
                    assert!(seen.insert(format!("{map:?} {name}")), "{map:?} {name}");
                }
            }
            // `hosts` is a list, and the name of one.
            What::Field(end) => {
                assert!(seen.insert(format!("{end} {:?}", row.limit.kind())), "{end}")
            }
            What::Resource(what) => assert!(seen.insert(what.into()), "{what}"),
        }
    }
}

#[test]
fn what_a_class_has_otherwise_is_said_with_the_default() {
    let default = ClassLimits::default();
    assert!(differences(&default).is_empty());
    let own = ClassLimits {
        receive_buffer: 64 << 20,
        max_timeout: Duration::from_secs(60),
        nodes_per_tunnel: 9,
        ..default
    };
    assert_eq!(
        differences(&own),
        [
            "nodesPerTunnel 9 (default 512)",
            "receiveBuffer 64MiB (default 16MiB)",
            "maxTimeout 1m (default 10m)",
        ]
    );
}
