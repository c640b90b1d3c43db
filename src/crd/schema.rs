//! From the raw types to a structural schema.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{bounds, rules};
use crate::config::raw::TunnelSpec;

/// The schema of `spec`.
pub(super) fn spec() -> Value {
    let settings = SchemaSettings::openapi3().with(|s| s.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<TunnelSpec>().to_value();
    structural(&mut schema);
    decorate(&mut schema, "");
    schema
}

/// Keeps what a structural schema may have.
fn structural(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    // A title repeats the type's name; a default would be written into every stored object, and an
    // unsigned format draws a warning from the API server; null is the API server's to prune.
    for key in ["$schema", "title", "default", "components", "nullable"] {
        map.remove(key);
    }
    map.retain(|key, value| key != "format" || value != "int32");
    if let Some(Value::Array(kinds)) = map.get("type") {
        let kind = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
        map.insert("type".into(), kind);
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(structural);
    }
    if let Some(items) = map.get_mut("items") {
        structural(items);
    }
}

/// Adds bounds, list types, required keys and rules, from the tables, everywhere.
fn decorate(schema: &mut Value, path: &str) {
    let Value::Object(map) = schema else { return };
    for extra in bounds::at(path, map).into_iter().chain(rules::at(path)) {
        merge(map, extra);
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        for (key, property) in properties {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            decorate(property, &path);
        }
    }
    if let Some(items) = map.get_mut("items") {
        decorate(items, &format!("{path}[]"));
    }
}

fn merge(map: &mut Map<String, Value>, extra: Value) {
    if let Value::Object(extra) = extra {
        map.extend(extra);
    }
}

/// CEL rules as the schema has them.
pub(super) fn validations(rules: &[(&str, &str)]) -> Value {
    json!({"x-kubernetes-validations": list(rules)})
}

/// The list of them.
pub(super) fn list(rules: &[(&str, &str)]) -> Value {
    let rule = |(rule, message): &(&str, &str)| json!({"rule": rule, "message": message});
    rules.iter().map(rule).collect()
}
