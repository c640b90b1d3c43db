use super::*;

/// Every schema in the definition, with its path.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{key}"), visit);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), visit);
    }
}

fn schema() -> Value {
    definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn every_list_text_and_map_is_bounded() {
    walk(&schema(), "", &mut |path, schema| {
        let kind = schema["type"].as_str();
        let bounded = match kind {
            Some("array") => schema["maxItems"].is_u64() && schema["items"].is_object(),
            Some("string") if [".apiVersion", ".kind"].contains(&path) => true,
            Some("string") => {
                schema["maxLength"].is_u64()
                    || schema["enum"].is_array()
                    || schema["format"] == "date-time"
            }
            Some("object") => {
                path == ".metadata"
                    || schema["properties"].is_object()
                    || (schema["maxProperties"].is_u64()
                        && (schema["x-kubernetes-preserve-unknown-fields"] == true
                            || schema["additionalProperties"]["maxLength"].is_u64()))
            }
            Some("integer" | "boolean") => true,
            None => schema["x-kubernetes-int-or-string"] == true,
            _ => false,
        };
        assert!(bounded, "{path}: {schema}");
    });
}

#[test]
fn the_schema_is_structural() {
    walk(&schema(), "", &mut |path, schema| {
        // A map of texts; anything else with it would be closed to new keys, or open to all.
        let map = schema["additionalProperties"]["type"] == "string";
        assert!(map || schema.get("additionalProperties").is_none(), "{path}");
        for key in ["$ref", "anyOf", "oneOf", "allOf", "nullable"] {
            assert!(schema.get(key).is_none(), "{path} has {key}");
        }
        let format = schema["format"].as_str().unwrap_or_default();
        assert!(!format.starts_with("uint"), "{path}: {format}");
        let has_default = schema.get("default").is_some();
        assert_eq!(has_default, path == ".status", "{path}");
        if path.starts_with(".spec.") && !path.ends_with("[]") {
            assert!(schema["description"].is_string(), "{path} has no description");
        }
    });
}

#[test]
fn lists_say_how_they_merge() {
    let mut kinds = Vec::new();
    walk(&schema(), "", &mut |path, schema| {
        if schema["type"] == "array" {
            let keys = schema["x-kubernetes-list-map-keys"].as_array();
            for key in keys.into_iter().flatten() {
                let required = schema["items"]["required"].as_array().unwrap();
                assert!(required.contains(key), "{path}");
            }
            kinds.push((path.to_string(), schema["x-kubernetes-list-type"].clone()));
        }
    });
    assert!(kinds.contains(&(".spec.services".into(), json!("map"))), "{kinds:?}");
    assert!(kinds.contains(&(".spec.hops".into(), json!("atomic"))), "{kinds:?}");
    assert!(kinds.iter().all(|(_, kind)| kind.is_string()), "{kinds:?}");
}

#[test]
fn every_rule_is_at_a_place_that_exists() {
    let mut rules = 0;
    walk(&schema(), "", &mut |_, schema| {
        rules += schema["x-kubernetes-validations"].as_array().map_or(0, Vec::len);
    });
    assert_eq!(rules, 8 + 5 + 2 + 2 + 4 + 3);
}

#[test]
fn a_client_side_apply_has_room_for_it() {
    let size = definition().to_string().len();
    assert!(size < 200 << 10, "{size} bytes");
}

#[test]
fn the_text_is_the_definition() {
    let parsed: Value = serde_yaml::from_str(&yaml()).unwrap();
    assert_eq!(parsed, definition());
}

#[test]
fn the_file_in_crds_is_up_to_date() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/wstunnels.adit.dev.yaml");
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert!(written == yaml(), "run: cargo run -- crd > crds/wstunnels.adit.dev.yaml");
}

/// A spec in which a list has so many entries, a text so many characters, or a number this value;
/// `path` is a path of the schema.
fn spec_with(path: &str, end: Value) -> (Value, String) {
    let mut value = end;
    let mut at = Vec::new();
    for part in path.split('.').rev() {
        let (key, list) = match part.strip_suffix("[]") {
            Some(key) => (key, true),
            None => (part, false),
        };
        if list {
            value = json!([value]);
        }
        value = json!({ key: value });
        at.push(if list { format!("{key}[0]") } else { key.into() });
    }
    at.reverse();
    (value, at.join("."))
}

#[test]
fn every_field_is_tried_below_at_and_above_its_bound() {
    use crate::config::envelope::{Kind, field, misfits};
    use crate::config::model::ClassLimits;

    let spec = schema()["properties"]["spec"].clone();
    let limits = ClassLimits::default();
    let mut tried = 0;
    let mut try_all = |path: &str, values: Vec<(Value, bool)>| {
        for (value, out) in values {
            let (spec, at) = spec_with(path, value);
            let found = misfits(&spec, &limits);
            let of_it = found.iter().any(|(path, message)| {
                *path == at && (message.contains("; at most") || message.contains("; at least"))
            });
            assert_eq!(of_it, out, "{path}: {found:?}");
            tried += 1;
        }
    };
    walk(&spec, "", &mut |path, schema| {
        let path = path.trim_start_matches('.');
        if path.is_empty() || path.ends_with("metadata") {
            return;
        }
        let row = |kind| field(path, kind).unwrap_or_else(|| panic!("{path} has no row")).limit;
        let around = |most: u64| [(most - 1, false), (most, false), (most + 1, true)];
        match schema["type"].as_str() {
            Some("array") => {
                // Of what the schema says, since that is the API server's.
                let most = schema["maxItems"].as_u64().unwrap();
                row(Kind::List);
                let list = |n: u64| Value::Array(vec![Value::Null; n as usize]);
                try_all(path, around(most).map(|(n, out)| (list(n), out)).into());
            }
            Some("string") => {
                let limit = row(Kind::Text);
                let most = u64::from(limit.length().unwrap());
                assert!(schema["maxLength"].as_u64().is_none_or(|n| n == most), "{path}");
                let text = |n: u64| json!("ä".repeat(n as usize));
                try_all(path, around(most).map(|(n, out)| (text(n), out)).into());
            }
            Some("integer") => {
                if let crate::config::envelope::Limit::Number(least, most) = row(Kind::Number) {
                    assert_eq!(
                        (schema["minimum"].as_u64(), schema["maximum"].as_u64()),
                        (Some(least.into()), Some(most.into())),
                        "{path}"
                    );
                    try_all(path, around(most.into()).map(|(n, out)| (json!(n), out)).into());
                }
            }
            Some("object") if schema["properties"].is_null() => {
                let most = schema["maxProperties"].as_u64().unwrap();
                row(Kind::Map);
                let map = |n: u64| (0..n).map(|i| (format!("k{i}"), json!("v"))).collect::<Value>();
                try_all(path, around(most).map(|(n, out)| (map(n), out)).into());
            }
            _ => {}
        }
    });
    try_all(
        "services[].forwarder.nodes[].serviceRef.port",
        vec![(json!("p".repeat(63)), false), (json!("p".repeat(64)), true)],
    );
    try_all("resolvers[].nameservers[].ttl", vec![(json!("1s"), false), (json!("999ms"), true)]);
    let longest = [(json!("10m"), false), (json!("10m0.001s"), true), (json!("0s"), false)];
    try_all("resolvers[].nameservers[].timeout", longest.into());
    assert!(tried > 300, "{tried}");
}
