//! The table as a page of the documentation.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Limit, Row, TABLE, What};

const HEAD: &str = "\
# Bounds

<!-- Generated from src/config/envelope; a test compares. -->

What a `WsTunnel` may say, and what tenants share. A value that is out of bounds refuses the object, with the field, the
value and the bound; it is never made smaller silently. `*`: a default, which a class raises or lowers by the key of
`limits` beside it. Files and the command line have the bounds of GOST's protocols only.
";

/// `deploy/ENVELOPE.md`.
pub fn page() -> String {
    let mut page = HEAD.to_string();
    let rows = || TABLE.iter().copied().flatten();
    let of_class = |row: &&Row| {
        matches!(row.limit, Limit::Class(_) | Limit::Bytes(_))
            && matches!(row.what, What::Resource(_))
    };
    let resource = |row: &&Row| matches!(row.what, What::Resource(_));
    section(&mut page, "What a namespace and a tunnel have", rows().filter(of_class));
    section(
        &mut page,
        "What the process has",
        rows().filter(resource).filter(|row| !of_class(row)),
    );
    grouped(&mut page, "Keys of `metadata`", "keys", rows(), |row| match row.what {
        What::Key(_, names) => Some(names.to_vec()),
        _ => None,
    });
    grouped(&mut page, "Fields of `spec`", "fields, by the end of their path", rows(), |row| {
        match row.what {
            What::Field(end) => Some(vec![end]),
            _ => None,
        }
    });
    page
}

fn section<'a>(page: &mut String, title: &str, rows: impl Iterator<Item = &'a Row>) {
    // A String takes everything.
    let _ = writeln!(page, "\n## {title}\n\n| what | bound | shown by |\n|---|---|---|");
    for row in rows {
        let What::Resource(what) = row.what else { continue };
        let shown = match row.shown.starts_with("adit_") {
            true => format!("`{}`", row.shown),
            false => row.shown.into(),
        };
        let _ = writeln!(page, "| {what} | {} | {shown} |", row.limit);
    }
}

/// Rows with one bound in one line, in the order of the first of each.
fn grouped<'a>(
    page: &mut String,
    title: &str,
    noun: &str,
    rows: impl Iterator<Item = &'a Row>,
    names: impl Fn(&Row) -> Option<Vec<&'static str>>,
) {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        let Some(names) = names(row) else { continue };
        let bound = row.limit.to_string();
        let place = *places.entry(bound.clone()).or_insert(groups.len());
        if place == groups.len() {
            groups.push((bound, Vec::new()));
        }
        if let Some((_, all)) = groups.get_mut(place) {
            all.extend(names.into_iter().filter(|name| !all.contains(name)).collect::<Vec<_>>());
        }
    }
    let _ = writeln!(page, "\n## {title}\n\n| bound | {noun} |\n|---|---|");
    for (bound, names) in groups {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(page, "| {bound} | {} |", names.join(", "));
    }
}
