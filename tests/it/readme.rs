//! The README tells the truth.

use adit::metrics::TABLE;

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The table between the marker and the next heading, as it should be.
fn metrics_table() -> String {
    let mut text = String::from("| metric | labels | |\n|---|---|---|\n");
    for doc in TABLE {
        let labels: Vec<_> = doc.labels.iter().map(|label| format!("`{label}`")).collect();
        text.push_str(&format!("| `{}` | {} | {} |\n", doc.name, labels.join(" "), doc.help));
    }
    text
}

#[test]
fn the_metrics_table_is_what_the_code_exports() {
    let table = metrics_table();
    assert!(readme().contains(&table), "put this table into README.md:\n{table}");
}
