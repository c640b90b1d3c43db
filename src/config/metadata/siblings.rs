//! Keys that nobody asked for.
//!
//! GOST copies a query parameter into every map of a service or node, and prints it so. A copy is
//! fine where a map beside it has the same key with the same value and understands it.

use serde_json::Value;

use super::Reader;
use super::keys::{Table, Weight};
use crate::base::Reason;
use crate::config::error::Findings;
use crate::config::read::is_telling;
use crate::config::{misplaced, names};

impl Reader<'_> {
    /// Says which of GOST's keys are refused by name here.
    pub(crate) fn lacks(&mut self, tables: &[Table]) {
        self.lacking.extend(tables);
    }

    fn lacking(&self, key: &str) -> Option<(Weight, &'static str)> {
        self.lacking.iter().find_map(|t| {
            let name = t.keys.iter().find(|n| n.eq_ignore_ascii_case(key))?;
            Some((t.weight, *name))
        })
    }

    fn asks_for(&self, key: &str) -> bool {
        self.asked.iter().any(|n| n.eq_ignore_ascii_case(key))
    }

    /// The same key with the same value: the mark of a copy.
    fn has(&self, key: &str, value: &Value) -> bool {
        self.entries.get(key).is_some_and(|(_, v)| *v == value)
    }
}

/// Reports what is left when every type has asked for its keys. The maps are those of one service,
/// or of one node and its hop; `beside` is what they stand in.
pub(crate) fn settle(siblings: &[Reader<'_>], beside: impl Fn() -> Value, findings: &mut Findings) {
    for (i, map) in siblings.iter().enumerate() {
        for (key, (written, value)) in &map.entries {
            if map.asks_for(key) {
                continue;
            }
            let path = format!("{}.{written}", map.path);
            match map.lacking(key) {
                Some(_) if is_off(value) => continue,
                Some((Weight::Matters, name)) => {
                    let message =
                        format!("GOST's `{name}` is not supported in this version; remove it");
                    findings.unsupported(&path, message);
                    continue;
                }
                Some((Weight::Harmless, name)) => {
                    let message = format!("`{name}` changes nothing here and is ignored");
                    findings.warn(&path, Reason::Unsupported, message);
                    continue;
                }
                None => {}
            }
            let mut others = siblings.iter().enumerate().filter(|(j, _)| *j != i);
            let is_copy = others.any(|(j, other)| {
                let known = other.asks_for(key) || other.lacking(key).is_some();
                other.has(key, value) && (known || j < i)
            });
            if is_copy || is_off(value) {
                continue;
            }
            if let Some(instead) = misplaced::instead_of(key) {
                if misplaced::is_said(key, &beside()) {
                    continue;
                }
                let message = format!("`{written}` does nothing here: {instead}");
                findings.error(&path, Reason::UnknownKey, message);
                continue;
            }
            let asked = map.asked.iter().copied();
            let lacking = map.lacking.iter().flat_map(|t| t.keys).copied();
            let nearest = names::nearest(key, asked.chain(lacking));
            let offer = nearest.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            let message = format!("unknown key `{written}`{offer}");
            if is_telling(key) || nearest.is_none() && misplaced::is_near(key) {
                findings.error(&path, Reason::UnknownKey, message);
            } else {
                findings.warn(&path, Reason::UnknownKey, format!("{message} (ignored)"));
            }
        }
    }
}

/// Whether a value asks for nothing: `enableCompression: false`.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => {
            matches!(s.as_str(), "" | "0" | "f" | "F" | "false" | "FALSE" | "False")
        }
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}
