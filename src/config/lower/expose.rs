//! `services[].expose`: which Services there shall be.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{LowerContext, Mode, addr};
use crate::base::Reason;
use crate::base::name::is_rfc1035_label;
use crate::config::error::Findings;
use crate::config::model::{ExposeConfig, ServiceType};
use crate::config::raw;

/// The exposures by the service's name, each checked by itself and against the others.
pub(super) fn lower_all(
    services: &[raw::Service],
    context: &LowerContext,
    findings: &mut Findings,
) -> BTreeMap<Arc<str>, ExposeConfig> {
    let mut exposures: BTreeMap<Arc<str>, ExposeConfig> = BTreeMap::new();
    let mut earlier: Vec<Earlier<'_>> = Vec::new();
    for (index, service) in services.iter().enumerate() {
        let Some(expose) = &service.expose else { continue };
        let path = format!("services[{index}].expose");
        if context.mode == Mode::Files {
            let message = "only the controller makes Services; here the service listens on addr";
            findings.warn(&path, Reason::Accepted, message);
        }
        let Some(config) = lower(service, expose, &path, context, findings) else { continue };
        for other in earlier.iter().filter(|other| other.config.service == config.service) {
            other.agrees(&config, &path, findings);
        }
        exposures.insert(service.name.as_str().into(), config.clone());
        earlier.push(Earlier { name: &service.name, config });
    }
    exposures
}

struct Earlier<'a> {
    name: &'a str,
    config: ExposeConfig,
}

impl Earlier<'_> {
    /// Services with one name are ports of one Service.
    fn agrees(&self, config: &ExposeConfig, path: &str, findings: &mut Findings) {
        let Self { name, config: other } = self;
        let of_one = format!("service {name:?} is a port of Service {:?} too", config.service);
        if other.port == config.port && other.udp == config.udp {
            let message = format!("{of_one}, the same one; write another port or name");
            findings.invalid(&format!("{path}.port"), message);
        }
        if other.kind != config.kind {
            let message = format!("{of_one}, of type {}; write the same", other.kind.as_str());
            findings.invalid(&format!("{path}.type"), message);
        }
        if other.traffic != config.traffic {
            let message = format!("{of_one}, with another policy; write the same");
            findings.invalid(&format!("{path}.externalTrafficPolicy"), message);
        }
        for (part, one, two) in [
            ("annotations", &other.annotations, &config.annotations),
            ("labels", &other.labels, &config.labels),
        ] {
            let differs =
                |(key, value): &(&String, &String)| one.get(*key).is_some_and(|v| v != *value);
            for (key, _) in two.iter().filter(differs) {
                let message = format!("{of_one}, with another value; write the same");
                findings.invalid(&format!("{path}.{part}[{key}]"), message);
            }
        }
    }
}

fn lower(
    service: &raw::Service,
    expose: &raw::Expose,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<ExposeConfig> {
    let errors = findings.errors.len();
    let kind = kind(&expose.kind, path, findings);
    let traffic = traffic(&expose.external_traffic_policy, kind, path, findings);
    let port = match expose.port {
        // What is wrong with addr is said at addr.
        None => addr::listen(&service.addr).ok().map(|addr| addr.port),
        Some(written) => u16::try_from(written).ok().filter(|port| *port > 0).or_else(|| {
            let message = format!("{written} is not a port; use a number from 1 to 65535");
            findings.invalid(&format!("{path}.port"), message);
            None
        }),
    };
    let name = name(service, expose, path, context, findings);
    let (kind, port, name) = (kind?, port?, name?);
    let listener = service.listener.as_ref().map_or("", |listener| listener.kind.as_str());
    (findings.errors.len() == errors).then(|| ExposeConfig {
        service: name.into(),
        kind,
        traffic,
        port,
        udp: listener == "udp",
        protocol: match listener {
            "ws" | "mws" => Some("kubernetes.io/ws"),
            "wss" | "mwss" => Some("kubernetes.io/wss"),
            _ => None,
        },
        annotations: expose.annotations.clone(),
        labels: expose.labels.clone(),
    })
}

fn kind(written: &str, path: &str, findings: &mut Findings) -> Option<ServiceType> {
    let at = format!("{path}.type");
    let written = if written.is_empty() { ServiceType::ClusterIp.as_str() } else { written };
    let kind = ServiceType::ALL.into_iter().find(|kind| kind.as_str() == written);
    if kind.is_none() {
        let types = ServiceType::ALL.map(ServiceType::as_str).join(", ");
        let message = format!("{written:?} is no type of a Service with endpoints; write {types}");
        findings.invalid(&at, message);
    }
    kind
}

fn traffic(
    written: &str,
    kind: Option<ServiceType>,
    path: &str,
    findings: &mut Findings,
) -> Option<&'static str> {
    let policy = match written {
        "" => return None,
        "Cluster" => "Cluster",
        "Local" => "Local",
        _ => {
            let message = format!("{written:?} is none of Cluster and Local");
            findings.invalid(&format!("{path}.externalTrafficPolicy"), message);
            return None;
        }
    };
    if kind == Some(ServiceType::ClusterIp) {
        let message = "type ClusterIP has no clients from outside; set type to NodePort or \
                       LoadBalancer, or leave it out";
        findings.invalid(&format!("{path}.externalTrafficPolicy"), message);
        return None;
    }
    Some(policy)
}

/// The Service's name. A file's GOST document has no name to begin one with.
fn name(
    service: &raw::Service,
    expose: &raw::Expose,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<String> {
    let made = format!("{}-{}", context.tunnel, service.name);
    let (name, by_default) = match expose.name.as_str() {
        "" if context.tunnel.is_empty() => return Some(made),
        "" => (made, true),
        name => (name.to_string(), false),
    };
    if is_rfc1035_label(&name) {
        return Some(name);
    }
    let advice = if by_default { "set expose.name" } else { "write another one" };
    let message = format!(
        "{name:?} is no name of a Service: at most 63 lower-case letters, digits and hyphens, a \
         letter first, no hyphen last; {advice}"
    );
    findings.invalid(&format!("{path}.name"), message);
    None
}
