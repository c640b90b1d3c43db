//! One value of a `metadata` map. Messages never repeat a text: it may hold a credential.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::base::GoDuration;
use crate::config::envelope::{HEADER_CHARACTERS, HEADER_NAME, HEADER_VALUE, HEADERS};
use crate::config::read::{go_bool, go_number};

/// A duration with GOST's second meaning of negative ones: "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    Negative,
    Positive(Duration),
}

pub(super) fn bool(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Number(n) => n.as_f64().map(|f| f != 0.0),
        // `?keepalive` on a command line is an empty text: GOST reads false, which nobody means.
        Value::String(s) => go_bool(s),
        _ => None,
    }
    .ok_or_else(|| "expected true or false".into())
}

pub(super) fn count(value: &Value) -> Result<Option<u32>, String> {
    let number = match value {
        Value::Number(n) => n.as_f64().filter(|f| f.fract() == 0.0),
        Value::String(s) => s.parse::<i64>().ok().map(|n| n as f64),
        _ => None,
    };
    match number {
        Some(n) if n <= 0.0 => Ok(None),
        Some(n) if n <= f64::from(u32::MAX) => Ok(Some(n as u32)),
        Some(_) => Err("the number is too large".into()),
        None => Err("expected a whole number".into()),
    }
}

pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(s) => Ok(s.clone()),
        Value::Bool(b) => Ok(b.to_string()),
        Value::Number(n) => Ok(go_number(n)),
        _ => Err("expected text".into()),
    }
}

pub(super) fn list(value: &Value) -> Result<Vec<String>, String> {
    let parts = |text: &str| {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(String::from).collect::<Vec<_>>()
    };
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        Value::String(text) => Ok(parts(text)),
        _ => Err("expected a list of texts".into()),
    }
}

pub(super) fn duration(value: &Value) -> Result<Signed, String> {
    let seconds = |n: f64| match Duration::try_from_secs_f64(n) {
        _ if n < 0.0 => Some(Signed::Negative),
        Ok(duration) if duration <= LONGEST => Some(Signed::Positive(duration)),
        _ => None,
    };
    let parsed = match value {
        Value::Number(n) => n.as_f64().and_then(seconds),
        Value::String(s) => match (s.strip_prefix('-'), s.parse::<i64>()) {
            (_, Ok(n)) => seconds(n as f64),
            (Some(positive), _) => positive.parse::<GoDuration>().ok().map(|_| Signed::Negative),
            (None, _) => s.parse::<GoDuration>().ok().map(|d| Signed::Positive(d.0)),
        },
        _ => None,
    };
    parsed.ok_or_else(|| {
        "expected a duration such as 500ms, 15s or 1h30m, or a number of seconds".into()
    })
}

/// As long as Go can say; more would overflow its clocks and ours.
const LONGEST: Duration = Duration::from_nanos(i64::MAX as u64);

/// Whether a map of headers is small enough; if not, the key (as a path's end) and the bound.
pub(super) fn few_headers(value: &Value) -> Result<(), (String, String)> {
    let Value::Object(map) = value else { return Ok(()) };
    let whole = |message: String| Err((String::new(), message));
    if map.len() > HEADERS {
        return whole(format!("the map has {} headers; at most {HEADERS}", map.len()));
    }
    let mut all = 0;
    for (key, value) in map {
        let (name, value) = (key.chars().count(), text(value).unwrap_or_default().chars().count());
        all += name + value;
        for (noun, length, most) in [("name", name, HEADER_NAME), ("value", value, HEADER_VALUE)] {
            if length > most {
                // The key may be what is too long.
                let at: String = key.chars().take(HEADER_NAME).collect();
                let message =
                    format!("the header's {noun} has {length} characters; at most {most}");
                return Err((format!(".{at}"), message));
            }
        }
    }
    match all > HEADER_CHARACTERS {
        true => whole(format!(
            "the headers have {all} characters together; at most {HEADER_CHARACTERS}"
        )),
        false => Ok(()),
    }
}

/// Headers, or the key (as a path's end) and what is wrong with it.
pub(super) fn headers(
    value: &Value,
    reserved: &[&str],
) -> Result<BTreeMap<String, String>, (String, String)> {
    let Value::Object(map) = value else {
        let message = "expected a map of header names and values (cannot be written in a URL)";
        return Err((String::new(), message.into()));
    };
    let mut headers = BTreeMap::new();
    for (key, value) in map {
        let error = |message: &str| (format!(".{key}"), message.to_string());
        if key.is_empty() || !key.bytes().all(is_token) {
            return Err(error("not a header name"));
        }
        let name = canonical(key);
        if reserved.iter().any(|r| r.eq_ignore_ascii_case(&name)) {
            return Err(error("the protocol itself writes this header; remove it"));
        }
        let value = text(value).map_err(|e| error(&e))?;
        if value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
            return Err(error("a header's value cannot have control characters"));
        }
        if headers.insert(name, value).is_some() {
            return Err(error("the header is given twice; keep one"));
        }
    }
    Ok(headers)
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Go's `CanonicalHeaderKey`: upper case after each hyphen, lower case elsewhere.
fn canonical(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|c| {
            let c = if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            upper = c == '-';
            c
        })
        .collect()
}
