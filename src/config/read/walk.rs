//! From a parsed document to one that the raw types accept, with a word on everything that is odd.

use serde_json::{Map as Object, Number, Value};

use super::known::{self, InGost};
use super::shape::{Shape, Struct};
use crate::base::Reason;
use crate::config::envelope::{self, Map};
use crate::config::error::Findings;
use crate::config::{misplaced, names};

/// How close a document has to be to the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As viper reads a GOST file: keys in any case, a single value where a list is
    /// expected, numbers and booleans as text and the other way round.
    Lenient,
    /// As the API server reads an object.
    Strict,
}

/// Brings a value into shape. Absent (`None`) is what is empty or wrong; the findings say which.
pub(super) fn walk(
    value: Value,
    shape: &Shape,
    path: &str,
    reading: Reading,
    findings: &mut Findings,
) -> Option<Value> {
    let lenient = reading == Reading::Lenient;
    match (shape, value) {
        (_, Value::Null) => None,
        (Shape::Struct(shape), Value::Object(map)) => {
            Some(walk_struct(map, shape, path, reading, findings))
        }
        (Shape::Open, map @ Value::Object(_)) => Some(map),
        (Shape::List(items), Value::Array(values)) => {
            let walked = values.into_iter().enumerate().filter_map(|(i, value)| {
                let path = format!("{path}[{i}]");
                if value.is_null() {
                    findings.warn(&path, Reason::Invalid, "this entry is empty and ignored");
                }
                walk(value, items, &path, reading, findings)
            });
            Some(walked.collect())
        }
        (Shape::List(items), Value::Object(map)) if lenient && is_by_name(items, &map) => {
            let first = map.keys().next().map(String::as_str).unwrap_or_default();
            let message = format!(
                "expected a list, got a map: write `- name: {first}` and the other keys below it"
            );
            findings.invalid(path, message);
            None
        }
        (Shape::List(items), value) if lenient => {
            walk(value, items, path, reading, findings).map(|value| Value::Array(vec![value]))
        }
        (Shape::Text, text @ Value::String(_)) => Some(text),
        (Shape::IntOrText, text @ Value::String(_)) => Some(text),
        (Shape::Int | Shape::IntOrText, Value::Number(n)) if n.is_i64() => Some(n.into()),
        (Shape::Bool, bool @ Value::Bool(_)) => Some(bool),
        (shape, value) => {
            let scalar = if lenient { coerce(shape, &value) } else { None };
            if scalar.is_none() {
                let (wanted, got) = (wanted(shape), got(&value));
                let instead = instead(shape, &value, path);
                findings.invalid(path, format!("expected {wanted}, got {got}{instead}"));
            }
            scalar
        }
    }
}

/// Whether a map that stands for a list has names for keys, as Compose and Traefik write it; one with
/// the keys of an entry is a list of one, as for GOST.
fn is_by_name(items: &Shape, map: &Object<String, Value>) -> bool {
    let Shape::Struct(shape) = items else { return false };
    let is_field =
        |key: &String| shape.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(key));
    !map.is_empty() && map.values().all(Value::is_object) && !map.keys().any(is_field)
}

/// mapstructure's weak typing: how a scalar of another type is read.
fn coerce(shape: &Shape, value: &Value) -> Option<Value> {
    match (shape, value) {
        (Shape::Text, Value::Bool(b)) => Some(if *b { "1" } else { "0" }.into()),
        (Shape::Text, Value::Number(n)) => Some(go_number(n).into()),
        (Shape::Int, Value::Bool(b)) => Some(i64::from(*b).into()),
        (Shape::Int, Value::Number(n)) => n.as_f64().map(|f| (f as i64).into()),
        (Shape::Int, Value::String(s)) => go_integer(s).map(Value::from),
        (Shape::Bool, Value::Number(n)) => n.as_f64().map(|f| (f != 0.0).into()),
        (Shape::Bool, Value::String(s)) if s.is_empty() => Some(false.into()),
        (Shape::Bool, Value::String(s)) => go_bool(s).map(Value::from),
        _ => None,
    }
}

/// Go's `strconv.ParseBool`.
pub(crate) fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A number as Go writes it into a text: in decimal, `1e3` as 1000.
pub(crate) fn go_number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

/// Go's `strconv.ParseInt(s, 0, 64)`, where "" is 0.
fn go_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [] if text.is_empty() => return Some(0),
        [b'0', b'x', ..] => (lower.trim_start_matches("0x"), 16),
        [b'0', b'o', ..] => (lower.trim_start_matches("0o"), 8),
        [b'0', b'b', ..] => (lower.trim_start_matches("0b"), 2),
        [b'0', _, ..] => (lower.trim_start_matches('0'), 8),
        _ => (lower.as_str(), 10),
    };
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// What to write for a value of the wrong type, where that is plain and no secret.
fn instead(shape: &Shape, value: &Value, path: &str) -> String {
    let key = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match (shape, value) {
        (Shape::Struct(_), Value::String(name)) if key.ends_with("ref") => {
            format!(": write {{name: {name}}}")
        }
        (Shape::Text, Value::Number(number)) if key == "addr" => format!(": write \":{number}\""),
        (Shape::Text, Value::Number(number))
            if key.ends_with("timeout") || ["ttl", "period", "reload"].contains(&key.as_str()) =>
        {
            format!(": write \"{number}s\"")
        }
        (Shape::Text, Value::Number(_) | Value::Bool(_)) => ": write it in quotes".into(),
        _ => String::new(),
    }
}

fn wanted(shape: &Shape) -> &'static str {
    match shape {
        Shape::Struct(_) | Shape::Open => "a map",
        Shape::List(_) => "a list",
        Shape::Text => "text",
        Shape::IntOrText => "text or a whole number",
        Shape::Int => "a whole number",
        Shape::Bool => "true or false",
    }
}

/// The kind of a value, never the value: it may be a password.
fn got(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn walk_struct(
    map: Object<String, Value>,
    shape: &Struct,
    path: &str,
    reading: Reading,
    findings: &mut Findings,
) -> Value {
    let mut walked = Object::new();
    for (key, value) in map {
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let field = shape.fields.iter().find(|(name, _)| match reading {
            Reading::Lenient => name.eq_ignore_ascii_case(&key),
            Reading::Strict => *name == key,
        });
        match field {
            Some((name, _)) if walked.contains_key(name) => {
                findings.invalid(&at, format!("{name} is given twice; keep one"));
            }
            Some((name, shape)) => {
                if let Some(value) = walk(value, shape, &at, reading, findings) {
                    walked.insert(name.clone(), value);
                }
            }
            None => unknown(&key, &value, shape, &at, reading, findings),
        }
    }
    Value::Object(walked)
}

fn unknown(
    key: &str,
    value: &Value,
    shape: &Struct,
    at: &str,
    reading: Reading,
    findings: &mut Findings,
) {
    let in_gost = known::in_gost(&shape.name).find(|(name, _)| name.eq_ignore_ascii_case(key));
    match in_gost {
        Some(_) if is_empty(value) => {}
        Some((name, InGost::Lacking)) => findings.unsupported(
            at,
            format!(
                "GOST's `{name}` is not supported in this version; {}",
                known::instead(&shape.name, name)
            ),
        ),
        Some((name, InGost::Harmless)) => findings.warn(
            at,
            Reason::Unsupported,
            format!("GOST's `{name}` is not supported in this version and ignored"),
        ),
        // A place for anchors, as Compose has it.
        None if reading == Reading::Lenient && shape.name == "Config" && key.starts_with("x-") => {}
        None => {
            let other_case = shape.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(key));
            if let Some(map) = metadata_of(&shape.name)
                && envelope::is_key(map, key)
            {
                let message = format!("`{key}` does nothing here: write it under metadata");
                findings.error(at, Reason::UnknownKey, message);
                return;
            }
            if let Some(instead) = misplaced::instead_of(key).filter(|_| !other_case) {
                let message = format!("`{key}` does nothing here: {instead}");
                findings.error(at, Reason::UnknownKey, message);
                return;
            }
            let ours = shape.fields.iter().map(|(name, _)| name.as_str());
            let theirs = known::in_gost(&shape.name).map(|(name, _)| name);
            let all: Vec<&str> = ours.chain(theirs).collect();
            // A key that may have been meant to protect is taken for one sooner than for another.
            let nearest = names::nearest_within(key, all.iter().copied(), 2)
                .filter(|n| known::is_protecting(n))
                .or_else(|| names::nearest(key, all.iter().copied()));
            let offer = nearest.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            let message = format!("unknown key `{key}`{offer}");
            let refused = reading == Reading::Strict
                || known::is_telling(key)
                || nearest.is_some_and(known::is_protecting);
            if refused {
                findings.error(at, Reason::UnknownKey, message);
            } else {
                findings.warn(at, Reason::UnknownKey, format!("{message} (ignored)"));
            }
        }
    }
}

/// The `metadata` map beside the keys of a struct.
fn metadata_of(name: &str) -> Option<Map> {
    Some(match name {
        "Service" => Map::Service,
        "Handler" => Map::Handler,
        "Listener" => Map::Listener,
        "Connector" => Map::Connector,
        "Dialer" => Map::Dialer,
        _ => return None,
    })
}

/// Whether GOST treats the value as if its key were absent.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_the_texts_that_go_makes_of_them() {
        for (text, expected) in [
            ("1", "1"),
            ("-7", "-7"),
            ("1e3", "1000"),
            ("1.50", "1.5"),
            ("18446744073709551615", "18446744073709551615"),
            ("1e21", "1000000000000000000000"),
        ] {
            assert_eq!(go_number(&text.parse().unwrap()), expected);
        }
    }

    #[test]
    fn integers_are_read_as_go_reads_them() {
        for (text, value) in [
            ("", Some(0)),
            ("12", Some(12)),
            ("-3", Some(-3)),
            ("0x10", Some(16)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("1e3", None),
            ("+", None),
            ("--1", None),
        ] {
            assert_eq!(go_integer(text), value, "{text}");
        }
    }
}
