//! Services.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::references::Named;
use super::{LowerContext, Mode, addr, handler, listener};
use crate::base::{Host, Reason};
use crate::config::error::Findings;
use crate::config::metadata::{Reader, keys, settle};
use crate::config::model::{ChainConfig, HandlerConfig, ServiceConfig, Users};
use crate::config::raw;

/// What services refer to.
pub(super) struct Scope<'a> {
    pub(super) context: &'a LowerContext<'a>,
    pub(super) chains: &'a Named<Arc<ChainConfig>>,
    pub(super) authers: &'a Named<Arc<Users>>,
    pub(super) loopback_ports: &'a BTreeSet<u16>,
}

/// `services`.
pub(super) fn lower_all(
    services: &[raw::Service],
    scope: &Scope,
    findings: &mut Findings,
) -> Vec<ServiceConfig> {
    let names = names(services, scope.context, findings);
    let services = services.iter().zip(&names).enumerate();
    services.filter_map(|(i, (service, name))| lower(service, name, i, scope, findings)).collect()
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
        } else if context.mode == Mode::Controller && !is_dns_label(name) {
            let message = format!(
                "{name:?} is not a DNS label: at most 63 lower-case letters, digits and hyphens"
            );
            findings.invalid(&path, message);
        }
        names.push(name.into());
    }
    names
}

fn is_dns_label(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    name.len() <= 63 && name.bytes().all(legal) && !name.starts_with('-') && !name.ends_with('-')
}

fn lower(
    service: &raw::Service,
    name: &str,
    index: usize,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<ServiceConfig> {
    let path = format!("services[{index}]");
    let errors = findings.errors.len();
    let warnings = findings.warnings.len();
    let raw_handler = service.handler.clone().unwrap_or_default();
    let raw_listener = service.listener.clone().unwrap_or_default();
    let mut reader = |map, part: &str| Reader::new(map, format!("{path}{part}.metadata"), findings);
    let mut of_listener = reader(&raw_listener.metadata, ".listener");
    let mut of_handler = reader(&raw_handler.metadata, ".handler");
    let mut of_service = reader(&service.metadata, "");
    of_service.lacks(keys::SERVICE);

    let addr_path = format!("{path}.addr");
    let listen = addr::lower_listen(&service.addr, &addr_path, scope.context, findings);
    let listener = listener::lower(service, &path, &mut of_listener, scope.context, findings);
    let handler = handler::lower(service, &raw_handler, &path, &mut of_handler, scope, findings);
    let chain = chain(&raw_handler, &path, scope, findings);
    let retries = retries(&raw_handler, &path, findings);
    if listener.is_some() && handler.is_some() {
        settle(&[of_listener, of_handler, of_service], findings);
    }
    let (listen, listener, handler) = (listen?, listener?, handler?);
    let chain = chain?;
    let on_loopback = matches!(&listen.host, Some(Host::Ip(ip)) if ip.is_loopback());
    if is_open(&handler) && !on_loopback {
        let message = "an open proxy: whoever reaches it goes anywhere; add auth or an auther";
        findings.warn(&format!("{path}.handler"), Reason::Accepted, message);
    }
    // Without the path: a service that only moved in its list has not changed.
    let warnings = findings.warnings.iter().skip(warnings).map(|w| w.message.clone()).collect();
    (findings.errors.len() == errors).then(|| ServiceConfig {
        name: name.into(),
        listen,
        listener,
        handler,
        chain,
        retries,
        warnings,
    })
}

/// A proxy that asks nobody who they are.
fn is_open(handler: &HandlerConfig) -> bool {
    match handler {
        HandlerConfig::Auto(http) | HandlerConfig::Http(http) => http.users.is_none(),
        HandlerConfig::Forward(_) => false,
    }
}

fn chain(
    handler: &raw::Handler,
    path: &str,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<Arc<ChainConfig>> {
    if handler.chain.is_empty() {
        return Some(Arc::default());
    }
    scope.chains.find(&handler.chain, &format!("{path}.handler.chain"), findings)
}

fn retries(handler: &raw::Handler, path: &str, findings: &mut Findings) -> u32 {
    let retries = handler.retries.unwrap_or_default();
    u32::try_from(retries).unwrap_or_else(|_| {
        findings.invalid(&format!("{path}.handler.retries"), "a number of retries is not negative");
        0
    })
}
