//! `serviceRef`: a Service instead of an address, and the endpoints behind it.

use std::net::SocketAddr;

use super::{LowerContext, Mode, nodes};
use crate::base::name::is_label;
use crate::base::shell::quoted;
use crate::base::{Host, Reason, Target};
use crate::config::error::Findings;
use crate::config::raw::{PortRef, ServiceRef};
use crate::config::services::{ServicePort, ServiceState};

/// What stands for the address of a node.
pub(super) struct Endpoints {
    /// The Service's own name and port.
    pub(super) named: Target,
    /// Its ready endpoints. Without any it is the name, whose dial says what is the matter.
    pub(super) targets: Vec<Target>,
}

/// The endpoints of a Service of the tunnel's namespace. They are dialled themselves and not by way
/// of the cluster's address: so one that fails is seen, and headless Services work. `udp`: whether
/// datagrams are sent there, where only one of both is.
pub(super) fn lower(
    reference: &ServiceRef,
    addr: &str,
    path: &str,
    udp: Option<bool>,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Endpoints> {
    let path = format!("{path}.serviceRef");
    let (name, namespace) = (reference.name.as_str(), context.namespace);
    if !addr.is_empty() {
        findings.invalid(&path, "addr stands beside serviceRef; keep one form");
        return None;
    }
    if context.mode == Mode::Files {
        let message = "only the controller follows Services; write addr";
        findings.unsupported(&path, message);
        return None;
    }
    if name.is_empty() {
        findings.invalid(&format!("{path}.name"), "the Service's name is missing");
        return None;
    }
    if !is_label(name) {
        let message = format!(
            "{name:?} cannot be the name of a Service: write at most 63 lower-case letters, digits \
             and hyphens, as its metadata.name has them"
        );
        findings.invalid(&format!("{path}.name"), message);
        return None;
    }
    if reference.port == PortRef::default() {
        findings.invalid(&format!("{path}.port"), "write the Service's port, by number or name");
        return None;
    }
    if let PortRef::Name(port) = &reference.port
        && !is_label(port)
    {
        let message = format!(
            "{port:?} cannot be the name of a Service's port: write at most 63 lower-case letters, \
             digits and hyphens, or its number"
        );
        findings.invalid(&format!("{path}.port"), message);
        return None;
    }
    let ports = match context.services.map(|services| services.find(namespace, name)) {
        Some(ServiceState::Known(ports)) => ports,
        Some(ServiceState::Unread(why)) => {
            findings.error(&path, Reason::Pending, format!("Service {name:?} is not known: {why}"));
            return None;
        }
        Some(ServiceState::External(other)) => {
            let message = format!(
                "Service {name:?} is of type ExternalName and has no endpoints; write addr: \
                 \"{other}:{}\" instead of serviceRef",
                reference.port
            );
            findings.error(&path, Reason::ServiceNotFound, message);
            return None;
        }
        None | Some(ServiceState::Missing) => {
            let message = format!(
                "Service {name:?} does not exist in namespace {namespace:?}, or has no port; see \
                 kubectl get services -n {}",
                quoted(namespace)
            );
            findings.error(&path, Reason::ServiceNotFound, message);
            return None;
        }
    };
    let meant = ports.iter().filter(|port| port.is(&reference.port));
    let fits = |port: &&ServicePort| udp.is_none_or(|udp| port.udp == udp);
    let Some(port) = meant.clone().find(fits) else {
        if meant.count() > 0 {
            let (has, takes, listener) = match udp {
                Some(true) => ("TCP", "datagrams", "tcp"),
                _ => ("UDP", "TCP streams", "udp"),
            };
            let message = format!(
                "port {} of Service {name:?} is {has}, and this service forwards {takes}: name another \
                 port, or use listener and handler {listener}",
                reference.port
            );
            findings.error(&format!("{path}.port"), Reason::ServiceNotFound, message);
            return None;
        }
        let known = ports.iter().map(|port| {
            let protocol = if port.udp { "/UDP" } else { "" };
            match port.name.as_str() {
                "" => format!("{}{protocol}", port.number),
                name => format!("{}{protocol} ({name})", port.number),
            }
        });
        let known = known.collect::<Vec<_>>().join(", ");
        let message = format!("Service {name:?} has no port {}; known: {known}", reference.port);
        findings.error(&format!("{path}.port"), Reason::ServiceNotFound, message);
        return None;
    };
    let host = Host::Name(format!("{name}.{namespace}.svc"));
    let named = Target { host: Some(host), port: port.number };
    let chosen = nodes::chosen(&port.ready, context.endpoints, &named.to_string());
    if chosen.len() < port.ready.len() {
        let message = format!(
            "Service {name:?} has {} ready endpoints on port {}; {} of them are nodes",
            port.ready.len(),
            reference.port,
            chosen.len()
        );
        findings.warn(&path, Reason::Accepted, message);
    }
    let target = |addr: SocketAddr| Target { host: Some(Host::Ip(addr.ip())), port: addr.port() };
    let mut targets: Vec<_> = chosen.into_iter().map(target).collect();
    if targets.is_empty() {
        let message = format!("Service {name:?} has no ready endpoint on port {}", reference.port);
        findings.warn(&path, Reason::Accepted, message);
        targets.push(named.clone());
    }
    Some(Endpoints { named, targets })
}
