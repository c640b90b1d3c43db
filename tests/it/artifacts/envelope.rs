//! The table of bounds against the tree: its tests, and its page.

use std::collections::BTreeSet;
use std::path::Path;

use adit::config::envelope;

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
    for row in envelope::TABLE.iter().copied().flatten() {
        assert!(tests.contains(row.test), "{row:?}");
    }
}

#[test]
fn the_page_is_the_table() {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/ENVELOPE.md");
    if std::env::var_os("ADIT_RENDER").is_some() {
        std::fs::write(&at, envelope::page()).unwrap();
    }
    let written = std::fs::read_to_string(&at).unwrap_or_default();
    assert!(
        written == envelope::page(),
        "run: ADIT_RENDER=1 cargo test --test it the_page_is_the_table"
    );
}
