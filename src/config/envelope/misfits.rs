//! A spec held against the rows of its fields.

use serde_json::Value;

use super::{Kind, Limit, ends, field};
use crate::base::GoDuration;
use crate::config::model::ClassLimits;

/// What of a spec is out of bounds, each with its path, the value and the bound. The schema of the CRD says
/// the same, but an object may be older than it. Values that are nothing at all, as a duration that
/// is none, are left to [`lower`](crate::config::lower).
pub fn misfits(spec: &Value, limits: &ClassLimits) -> Vec<(String, String)> {
    let mut found = Vec::new();
    Walk { limits, found: &mut found }.value(spec, "", "");
    found
}

struct Walk<'a> {
    limits: &'a ClassLimits,
    found: &'a mut Vec<(String, String)>,
}

impl Walk<'_> {
    /// `pattern` is the path without indices.
    fn value(&mut self, value: &Value, path: &str, pattern: &str) {
        match value {
            Value::Array(list) => {
                let limit = field(pattern, Kind::List).map(|row| row.limit);
                if let Some(Limit::Items(most)) = limit
                    && list.len() as u64 > most.into()
                {
                    // What is too long is not looked at any further.
                    let message = format!("the list has {} entries; at most {most}", list.len());
                    self.found.push((path.into(), message));
                    return;
                }
                let pattern = format!("{pattern}[]");
                for (i, item) in list.iter().enumerate() {
                    self.value(item, &format!("{path}[{i}]"), &pattern);
                }
            }
            // Its keys are read one by one, and bounded there.
            Value::Object(_) if ends(pattern, "metadata") => {}
            Value::Object(map) => {
                let own = field(pattern, Kind::Map).map(|row| row.limit);
                if let Some(Limit::Entries(most)) = own
                    && map.len() as u64 > most.into()
                {
                    let message = format!("the map has {} keys; at most {most}", map.len());
                    self.found.push((path.into(), message));
                    return;
                }
                for (key, value) in map {
                    let join = |to: &str, key: &str| match to {
                        "" => key.to_string(),
                        to => format!("{to}.{key}"),
                    };
                    match own {
                        Some(_) => {
                            self.value(value, &format!("{path}[{key}]"), &format!("{pattern}{{}}"));
                        }
                        None => self.value(value, &join(path, key), &join(pattern, key)),
                    }
                }
            }
            Value::String(text) => {
                let Some(row) = field(pattern, Kind::Text) else { return };
                let held = row.limit.holds_text(text).and_then(|()| match text.parse() {
                    // Zero is the default, everywhere.
                    Ok(GoDuration(duration)) if !duration.is_zero() => {
                        row.limit.holds_duration(duration, self.limits)
                    }
                    _ => Ok(()),
                });
                self.found.extend(held.err().map(|message| (path.into(), message)));
            }
            Value::Number(number) => {
                let Some(row) = field(pattern, Kind::Number) else { return };
                // Negative numbers have words of their own, where they mean anything.
                let Some(number) = number.as_u64() else { return };
                let held = row.limit.holds_number(number, self.limits);
                self.found.extend(held.err().map(|message| (path.into(), message)));
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
}
