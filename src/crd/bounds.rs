//! How long lists and texts may be, by path. Everything is bounded: the API server estimates what a
//! CEL rule may cost at worst, and refuses a definition whose rules could cost too much.

use serde_json::{Map, Value, json};

/// The longest name that is referred to: a DNS label.
const NAME: u32 = 63;
/// A DNS name, a colon and a port.
const ADDR: u32 = 260;
/// The name of a Secret, a key in one.
const OBJECT_NAME: u32 = 253;
/// A DNS name.
const DNS_NAME: u32 = 253;
/// A duration in Go's syntax.
const DURATION: u32 = 32;
/// A file's path.
const PATH: u32 = 1024;

/// Lists by their path's end: how many entries, and the key that tells them apart (none: atomic).
const LISTS: &[(&str, u32, Option<&str>)] = &[
    ("services", 32, Some("name")),
    ("services[].hostnames", 16, None),
    ("services[].handler.authers", 8, None),
    ("services[].admissions", 8, None),
    ("services[].bypasses", 8, None),
    ("forwarder.nodes", 16, None),
    ("chains", 16, Some("name")),
    ("hops[].bypasses", 8, None),
    ("nodes[].bypasses", 8, None),
    ("hops", 8, None),
    ("hops[].nodes", 16, None),
    ("authers", 16, Some("name")),
    ("auths", 64, None),
    ("admissions", 16, Some("name")),
    ("bypasses", 16, Some("name")),
    ("matchers", 256, None),
    ("hosts", 16, Some("name")),
    ("mappings", 256, None),
    ("aliases", 16, None),
    ("resolvers", 16, Some("name")),
    ("nameservers", 8, None),
    ("climiters", 16, Some("name")),
    ("rlimiters", 16, Some("name")),
    ("limiters", 16, Some("name")),
    ("limits", 64, None),
    ("cipherSuites", 32, None),
    ("alpn", 8, None),
    ("serverNames", 32, None),
];

/// Texts by their path's end.
const TEXTS: &[(&str, u32)] = &[
    ("className", NAME),
    ("drain.timeout", DURATION),
    ("hostnames[]", DNS_NAME),
    ("secretRef.name", OBJECT_NAME),
    ("serviceRef.name", NAME),
    ("clientCARef.name", OBJECT_NAME),
    ("caRef.name", OBJECT_NAME),
    ("name", NAME),
    ("addr", ADDR),
    ("type", 32),
    ("chain", NAME),
    ("hop", NAME),
    ("auther", NAME),
    ("authers[]", NAME),
    ("admission", NAME),
    ("admissions[]", NAME),
    ("bypass", NAME),
    ("bypasses[]", NAME),
    ("resolver", NAME),
    ("hosts", NAME),
    ("limiter", NAME),
    ("climiter", NAME),
    ("rlimiter", NAME),
    ("username", 255),
    ("password", 1024),
    ("strategy", 32),
    ("failTimeout", DURATION),
    ("reload", DURATION),
    ("ttl", DURATION),
    ("timeout", DURATION),
    ("file", PATH),
    ("file.path", PATH),
    ("certFile", PATH),
    ("keyFile", PATH),
    ("caFile", PATH),
    ("key", OBJECT_NAME),
    ("serverName", DNS_NAME),
    ("serverNames[]", DNS_NAME),
    ("minVersion", 32),
    ("maxVersion", 32),
    ("cipherSuites[]", 64),
    ("alpn[]", 255),
    ("matchers[]", ADDR),
    ("network", 16),
    ("ip", 64),
    ("hostname", DNS_NAME),
    ("aliases[]", DNS_NAME),
    ("prefer", 16),
    ("only", 16),
    ("limits[]", 128),
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
    ("services[].handler.retries", r#"{"minimum": 0, "maximum": 100}"#),
    ("services[].expose.port", r#"{"minimum": 1, "maximum": 65535}"#),
    ("services[].expose.name", r#"{"pattern": "^([a-z]([-a-z0-9]*[a-z0-9])?)?$"}"#),
    (
        "services[].expose.annotations",
        r#"{"maxProperties": 16, "additionalProperties": {"type": "string", "maxLength": 1024}}"#,
    ),
    (
        "services[].expose.labels",
        r#"{"maxProperties": 16, "additionalProperties": {"type": "string", "maxLength": 63}}"#,
    ),
];

/// Texts of a closed set by their path's end; empty is the default.
const CHOICES: &[(&str, &[&str])] = &[
    ("selector.strategy", &["", "round", "rr", "random", "rand", "fifo", "ha", "hash"]),
    ("bypasses[].network", &["", "tcp", "udp"]),
    ("expose.type", &["", "ClusterIP", "NodePort", "LoadBalancer"]),
];

/// What the tables say about a schema at a path of `spec`.
pub(super) fn at(path: &str, schema: &Map<String, Value>) -> Vec<Value> {
    let mut extras = Vec::new();
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => {
            if let Some((_, most, key)) = LISTS.iter().find(|(end, ..)| ends(path, end)) {
                extras.push(json!({"maxItems": most}));
                extras.push(match key {
                    Some(key) => json!({
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": [key],
                    }),
                    None => json!({"x-kubernetes-list-type": "atomic"}),
                });
            }
        }
        Some("string") => {
            let found = TEXTS.iter().find(|(end, _)| ends(path, end));
            extras.extend(found.map(|(_, most)| json!({"maxLength": most})));
            let choices = CHOICES.iter().find(|(end, _)| ends(path, end));
            extras.extend(choices.map(|(_, choices)| json!({"enum": choices})));
            let pattern = PATTERNS.iter().find(|(end, _)| ends(path, end));
            extras.extend(pattern.map(|(_, pattern)| json!({"pattern": pattern})));
        }
        Some("object") => {
            let open = schema.contains_key("x-kubernetes-preserve-unknown-fields");
            extras.extend(open.then(|| json!({"maxProperties": 64})));
            let required = REQUIRED.iter().find(|(end, _)| match *end {
                "" => path.is_empty(),
                end => ends(path, end),
            });
            extras.extend(required.map(|(_, keys)| json!({"required": keys})));
        }
        // A port of a Service by number or name; the pattern is about names alone.
        None if schema.contains_key("x-kubernetes-int-or-string") => {
            extras.push(json!({"maxLength": NAME, "pattern": LABEL}));
        }
        _ => {}
    }
    let special = SPECIAL.iter().filter(|(whole, _)| *whole == path);
    extras.extend(special.filter_map(|(_, text)| serde_json::from_str(text).ok()));
    extras
}

/// Whether a path ends in these keys.
pub(super) fn ends(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
