//! Forwarders: where handlers that do not ask send what they get.

use std::collections::BTreeSet;

use serde_json::json;

use super::chain::Routes;
use super::scope::Scope;
use super::{addr, endpoints, handler, selector};
use crate::config::envelope::Map;
use crate::config::error::Findings;
use crate::config::metadata::{Reader, keys, settle};
use crate::config::model::{ForwardConfig, ForwardNodeConfig, HopConfig};
use crate::config::raw;

/// `services[].forwarder`, which handler `kind` needs.
pub(super) fn lower(
    service: &raw::Service,
    kind: &str,
    path: &str,
    scope: &Scope,
    routes: &Routes,
    findings: &mut Findings,
) -> Option<ForwardConfig> {
    let path = format!("{path}.forwarder");
    let default = raw::Forwarder::default();
    let forwarder = service.forwarder.as_ref().unwrap_or(&default);
    // A port that is ours for streams is nobody's for datagrams.
    let none = BTreeSet::new();
    let ports = if handler::datagrams(service) { &none } else { &scope.loopback_ports };
    if !forwarder.hop.is_empty() {
        if !forwarder.nodes.is_empty() || forwarder.selector.is_some() {
            let message = "nodes and selector are those of the hop; keep `hop` or the others";
            findings.invalid(&path, message);
            return None;
        }
        let path = format!("{path}.hop");
        let hop = routes.hops.find(&forwarder.hop, &path, findings)?;
        return of_hop(&hop, &path, ports, scope, findings);
    }
    if forwarder.nodes.is_empty() {
        let message = format!("handler {kind} needs a forwarder with a node: its target");
        findings.invalid(&path, message);
        return None;
    }
    let selector = selector::lower(forwarder.selector.as_ref(), &path, findings);
    // A relay forwards both.
    let udp = (kind != "relay").then(|| handler::datagrams(service));
    let mut nodes = Vec::new();
    for (i, node) in forwarder.nodes.iter().enumerate() {
        let path = format!("{path}.nodes[{i}]");
        nodes.push(lower_node(node, i, &path, (ports, udp), scope, findings));
    }
    let nodes: Option<Vec<_>> = nodes.into_iter().collect();
    Some(ForwardConfig { selector: selector?, nodes: nodes?.concat() })
}

fn lower_node(
    node: &raw::ForwardNode,
    index: usize,
    path: &str,
    (ports, udp): (&BTreeSet<u16>, Option<bool>),
    scope: &Scope,
    findings: &mut Findings,
) -> Option<Vec<ForwardNodeConfig>> {
    let errors = findings.errors.len();
    let addr_path = format!("{path}.addr");
    let targets = match &node.service_ref {
        Some(reference) => {
            let found = endpoints::lower(reference, &node.addr, path, udp, scope.context, findings);
            found.map(|found| found.targets)
        }
        None => addr::lower_target(&node.addr, &addr_path, scope.context, ports, findings)
            .map(|target| vec![target]),
    };
    let mut metadata = Reader::new(&node.metadata, format!("{path}.metadata"), findings).of(
        Map::Node,
        scope.context.limits,
        findings,
    );
    metadata.lacks(keys::NODE);
    let standing = selector::standing(&mut metadata, findings);
    settle(&[metadata], || json!(node), findings);
    let bypasses = scope.bypasses(&node.bypass, &node.bypasses, path, findings);
    let name = if node.name.is_empty() { format!("target-{index}") } else { node.name.clone() };
    let one = |target| ForwardNodeConfig {
        name: name.clone(),
        target,
        bypasses: bypasses.clone(),
        standing: standing.clone(),
    };
    let nodes = targets?.into_iter().map(one).collect();
    (findings.errors.len() == errors).then_some(nodes)
}

/// A named hop, whose nodes are targets here.
fn of_hop(
    hop: &HopConfig,
    path: &str,
    ports: &BTreeSet<u16>,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<ForwardConfig> {
    if !hop.bypasses.is_empty() {
        let message =
            "a bypass of the hop itself is not supported for targets; put it on its nodes";
        findings.unsupported(path, message);
        return None;
    }
    let mut may = true;
    let nodes = hop.nodes.iter().map(|node| {
        may &= addr::may_dial(&node.addr, path, scope.context, ports, findings);
        if node.addr.port == 0 {
            findings.invalid(path, "a node of the hop has no address to forward to");
            may = false;
        }
        ForwardNodeConfig {
            name: node.name.clone(),
            target: node.addr.clone(),
            bypasses: node.bypasses.clone(),
            standing: node.standing.clone(),
        }
    });
    let nodes = nodes.collect();
    may.then(|| ForwardConfig { selector: hop.selector.clone(), nodes })
}
