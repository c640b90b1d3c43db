//! The class file: strict, since a key that is misread here opens a door.

mod limits;

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Class, Expose, Namespaces, Ports, Reserved, hosts};
use crate::base::name::{is_label, is_subdomain};
use crate::config::error::{ConfigErrors, Findings};
use crate::config::model::{Egress, Terms};

/// Types of listeners that a cluster has.
pub(super) const LISTENERS: &[&str] = &["ws", "wss", "mws", "mwss", "tcp", "tls", "udp"];
/// Types of handlers that a cluster has.
pub(super) const HANDLERS: &[&str] =
    &["auto", "http", "socks4", "socks5", "relay", "forward", "tcp", "udp"];
/// Types of Services.
const SERVICES: &[&str] = &["ClusterIP", "NodePort", "LoadBalancer"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with classes: a list of classes")]
struct RawFile {
    classes: Vec<Value>,
}

/// A class as it is written. Sections are read on their own, so that an error has its path.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a map with name")]
struct RawClass {
    #[serde(default)]
    name: String,
    default: Option<bool>,
    namespaces: Option<Value>,
    listeners: Option<Vec<String>>,
    handlers: Option<Vec<String>>,
    hostnames: Option<Vec<String>>,
    paths: Option<Vec<String>>,
    ports: Option<Value>,
    require_auth: Option<bool>,
    inline_credentials: Option<bool>,
    egress: Option<Value>,
    expose: Option<Value>,
    default_certificate: Option<Value>,
    limits: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a map with all: true, names or matchLabels"
)]
struct RawNamespaces {
    all: Option<bool>,
    names: Option<Vec<String>>,
    match_labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a map with bind and allocate")]
struct RawPorts {
    bind: Option<Value>,
    allocate: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a map with deny, allow and denyPrivate"
)]
struct RawEgress {
    #[serde(default)]
    deny: Vec<String>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny_private: bool,
}

#[derive(Default, Deserialize)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a map with types, annotations and labels"
)]
struct RawExpose {
    types: Option<Vec<String>>,
    #[serde(default)]
    annotations: Vec<String>,
    #[serde(default)]
    labels: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a map: {secret: NAME}")]
struct RawCertificate {
    #[serde(default)]
    secret: String,
}

/// Whether a pattern is one, or what to write.
type Check = fn(&str) -> Result<(), &'static str>;

/// The classes of all texts together.
pub(super) fn read<'a>(
    texts: impl IntoIterator<Item = (&'a str, &'a str)>,
    reserved: Reserved<'_>,
) -> Result<Vec<Arc<Class>>, ConfigErrors> {
    let mut all = Findings::default();
    let mut classes: Vec<(String, Class)> = Vec::new();
    for (name, text) in texts {
        let mut findings = Findings::default();
        let raw: Vec<Value> = match serde_yaml::from_str::<Value>(text) {
            Ok(value) => section::<RawFile>(Some(value), "", &mut findings)
                .map(|file| file.classes)
                .unwrap_or_default(),
            Err(error) => {
                findings.invalid("", format!("this is no YAML: {error}"));
                Vec::new()
            }
        };
        for (i, value) in raw.into_iter().enumerate() {
            let path = format!("classes[{i}]");
            if let Some(class) = class(value, &path, reserved, &mut findings) {
                classes.push((format!("{name}: {path}"), class));
            }
        }
        all.errors.extend(findings.errors.into_iter().map(|found| found.within(name)));
    }
    if classes.is_empty() && all.errors.is_empty() {
        all.invalid("classes", "there is no class: nobody would be served; write one");
    }
    together(&classes, &mut all);
    let classes = classes.into_iter().map(|(_, class)| Arc::new(class)).collect();
    all.into_result(classes).map(|(classes, _)| classes)
}

/// What no class can have that another has.
fn together(classes: &[(String, Class)], findings: &mut Findings) {
    for (i, (path, class)) in classes.iter().enumerate() {
        for (other_path, other) in classes.iter().take(i) {
            if class.name == other.name {
                let message = format!("{other_path} has the name {:?} too; rename one", class.name);
                findings.invalid(&format!("{path}.name"), message);
            }
            if class.default && other.default {
                let message = format!("{other_path} is the default already; leave it to one");
                findings.invalid(&format!("{path}.default"), message);
            }
            for (one, two, kind) in
                [(class.bind, other.allocate, "allocate"), (class.allocate, other.bind, "bind")]
            {
                if one.overlaps(two) {
                    let message = format!(
                        "{one} overlaps {two}, ports.{kind} of {other_path}: a port is either \
                         bound by tunnels or allocated; part them"
                    );
                    findings.invalid(&format!("{path}.ports"), message);
                }
            }
        }
    }
}

/// A section; what is wrong with it has the path of its field.
fn section<T: DeserializeOwned>(
    value: Option<Value>,
    path: &str,
    findings: &mut Findings,
) -> Option<T> {
    let value = value?;
    let error = match serde_json::from_value(value.clone()) {
        Ok(section) => return Some(section),
        Err(error) => error,
    };
    let before = findings.errors.len();
    // No field needs another one, so each can be read alone.
    for (key, value) in value.as_object().into_iter().flatten() {
        let alone = Value::Object([(key.clone(), value.clone())].into_iter().collect());
        let Err(error) = serde_json::from_value::<T>(alone) else { continue };
        let message = error.to_string();
        match message.starts_with("unknown field") {
            true => findings.invalid(path, message),
            false if path.is_empty() => findings.invalid(key, message),
            false => findings.invalid(&format!("{path}.{key}"), message),
        }
    }
    if findings.errors.len() == before {
        findings.invalid(path, error.to_string());
    }
    None
}

fn class(
    value: Value,
    path: &str,
    reserved: Reserved<'_>,
    findings: &mut Findings,
) -> Option<Class> {
    let raw: RawClass = section(Some(value), path, findings)?;
    let at = |field: &str| format!("{path}.{field}");
    if raw.name.is_empty() {
        findings.invalid(&at("name"), "the name is missing");
    }
    let base = Class::named(&raw.name);
    let (bind, allocate) = ports(raw.ports, &base, &at("ports"), reserved, findings);
    let limits = limits::read(raw.limits, &base, &at("limits"), findings);
    let expose: RawExpose = section(raw.expose, &at("expose"), findings).unwrap_or_default();
    let certificate = certificate(raw.default_certificate, &at("defaultCertificate"), findings);
    let lists = [
        (raw.listeners.as_deref(), "listeners", LISTENERS),
        (raw.handlers.as_deref(), "handlers", HANDLERS),
        (expose.types.as_deref(), "expose.types", SERVICES),
    ];
    for (written, field, known) in lists {
        for (i, name) in written.into_iter().flatten().enumerate() {
            if !known.contains(&name.as_str()) {
                let message = format!("{name:?} is none of {}", known.join(", "));
                findings.invalid(&at(&format!("{field}[{i}]")), message);
            }
        }
    }
    if let Some(handlers) = &raw.handlers {
        check_auto(handlers, &at("handlers"), findings);
    }
    let hostnames = raw.hostnames.unwrap_or_default();
    let hostnames: Vec<_> = hostnames.iter().map(|name| name.to_ascii_lowercase()).collect();
    let paths = raw.paths.unwrap_or_default();
    let checks: [(&[String], &str, Check); 2] =
        [(&hostnames, "hostnames", hosts::check_host), (&paths, "paths", hosts::check_path)];
    for (patterns, field, check) in checks {
        for (i, pattern) in patterns.iter().enumerate() {
            if let Err(fix) = check(pattern) {
                findings.invalid(&at(&format!("{field}[{i}]")), format!("{pattern:?}: {fix}"));
            }
        }
    }
    let terms = Terms {
        egress: egress(raw.egress, &at("egress"), findings),
        connections_of_tunnel: limits.connections_of_tunnel,
        connections_of_namespace: limits.connections_of_namespace,
        idle_timeout: limits.idle_timeout,
    };
    Some(Class {
        default: raw.default.unwrap_or(false),
        namespaces: namespaces(raw.namespaces, &at("namespaces"), findings),
        listeners: raw.listeners.unwrap_or(base.listeners),
        handlers: raw.handlers.unwrap_or(base.handlers),
        hostnames,
        paths,
        bind,
        allocate,
        require_auth: raw.require_auth.unwrap_or(base.require_auth),
        inline_credentials: raw.inline_credentials.unwrap_or(true),
        expose: Expose {
            types: expose.types.unwrap_or(base.expose.types),
            annotations: expose.annotations,
            labels: expose.labels,
        },
        default_certificate: certificate,
        limits: limits.of_class,
        terms: Arc::new(terms),
        name: base.name,
    })
}

/// `auto` without any of its protocols would end every stream.
fn check_auto(handlers: &[String], path: &str, findings: &mut Findings) {
    let has = |kinds: &[&str]| handlers.iter().any(|handler| kinds.contains(&handler.as_str()));
    if has(&["auto"]) && !has(&["http", "socks4", "socks5"]) {
        let message = "auto speaks http, socks4 and socks5, as far as they are listed beside it; \
                       add one of them, or remove auto";
        findings.invalid(path, message);
    }
}

/// Bind and allocate. Front and admin ports within `bind` are nobody's to claim anyway; one that
/// is allocated would be a service that never works.
fn ports(
    value: Option<Value>,
    base: &Class,
    path: &str,
    reserved: Reserved<'_>,
    findings: &mut Findings,
) -> (Ports, Ports) {
    let raw: RawPorts = section(value, path, findings).unwrap_or_default();
    let mut range = |value: Option<Value>, field: &str, default: Ports| {
        let Some(value) = value else { return default };
        let text = value.as_str().map_or_else(|| value.to_string(), Into::into);
        let range = text.parse::<Ports>();
        range.unwrap_or_else(|message| {
            findings.invalid(&format!("{path}.{field}"), message);
            default
        })
    };
    let bind = range(raw.bind, "bind", base.bind);
    let allocate = range(raw.allocate, "allocate", base.allocate);
    if bind.overlaps(allocate) {
        let message = format!(
            "bind {bind} overlaps allocate {allocate}: a port is of one of them; part them"
        );
        findings.invalid(path, message);
    }
    for port in reserved.fronts.iter().chain(&reserved.admin) {
        if allocate.contains(*port) {
            let message = format!(
                "{allocate} contains {port}, a front or admin port of the process; leave it out"
            );
            findings.invalid(&format!("{path}.allocate"), message);
        }
    }
    (bind, allocate)
}

fn namespaces(value: Option<Value>, path: &str, findings: &mut Findings) -> Namespaces {
    if value.is_none() {
        findings.invalid(
            path,
            "whom the class serves is missing: write all: true, names or matchLabels",
        );
        return Namespaces::Names(Vec::new());
    }
    let Some(raw) = section::<RawNamespaces>(value, path, findings) else {
        return Namespaces::Names(Vec::new());
    };
    match (raw.all, raw.names, raw.match_labels) {
        (Some(true), None, None) => Namespaces::All,
        (None | Some(false), Some(names), None) => {
            if names.is_empty() {
                findings.invalid(&format!("{path}.names"), "nobody would be served: write one");
            }
            for (i, name) in names.iter().enumerate().filter(|(_, name)| !is_label(name)) {
                let message = format!("{name:?} cannot be the name of a namespace: write one");
                findings.invalid(&format!("{path}.names[{i}]"), message);
            }
            Namespaces::Names(names)
        }
        (None | Some(false), None, Some(labels)) if !labels.is_empty() => {
            Namespaces::Labels(labels)
        }
        _ => {
            findings.invalid(path, "write one of all: true, names and matchLabels");
            Namespaces::Names(Vec::new())
        }
    }
}

fn certificate(value: Option<Value>, path: &str, findings: &mut Findings) -> Option<Arc<str>> {
    let RawCertificate { secret } = section(value, path, findings).unwrap_or_default();
    if secret.is_empty() {
        return None;
    }
    if !is_subdomain(&secret) {
        let message = format!("{secret:?} cannot be the name of a Secret: write one");
        findings.invalid(&format!("{path}.secret"), message);
    }
    Some(secret.into())
}

fn egress(value: Option<Value>, path: &str, findings: &mut Findings) -> Egress {
    let raw: RawEgress = section(value, path, findings).unwrap_or_default();
    let mut nets = |texts: Vec<String>, field: &str| {
        let mut nets = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            match text.parse::<IpNet>() {
                Ok(net) => nets.push(net),
                Err(_) => findings.invalid(
                    &format!("{path}.{field}[{i}]"),
                    format!("{text:?} is no CIDR: write it like 10.0.0.0/8"),
                ),
            }
        }
        nets
    };
    Egress {
        deny: nets(raw.deny, "deny"),
        allow: nets(raw.allow, "allow"),
        deny_private: raw.deny_private,
    }
}
