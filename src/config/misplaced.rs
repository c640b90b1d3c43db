//! Keys that protect or direct traffic, where they do nothing.
//!
//! A key that stands at the wrong place is not read: a service with `auther` among its metadata would
//! be open. So such a key is an error wherever it stands, and the message says where it belongs. The
//! list is that of the schema, but for keys that neither protect nor direct, and of gost's other
//! spellings.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::names;
use super::read::Shape;
use super::types::{DIALERS, LISTENERS};

/// Keys of the schema that neither protect nor direct anything by themselves.
const NEUTRAL: &[&str] = &[
    "name",
    "type",
    "metadata",
    "ttl",
    "timeout",
    "prefer",
    "only",
    "port",
    "path",
    "options",
    "labels",
    "annotations",
    "aliases",
    "reload",
    "key",
    "network",
    "hostname",
    "mappings",
    "async",
    "validity",
    "commonName",
    "organization",
];

/// What gost, or its version 2, says otherwise, and what to write instead.
const OTHERWISE: &[(&[&str], &str)] = &[
    (
        &["secrets", "users", "htpasswd"],
        "write an auther with the file of users: authers: [{name: users, file: {path: FILE}}], and \
         auther: users at the handler",
    ),
    (
        &["user", "pass", "passwd"],
        "write auth: {username: .., password: ..} at the handler or connector",
    ),
    (&["cert"], "write tls: {certFile: FILE} at the listener or dialer"),
    (&["ca"], "write tls: {caFile: FILE} at the listener or dialer"),
    (&["blacklist"], "write an admission or a bypass with matchers"),
    (&["ip", "peer"], "write each address as a node's addr, or a hosts list"),
    (&["dns"], "write a resolver with nameservers"),
    (
        &["interface", "so_mark", "mark", "netns", "netns.out"],
        "it is not supported in this version; remove it",
    ),
    (
        &["probe_resist", "probeResist", "knock", "skipauth"],
        "it is not supported in this version; remove it",
    ),
];

/// Where the keys of the schema stand, without the root's part: `services[].handler.auther`.
static PLACES: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(|| {
    let mut places = BTreeMap::new();
    collect(&super::read::CONFIG, String::new(), &mut places);
    places
});

fn collect(shape: &Shape, path: String, places: &mut BTreeMap<String, Vec<String>>) {
    match shape {
        Shape::Struct(shape) => {
            for (key, of_key) in &shape.fields {
                let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                if !NEUTRAL.contains(&key.as_str()) {
                    places.entry(key.to_lowercase()).or_default().push(at.clone());
                }
                collect(of_key, at, places);
            }
        }
        Shape::List(items) => collect(items, format!("{path}[]"), places),
        _ => {}
    }
}

/// What to write instead of a key that protects or directs traffic and does not do so where it stands.
/// `None`: it is no such key.
pub(crate) fn instead_of(key: &str) -> Option<String> {
    let lower = key.to_lowercase();
    // "tls.certFile" is a key of the command line.
    let last = lower.rsplit('.').next().unwrap_or(&lower);
    let is = |name: &&str| name.eq_ignore_ascii_case(key) || name.eq_ignore_ascii_case(last);
    if let Some((_, instead)) = OTHERWISE.iter().find(|(names, _)| names.iter().any(is)) {
        return Some((*instead).into());
    }
    if let Some(places) = PLACES.get(last) {
        let at = |place: &String| (place.matches('.').count(), place.len());
        let mut places: Vec<_> = places.iter().collect();
        places.sort_by_key(|place| at(place));
        let shown: Vec<_> = places.iter().take(2).map(|place| place.as_str()).collect();
        return Some(format!("it belongs at {}", shown.join(" or ")));
    }
    let types = [LISTENERS.ours, LISTENERS.theirs, DIALERS.ours, DIALERS.theirs];
    let is_type = types.into_iter().flatten().any(|name| name.eq_ignore_ascii_case(key));
    is_type.then(|| format!("a listener or dialer of this kind is written as type: {lower}"))
}

/// Whether a key is one slip away from such a key.
pub(crate) fn is_near(key: &str) -> bool {
    let keys = PLACES.keys().map(String::as_str);
    key.len() >= 4 && names::nearest_within(key, keys, key.len()).is_some()
}

/// Whether what the key says is said where it counts too: gost's command line copies its parameters into
/// every `metadata` map besides, and prints them so.
pub(crate) fn is_said(key: &str, whole: &Value) -> bool {
    let key = match key.to_lowercase().rsplit('.').next().unwrap_or_default() {
        "cert" => "certfile".into(),
        "ca" => "cafile".into(),
        key => key.to_string(),
    };
    match whole {
        Value::Object(map) => map.iter().any(|(name, value)| {
            name != "metadata"
                && (name.eq_ignore_ascii_case(&key) && !value.is_null() || is_said(&key, value))
        }),
        Value::Array(list) => list.iter().any(|value| is_said(&key, value)),
        _ => false,
    }
}

/// The keys that [`instead_of`] knows by the schema, or by gost's spellings.
#[cfg(test)]
pub(crate) fn all() -> Vec<String> {
    let otherwise = OTHERWISE.iter().flat_map(|(names, _)| *names).map(ToString::to_string);
    PLACES.keys().cloned().chain(otherwise).collect()
}

#[cfg(test)]
mod tests;
