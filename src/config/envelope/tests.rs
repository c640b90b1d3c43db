//! What the table has to be.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

/// The names of all tests of the tree.
fn tests_of_the_tree() -> BTreeSet<String> {
    fn walk(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let mut is_test = false;
                for line in text.lines().map(str::trim) {
                    let name = line.strip_prefix("async fn ").or(line.strip_prefix("fn "));
                    match name {
                        Some(name) if is_test => {
                            found.extend(name.split_once('(').map(|(name, _)| name.to_string()));
                            is_test = false;
                        }
                        Some(_) => is_test = false,
                        None if line.starts_with("#[test") || line.starts_with("#[tokio::test") => {
                            is_test = true;
                        }
                        None => {}
                    }
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    walk(&root.join("src"), &mut found);
    walk(&root.join("tests"), &mut found);
    found
}

#[test]
fn every_row_names_a_test_of_the_tree() {
    let tests = tests_of_the_tree();
    for row in TABLE.iter().copied().flatten() {
        let pending = resources::PENDING.contains(&row.test);
        assert!(pending != tests.contains(row.test), "{row:?}");
    }
}

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

#[test]
fn the_page_is_the_table() {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/ENVELOPE.md");
    if std::env::var_os("ADIT_RENDER").is_some() {
        std::fs::write(&at, page()).unwrap();
    }
    let written = std::fs::read_to_string(&at).unwrap_or_default();
    assert!(written == page(), "run: ADIT_RENDER=1 cargo test --lib the_page_is_the_table");
}
