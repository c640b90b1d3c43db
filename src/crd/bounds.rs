//! How long lists and texts may be, by path. Everything is bounded: the API server estimates what a
//! CEL rule may cost at worst, and refuses a definition whose rules could cost too much.

use serde_json::{Map, Value, json};

use crate::base::name;
use crate::config::envelope::{self, Kind, Limit, ends};

/// Lists whose entries are told apart by a key; others are atomic.
const MAPS: &[(&str, &str)] = &[
    ("services", "name"),
    ("chains", "name"),
    ("authers", "name"),
    ("admissions", "name"),
    ("bypasses", "name"),
    ("hosts", "name"),
    ("resolvers", "name"),
    ("climiters", "name"),
    ("rlimiters", "name"),
    ("limiters", "name"),
];

/// A DNS label: [`is_label`](crate::base::name::is_label).
const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A DNS subdomain: [`is_subdomain`](crate::base::name::is_subdomain).
const SUBDOMAIN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A key of a Secret, or none: [`is_secret_key`](crate::base::name::is_secret_key).
const KEY: &str = "^([-_a-zA-Z0-9]|\\.[-_a-zA-Z0-9])[-._a-zA-Z0-9]*$|^$";
/// Printable ASCII: [`is_printable`](crate::base::name::is_printable).
const PRINTABLE: &str = "^[ -~]*$";

/// What texts look like, by their path's end.
const PATTERNS: &[(&str, &str)] = &[
    ("secretRef.name", SUBDOMAIN),
    ("clientCARef.name", SUBDOMAIN),
    ("clientCARef.key", KEY),
    ("caRef.name", SUBDOMAIN),
    ("caRef.key", KEY),
    ("serviceRef.name", LABEL),
    ("services[].name", LABEL),
    ("className", PRINTABLE),
    ("name", PRINTABLE),
    ("chain", PRINTABLE),
    ("hop", PRINTABLE),
    ("auther", PRINTABLE),
    ("authers[]", PRINTABLE),
    ("admission", PRINTABLE),
    ("admissions[]", PRINTABLE),
    ("bypass", PRINTABLE),
    ("bypasses[]", PRINTABLE),
    ("resolver", PRINTABLE),
    ("hosts", PRINTABLE),
    ("limiter", PRINTABLE),
    ("climiter", PRINTABLE),
    ("rlimiter", PRINTABLE),
    ("username", PRINTABLE),
];

/// Keys that an entry has to have.
const REQUIRED: &[(&str, &[&str])] = &[
    ("", &["services"]),
    ("services[]", &["name", "addr"]),
    ("chains[]", &["name"]),
    ("authers[]", &["name"]),
    ("admissions[]", &["name"]),
    ("bypasses[]", &["name"]),
    ("hosts[]", &["name"]),
    ("resolvers[]", &["name"]),
    ("limiters[]", &["name"]),
    ("climiters[]", &["name"]),
    ("rlimiters[]", &["name"]),
    ("secretRef", &["name"]),
    ("serviceRef", &["name", "port"]),
    ("clientCARef", &["name"]),
    ("caRef", &["name"]),
];

/// Numbers and texts with more to say, by their whole path.
const SPECIAL: &[(&str, &str)] = &[
    ("services", r#"{"minItems": 1}"#),
    ("services[].name", r#"{"minLength": 1}"#),
    ("chains[].name", r#"{"minLength": 1}"#),
    ("authers[].name", r#"{"minLength": 1}"#),
    ("admissions[].name", r#"{"minLength": 1}"#),
    ("bypasses[].name", r#"{"minLength": 1}"#),
    ("hosts[].name", r#"{"minLength": 1}"#),
    ("resolvers[].name", r#"{"minLength": 1}"#),
    ("limiters[].name", r#"{"minLength": 1}"#),
    ("climiters[].name", r#"{"minLength": 1}"#),
    ("rlimiters[].name", r#"{"minLength": 1}"#),
    ("className", r#"{"minLength": 1}"#),
    // Go's duration, as far as a regular expression has to say it.
    (
        "drain.timeout",
        r#"{"pattern": "^(0|(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|ms|s|m|h))+)$"}"#,
    ),
    ("services[].expose.name", r#"{"pattern": "^([a-z]([-a-z0-9]*[a-z0-9])?)?$"}"#),
];

/// Texts of a closed set by their path's end; empty is the default.
const CHOICES: &[(&str, &[&str])] = &[
    ("selector.strategy", &["", "round", "rr", "random", "rand", "fifo", "ha", "hash"]),
    ("bypasses[].network", &["", "tcp", "udp"]),
    ("expose.externalTrafficPolicy", &["", "Cluster", "Local"]),
    ("expose.type", &["", "ClusterIP", "NodePort", "LoadBalancer"]),
];

/// What the tables say about a schema at a path of `spec`.
pub(super) fn at(path: &str, schema: &Map<String, Value>) -> Vec<Value> {
    let mut extras = Vec::new();
    let limit = |kind| envelope::field(path, kind).map(|row| row.limit);
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => {
            if let Some(Limit::Items(most)) = limit(Kind::List) {
                extras.push(json!({"maxItems": most}));
                extras.push(match MAPS.iter().find(|(whole, _)| *whole == path) {
                    Some((_, key)) => json!({
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": [key],
                    }),
                    None => json!({"x-kubernetes-list-type": "atomic"}),
                });
            }
        }
        Some("string") => {
            let most = limit(Kind::Text).and_then(Limit::length);
            extras.extend(most.map(|most| json!({"maxLength": most})));
            let choices = CHOICES.iter().find(|(end, _)| ends(path, end));
            extras.extend(choices.map(|(_, choices)| json!({"enum": choices})));
            let pattern = PATTERNS.iter().find(|(end, _)| ends(path, end));
            extras.extend(pattern.map(|(_, pattern)| json!({"pattern": pattern})));
        }
        Some("object") => {
            if let Some(Limit::Entries(most)) = limit(Kind::Map) {
                extras.push(json!({"maxProperties": most}));
            }
            let values = envelope::field(&format!("{path}{{}}"), Kind::Text);
            let most = values.and_then(|row| row.limit.length());
            extras.extend(most.map(
                |most| json!({"additionalProperties": {"type": "string", "maxLength": most}}),
            ));
            let required = REQUIRED.iter().find(|(end, _)| match *end {
                "" => path.is_empty(),
                end => ends(path, end),
            });
            extras.extend(required.map(|(_, keys)| json!({"required": keys})));
        }
        Some("integer") => {
            if let Some(Limit::Number(least, most)) = limit(Kind::Number) {
                extras.push(json!({"minimum": least, "maximum": most}));
            }
        }
        // A port of a Service by number or name; the pattern is about names alone.
        None if schema.contains_key("x-kubernetes-int-or-string") => {
            extras.push(json!({"maxLength": name::LABEL, "pattern": LABEL}));
        }
        _ => {}
    }
    let special = SPECIAL.iter().filter(|(whole, _)| *whole == path);
    extras.extend(special.filter_map(|(_, text)| serde_json::from_str(text).ok()));
    extras
}
