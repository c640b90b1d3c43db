//! What a file holds, document by document.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::shape::{CONFIG, LOG, METRICS, Shape, TUNNEL};
use super::walk::{Reading, walk};
use super::yaml;
use crate::base::{Reason, Secret};
use crate::config::error::{ConfigErrors, Diagnostic, Findings};
use crate::config::raw;
use crate::config::secrets::{SecretData, SecretState, Secrets};

/// The API version of `WsTunnel`.
pub(crate) const TUNNEL_API: &str = "adit.dev/v1alpha1";

/// The namespace of objects that name none, as for kubectl.
pub(super) const DEFAULT_NAMESPACE: &str = "default";

/// Everything that a text declares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Documents {
    /// The GOST documents, their lists one after the other.
    pub gost: raw::Config,
    /// `log` of the last GOST document that has one.
    pub log: Option<raw::Log>,
    /// `metrics` of the last GOST document that has one.
    pub metrics: Option<raw::Metrics>,
    /// The `WsTunnel` documents.
    pub tunnels: Vec<TunnelDoc>,
    /// The `Secret` documents.
    pub secrets: Secrets,
    /// What was read in spite of a doubt.
    pub warnings: Vec<Diagnostic>,
}

/// A `WsTunnel` document.
#[derive(Clone, Debug, PartialEq)]
pub struct TunnelDoc {
    /// `metadata.namespace`, or `default`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `spec`.
    pub spec: raw::TunnelSpec,
}

impl TunnelDoc {
    /// How messages call it: `WsTunnel team-a/edge`.
    pub fn title(&self) -> String {
        format!("WsTunnel {}/{}", self.namespace, self.name)
    }
}

/// Reads a text: any number of documents, each a GOST configuration, a `WsTunnel` or a `Secret`.
///
/// GOST documents are read as leniently as GOST reads them, objects as strictly as the API server
/// does. A key that nobody knows is a warning, and an error if it looks like one that protects.
///
/// # Errors
/// All at once: syntax (with line and column), kinds and keys that cannot be read, values of the
/// wrong type.
pub fn read(text: &str) -> Result<Documents, ConfigErrors> {
    let (values, warnings) = yaml::documents(text).map_err(ConfigErrors::one)?;
    let mut all = Findings { warnings, ..Findings::default() };
    let mut documents = Documents::default();
    let several = values.len() > 1;
    for (i, value) in values.into_iter().enumerate() {
        let mut findings = Findings::default();
        let title = document(value, &mut documents, &mut findings)
            .or_else(|| several.then(|| format!("document {}", i + 1)));
        let within = |d: Diagnostic| match &title {
            Some(title) => d.within(title),
            None => d,
        };
        all.errors.extend(findings.errors.into_iter().map(within));
        all.warnings.extend(findings.warnings.into_iter().map(within));
    }
    let (mut documents, warnings) = all.into_result(documents)?;
    documents.warnings = warnings;
    Ok(documents)
}

/// Reads one document; what it is called, if it has a name.
fn document(value: Value, into: &mut Documents, findings: &mut Findings) -> Option<String> {
    let map = match value {
        Value::Null => return None,
        Value::Object(map) => map,
        _ => {
            findings.invalid("", "a document has to be a map: a GOST configuration or an object");
            return None;
        }
    };
    let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("", "") => {
            gost(map, into, findings);
            None
        }
        (TUNNEL_API, "WsTunnel") => Some(tunnel(map, into, findings)),
        ("v1", "Secret") => Some(secret(map, into, findings)),
        (_, kind @ ("WsTunnel" | "Secret")) => {
            let version = if kind == "Secret" { "v1" } else { TUNNEL_API };
            findings.invalid("apiVersion", format!("a {kind} has apiVersion {version}"));
            None
        }
        (_, kind) => {
            let message = format!(
                "kind {kind:?} cannot be read; use WsTunnel, Secret, or a GOST configuration \
                 without apiVersion and kind"
            );
            findings.unsupported("kind", message);
            None
        }
    }
}

/// Keys at the root of a file of GOST's version 2.
const OF_VERSION_2: &[&str] = &["ServeNodes", "ChainNodes", "Routes"];

fn gost(mut map: Map<String, Value>, into: &mut Documents, findings: &mut Findings) {
    let of_version_2 = |key: &&String| OF_VERSION_2.iter().any(|old| old.eq_ignore_ascii_case(key));
    if let Some(key) = map.keys().find(of_version_2) {
        let message = "this is a file of gost version 2: write each of its ServeNodes as -L and each of \
                       its ChainNodes as -F; adit convert -L .. -F .. prints the file of version 3";
        return findings.unsupported(key, message);
    }
    let log = top(&mut map, "log", &LOG, findings);
    let metrics = top(&mut map, "metrics", &METRICS, findings);
    into.log = log.or(into.log.take());
    into.metrics = metrics.or(into.metrics.take());
    let config = typed::<raw::Config>(Value::Object(map), &CONFIG, "", Reading::Lenient, findings);
    into.gost.extend(config.unwrap_or_default());
}

/// Takes what a file says of the process out of it.
fn top<T: serde::de::DeserializeOwned>(
    map: &mut Map<String, Value>,
    name: &str,
    shape: &Shape,
    findings: &mut Findings,
) -> Option<T> {
    let keys: Vec<String> = map.keys().filter(|k| k.eq_ignore_ascii_case(name)).cloned().collect();
    let mut values = keys.iter().filter_map(|key| map.remove(key));
    let value = values.next()?;
    if values.next().is_some() {
        findings.invalid(name, format!("{name} is given twice; keep one"));
    }
    typed(value, shape, name, Reading::Lenient, findings)
}

fn tunnel(mut map: Map<String, Value>, into: &mut Documents, findings: &mut Findings) -> String {
    let (namespace, name) = metadata(&map, findings);
    let spec = match map.remove("spec") {
        Some(Value::Object(spec)) => {
            typed::<raw::TunnelSpec>(Value::Object(spec), &TUNNEL, "", Reading::Strict, findings)
        }
        _ => {
            findings.invalid("spec", "the spec is missing");
            None
        }
    };
    let services = spec.iter().flat_map(|spec| &spec.config.services);
    for (i, _) in services.enumerate().filter(|(_, service)| service.name.is_empty()) {
        findings.invalid(&format!("services[{i}].name"), "the name is missing");
    }
    for key in map.keys() {
        if !["apiVersion", "kind", "metadata", "status"].contains(&key.as_str()) {
            let message = format!("unknown key `{key}` (ignored)");
            findings.warn(key, Reason::UnknownKey, message);
        }
    }
    let spec = spec.unwrap_or_default();
    let tunnel = TunnelDoc { namespace, name, spec };
    let title = tunnel.title();
    if into.tunnels.iter().any(|t| t.title() == title) {
        findings.invalid("metadata.name", "another WsTunnel has this namespace and name");
    }
    into.tunnels.push(tunnel);
    title
}

fn secret(map: Map<String, Value>, into: &mut Documents, findings: &mut Findings) -> String {
    let (namespace, name) = metadata(&map, findings);
    let title = format!("Secret {namespace}/{name}");
    // Whoever writes the file has the values.
    let kind = map.get("type").and_then(Value::as_str).unwrap_or_default();
    let mut data = SecretData { kind: kind.into(), shared: true, ..SecretData::default() };
    for (field, encoded) in [("data", true), ("stringData", false)] {
        let values = match map.get(field) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(values)) => values,
            Some(_) => {
                findings.invalid(field, "expected a map");
                continue;
            }
        };
        for (key, value) in values {
            let bytes = value.as_str().and_then(|text| match encoded {
                true => BASE64_STANDARD.decode(text.replace(['\n', '\r'], "")).ok(),
                false => Some(text.as_bytes().to_vec()),
            });
            match bytes {
                Some(bytes) => {
                    data.values.insert(key.clone(), Secret::new(bytes));
                }
                None => {
                    let what = if encoded { "base64; or use stringData" } else { "text; quote it" };
                    findings.invalid(&format!("{field}.{key}"), format!("the value is not {what}"));
                }
            }
        }
    }
    let state = SecretState::Known(Arc::new(data));
    if into.secrets.0.insert((namespace, name), state).is_some() {
        findings.invalid("metadata.name", "another Secret has this namespace and name");
    }
    title
}

/// Namespace and name of an object.
fn metadata(map: &Map<String, Value>, findings: &mut Findings) -> (String, String) {
    let text = |key: &str| {
        map.get("metadata").and_then(|m| m.get(key)).and_then(Value::as_str).unwrap_or_default()
    };
    let (namespace, name) = (text("namespace"), text("name"));
    if name.is_empty() {
        findings.invalid("metadata.name", "the name is missing");
    }
    let namespace = if namespace.is_empty() { DEFAULT_NAMESPACE } else { namespace };
    (namespace.into(), name.into())
}

/// A value in the shape of its type. `None` for nothing, and after an error.
fn typed<T: serde::de::DeserializeOwned>(
    value: Value,
    shape: &Shape,
    path: &str,
    reading: Reading,
    findings: &mut Findings,
) -> Option<T> {
    let errors = findings.errors.len();
    let value = walk(value, shape, path, reading, findings)?;
    if findings.errors.len() > errors {
        return None;
    }
    // The walk leaves only what the type accepts, but for numbers that do not fit.
    serde_json::from_value(value).map_err(|e| findings.invalid(path, e.to_string())).ok()
}

#[cfg(test)]
mod tests;
