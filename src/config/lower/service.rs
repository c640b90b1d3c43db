//! Services.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::chain::Routes;
use super::scope::Scope;
use super::{LowerContext, Mode, addr, circle, handler, listener};
use crate::base::name::is_label;
use crate::base::{Host, Reason};
use crate::config::defaults;
use crate::config::envelope::Map;
use crate::config::error::Findings;
use crate::config::metadata::{Reader, SignedDuration, keys, settle};
use crate::config::model::{Gates, ListenerConfig, Origins, ServiceConfig};
use crate::config::raw;

/// A service, and where what it refers to was written.
pub(super) struct LoweredService {
    pub(super) name: String,
    /// `None` after an error.
    pub(super) config: Option<ServiceConfig>,
    paths: Vec<String>,
}

impl LoweredService {
    /// Whether what is at a path has to do with the service.
    pub(super) fn touches(&self, path: &str) -> bool {
        self.paths.iter().any(|own| {
            path.strip_prefix(own.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// `services`.
pub(super) fn lower_all(
    services: &[raw::Service],
    scope: &Scope,
    routes: &Routes,
    findings: &mut Findings,
) -> Vec<LoweredService> {
    let names = names(services, scope.context, findings);
    let services = services.iter().zip(names).enumerate();
    let each = services.map(|(i, (service, name))| {
        findings.touched.clear();
        let config = lower(service, &name, i, scope, routes, findings);
        let mut paths = std::mem::take(&mut findings.touched);
        paths.push(format!("services[{i}]"));
        LoweredService { name, config, paths }
    });
    each.collect()
}

/// The services' names: unique, made up where a file has none.
fn names(
    services: &[raw::Service],
    context: &LowerContext,
    findings: &mut Findings,
) -> Vec<String> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut names = Vec::new();
    for (i, service) in services.iter().enumerate() {
        let path = format!("services[{i}].name");
        let name = service.name.as_str();
        if name.is_empty() && context.mode == Mode::Controller {
            findings.invalid(&path, "the name is missing");
        } else if name.is_empty() {
            let free = |n: &String| services.iter().all(|s| s.name != *n) && !names.contains(n);
            let name = (i..).map(|n| format!("service-{n}")).find(free).unwrap_or_default();
            let message = format!("GOST would not serve a service without a name; it is {name:?}");
            findings.warn(&path, Reason::Accepted, message);
            names.push(name);
            continue;
        } else if let Some(first) = seen.insert(name, i) {
            let message = format!("services[{first}] has the name {name:?} too; names are unique");
            findings.invalid(&path, message);
        } else if context.mode == Mode::Controller && !is_label(name) {
            let message = format!(
                "{name:?} is not a DNS label: at most 63 lower-case letters, digits and hyphens"
            );
            findings.invalid(&path, message);
        }
        names.push(name.into());
    }
    names
}

fn lower(
    service: &raw::Service,
    name: &str,
    index: usize,
    scope: &Scope,
    routes: &Routes,
    findings: &mut Findings,
) -> Option<ServiceConfig> {
    let path = format!("services[{index}]");
    let (errors, broken) = (findings.errors.len(), findings.broken);
    let warnings = findings.warnings.len();
    let raw_handler = service.handler.clone().unwrap_or_default();
    let raw_listener = service.listener.clone().unwrap_or_default();
    let limits = scope.context.limits;
    let mut reader = |map, kind, part: &str| {
        Reader::new(map, format!("{path}{part}.metadata"), findings).of(kind, limits, findings)
    };
    let mut of_listener = reader(&raw_listener.metadata, Map::Listener, ".listener");
    let mut of_handler = reader(&raw_handler.metadata, Map::Handler, ".handler");
    let mut of_service = reader(&service.metadata, Map::Service, "");
    of_service.lacks(keys::SERVICE);

    let addr_path = format!("{path}.addr");
    let listen = addr::lower_listen(&service.addr, &addr_path, scope.context, findings);
    let outer = listener::Outer {
        proxy_protocol: of_service.count(&["proxyProtocol"], findings).is_some(),
    };
    let dial_timeout = dial_timeout(&mut of_service, findings);
    let both = (scope, routes);
    let listener = listener::lower(service, &path, outer, &mut of_listener, both, findings);
    let handler = handler::lower(service, &raw_handler, &path, &mut of_handler, both, findings);
    let chain_path = format!("{path}.handler.chain");
    let chain = match raw_handler.chain.as_str() {
        "" => Some(Arc::default()),
        name => routes.chains.find(name, &chain_path, findings),
    };
    let retries = retries(&raw_handler, &path, findings);
    let names = scope.names(&service.hosts, &service.resolver, &path, findings);
    let gates = gates(service, &path, scope, findings);
    if listener.is_some() && handler.is_some() {
        settle(&[of_listener, of_handler, of_service], || json!(service), findings);
    }
    let (listen, mut listener, handler, chain) = (listen?, listener?, handler?, chain?);
    // As GOST, where a page would have to know a password; a cluster's listener names its pages.
    if let ListenerConfig::Ws(ws) = &mut listener
        && ws.origins == Origins::default()
        && handler.asks_for_users()
        && scope.context.mode != Mode::Controller
    {
        ws.origins = Origins::Any;
    }
    let on_loopback = matches!(&listen.host, Some(Host::Ip(ip)) if ip.is_loopback());
    let tenant = scope.context.mode == Mode::Controller;
    let is_open = if tenant { handler.lacks_users() } else { handler.is_open() && !on_loopback };
    if is_open {
        let kind = if handler.is_open() {
            "an open proxy: whoever reaches it goes anywhere"
        } else {
            "no users: whoever reaches it goes to its targets"
        };
        let why = if tenant { ", which a class requires by default" } else { "" };
        let message = format!("{kind}; add auth or an auther{why}");
        findings.warn(&format!("{path}.handler"), Reason::Accepted, message);
    }
    // Without the path: a service that only moved in its list has not changed.
    let warnings = findings.warnings.iter().skip(warnings).map(|w| w.message.clone()).collect();
    // A reference to what has errors of its own is none that could be left out.
    let sound = findings.errors.len() == errors && findings.broken == broken;
    let config = ServiceConfig {
        name: name.into(),
        listen,
        listener,
        handler,
        chain,
        retries,
        dial_timeout,
        names,
        gates,
        warnings,
    };
    circle::check(&config, &path, findings);
    (sound && findings.errors.len() == errors).then_some(config)
}

/// GOST: negative is none, zero is the default.
fn dial_timeout(metadata: &mut Reader, findings: &mut Findings) -> Option<Duration> {
    match metadata.signed_duration(&["dialTimeout"], findings) {
        Some(SignedDuration::Negative) => None,
        Some(SignedDuration::Positive(timeout)) if !timeout.is_zero() => Some(timeout),
        _ => Some(defaults::DIAL_TIMEOUT),
    }
}

/// What stands before the handler.
fn gates(service: &raw::Service, path: &str, scope: &Scope, findings: &mut Findings) -> Gates {
    let admissions = scope.admissions.find_all(
        (&service.admission, "admission"),
        (&service.admissions, "admissions"),
        path,
        findings,
    );
    let at = |key: &str| format!("{path}.{key}");
    Gates {
        admissions,
        bypasses: scope.bypasses(&service.bypass, &service.bypasses, path, findings),
        traffic: scope.traffic.find_if(&service.limiter, &at("limiter"), findings),
        connections: scope.connections.find_if(&service.climiter, &at("climiter"), findings),
        requests: scope.requests.find_if(&service.rlimiter, &at("rlimiter"), findings),
    }
}

fn retries(handler: &raw::Handler, path: &str, findings: &mut Findings) -> u32 {
    let retries = handler.retries.unwrap_or_default();
    u32::try_from(retries).unwrap_or_else(|_| {
        findings.invalid(&format!("{path}.handler.retries"), "a number of retries is not negative");
        0
    })
}
