//! Whether a spec fits the schema, as far as that is about sizes: the API server would refuse it.

use serde_json::{Map, Value};

/// What does not fit, each with its path in `spec` and what the schema wants. Patterns and CEL rules are
/// not looked at: [`lower`](crate::config::lower) says the same in words of its own.
pub fn misfits(spec: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(&super::schema::spec(), spec, "", &mut found);
    found
}

fn walk(schema: &Value, value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    let mut miss = |message: String| found.push((path.to_string(), message));
    match value {
        Value::Array(list) => {
            if let Some(most) = bound("maxItems").filter(|most| list.len() as u64 > *most) {
                miss(format!(
                    "at most {most} entries, here are {}: convert it in parts",
                    list.len()
                ));
            }
            if bound("minItems").is_some_and(|least| (list.len() as u64) < least) {
                miss("an entry is missing".into());
            }
            let items = schema.get("items").unwrap_or(&Value::Null);
            for (i, item) in list.iter().enumerate() {
                walk(items, item, &format!("{path}[{i}]"), found);
            }
        }
        Value::String(text) => {
            let length = text.chars().count() as u64;
            if let Some(most) = bound("maxLength").filter(|most| length > *most) {
                miss(format!("at most {most} characters, here are {length}"));
            }
            let choices = schema.get("enum").and_then(Value::as_array);
            if choices.is_some_and(|choices| !choices.contains(value)) {
                miss(format!("{text:?} is none of the choices"));
            }
        }
        Value::Number(number) => {
            let limit = |key: &str| schema.get(key).and_then(Value::as_i64);
            let number = number.as_i64().unwrap_or_default();
            if let Some(most) = limit("maximum").filter(|most| number > *most) {
                miss(format!("at most {most}"));
            }
            if let Some(least) = limit("minimum").filter(|least| number < *least) {
                miss(format!("at least {least}"));
            }
        }
        Value::Object(map) => of_map(schema, map, path, found),
        Value::Null | Value::Bool(_) => {}
    }
}

fn of_map(schema: &Value, map: &Map<String, Value>, path: &str, found: &mut Vec<(String, String)>) {
    let at = |key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
    let most = schema.get("maxProperties").and_then(Value::as_u64);
    if let Some(most) = most.filter(|most| map.len() as u64 > *most) {
        found.push((path.into(), format!("at most {most} keys, here are {}", map.len())));
    }
    let required = schema.get("required").and_then(Value::as_array);
    for key in required.into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(key) {
            found.push((at(key), "is missing".into()));
        }
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (key, value) in map {
        match properties.get(key) {
            Some(schema) => walk(schema, value, &at(key), found),
            None => found.push((at(key), "is not in the schema".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_too_large_is_named_with_its_bound() {
        let service = |name: &str| json!({"name": name, "addr": ":1"});
        let many: Vec<_> = (0..33).map(|i| service(&format!("s{i}"))).collect();
        for (spec, path, part) in [
            (json!({"services": many}), "services", "at most 32 entries, here are 33"),
            (json!({"services": []}), "services", "missing"),
            (json!({}), "services", "missing"),
            (json!({"services": [{"name": "a"}]}), "services[0].addr", "missing"),
            (
                json!({"services": [{"name": "a".repeat(64), "addr": ":1"}]}),
                "services[0].name",
                "at most 63",
            ),
            (
                json!({"services": [{"name": "a", "addr": ":1", "handler": {"retries": 11}}]}),
                "services[0].handler.retries",
                "at most 10",
            ),
            (
                json!({"services": [service("a")], "bypasses": [{"name": "b", "network": "x"}]}),
                "bypasses[0].network",
                "choices",
            ),
            (json!({"services": [service("a")], "x": 1}), "x", "not in the schema"),
        ] {
            let found = misfits(&spec);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].0 == path && found[0].1.contains(part), "{found:?}");
        }
        let metadata = json!({"path": "/x", "header": {"a": ["b"]}});
        let fine = json!({"services": [{"name": "a", "addr": ":1",
            "listener": {"type": "ws", "metadata": metadata}}]});
        assert_eq!(misfits(&fine), []);
    }
}
