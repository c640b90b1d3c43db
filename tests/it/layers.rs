//! The house: a room imports itself and the floors below it, never its own floor or up.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by floor. `src/lib.rs` shows the same picture in words.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["proto", "config", "metrics"],
    &["crd", "io", "shutdown"],
    &["net", "gate"],
    &["transport"],
    &["connector"],
    &["route"],
    &["handler"],
    &["engine"],
    &["control", "sidecar", "admin"],
    &["app", "cli", "telemetry", "main"],
];

/// What a room may not use although it is in the tree: crate, and the rooms that may.
const CRATES: &[(&str, &[&str])] = &[
    ("kube", &["crd", "control", "app"]),
    ("k8s_openapi", &["crd", "control"]),
    ("axum", &["transport", "admin"]),
    ("tokio_tungstenite", &["transport"]),
    ("hyper", &["transport", "handler", "admin"]),
    ("prometheus", &["metrics"]),
    ("hickory_resolver", &["net"]),
    ("socket2", &["net"]),
    ("clap", &["cli", "telemetry"]),
    ("anyhow", &["app", "cli", "main", "telemetry"]),
];

/// Rooms of values: no runtime, no sockets, no files, no clocks.
const PURE: &[&str] = &["base", "proto", "config"];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Every file below `src`, with its room and its text without comments.
fn sources() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let source = |path: PathBuf| {
        let inside = path.strip_prefix(&src).unwrap().with_extension("");
        let room = inside.iter().next().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = code.collect::<Vec<_>>().join("\n");
        (room, path, code)
    };
    files.into_iter().map(source).filter(|(room, ..)| room != "lib").collect()
}

/// The rooms named after `crate::` (or `adit::`), also in `use crate::{a, b}`.
fn imports(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for start in ["crate::", "adit::"] {
        for (at, _) in code.match_indices(start) {
            let rest = &code[at + start.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                let mut depth = 0;
                let mut name = String::new();
                let mut fresh = true;
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => fresh = true,
                        _ => {}
                    }
                    if depth == 0 && fresh && (c.is_alphanumeric() || c == '_') {
                        name.push(c);
                    } else if !name.is_empty() {
                        rooms.push(std::mem::take(&mut name));
                        fresh = c == ',';
                    }
                }
                rooms.extend((!name.is_empty()).then_some(name));
            } else {
                let end =
                    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                rooms.push(rest[..end].to_string());
            }
        }
    }
    rooms
}

#[test]
fn imports_point_downward_only() {
    let floor: BTreeMap<&str, usize> = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(floor, rooms)| rooms.iter().map(move |room| (*room, floor)))
        .collect();
    let mut wrong = Vec::new();
    for (room, path, code) in sources() {
        let own =
            floor.get(room.as_str()).unwrap_or_else(|| panic!("{path:?} is in no room of FLOORS"));
        for import in imports(&code) {
            let Some(other) = floor.get(import.as_str()) else { continue };
            // The rooms of the top floor are one composition and know each other.
            let composition = *own == FLOORS.len() - 1;
            if import != room && other >= own && !composition {
                wrong.push(format!("{}: {room} imports {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_heavy_crate_stays_in_its_rooms() {
    let mut wrong = Vec::new();
    for (room, path, code) in sources() {
        for (name, rooms) in CRATES {
            let used = code.contains(&format!("use {name}::"))
                || code.contains(&format!(" {name}::"))
                || code.contains(&format!("({name}::"));
            if used && !rooms.contains(&room.as_str()) {
                wrong.push(format!("{}: {room} uses {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn rooms_of_values_have_no_runtime_files_or_clocks() {
    let mut wrong = Vec::new();
    for (room, path, code) in sources() {
        for forbidden in ["tokio::", "std::fs", "std::net::Tcp", "SystemTime", "Instant::now"] {
            if PURE.contains(&room.as_str()) && code.contains(forbidden) {
                wrong.push(format!("{}: {forbidden}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(_, path, _)| fs::read_to_string(path).unwrap().lines().count() > 600)
        .map(|(_, path, _)| path)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn the_import_reader_sees_grouped_imports() {
    let code = "use crate::{engine::{Snapshot, plan}, base, net::dial};\nlet x = crate::io::Chunk;";
    assert_eq!(imports(code), ["engine", "base", "net", "io"]);
}
