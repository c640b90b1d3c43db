//! Chains, their hops and the nodes of these.

use std::sync::Arc;

use serde_json::json;

use super::endpoints::{self, Endpoints};
use super::references::Named;
use super::scope::Scope;
use super::{addr, connector, dialer, selector};
use crate::base::Target;
use crate::config::envelope::Map;
use crate::config::error::Findings;
use crate::config::metadata::{Reader, keys, settle};
use crate::config::model::{ChainConfig, ConnectorConfig, HopConfig, Names, NodeConfig};
use crate::config::raw;

/// What `chains` and `hops` give.
pub(super) struct Routes {
    pub(super) chains: Named<Arc<ChainConfig>>,
    pub(super) hops: Named<HopConfig>,
}

/// `hops` and `chains`.
pub(super) fn lower_all(config: &raw::Config, scope: &Scope, findings: &mut Findings) -> Routes {
    let mut of_hops = Findings::default();
    let mut hops = Named::new("hop");
    for (i, hop) in config.hops.iter().enumerate() {
        let path = format!("hops[{i}]");
        let lowered = lower_hop(hop, i, &path, scope, &mut of_hops);
        hops.add(&hop.name, lowered, &path, &mut of_hops);
    }
    let mut chains = Named::new("chain");
    for (i, chain) in config.chains.iter().enumerate() {
        let path = format!("chains[{i}]");
        let lowered = lower_chain(chain, &path, &hops, scope, findings);
        chains.add(&chain.name, lowered.map(Arc::new), &path, findings);
    }
    findings.append(of_hops);
    Routes { chains, hops }
}

fn lower_chain(
    chain: &raw::Chain,
    path: &str,
    named: &Named<HopConfig>,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<ChainConfig> {
    if chain.hops.is_empty() {
        let message = "the chain has no hops; to dial directly, do not refer to a chain";
        findings.invalid(&format!("{path}.hops"), message);
        return None;
    }
    let mut complete = true;
    let mut hops: Vec<HopConfig> = Vec::new();
    // The first hop is dialled from here, the others by the one before them. A direct node is no hop:
    // what follows it may be dialled from here too.
    let mut from_here = true;
    for (i, written) in chain.hops.iter().enumerate() {
        let path = format!("{path}.hops[{i}]");
        let hop = match &written.nodes {
            None if written.name.is_empty() => {
                findings.invalid(&path, "the hop has neither nodes nor the name of a hop");
                None
            }
            None => named.find(&written.name, &format!("{path}.name"), findings),
            Some(_) => lower_hop(written, i, &path, scope, findings),
        };
        let hop = hop.filter(|hop| {
            let inline = written.nodes.is_some();
            !from_here || may_dial(hop, inline, &path, scope, findings)
        });
        complete &= hop.is_some();
        let is_direct = |node: &Arc<NodeConfig>| node.connector == ConnectorConfig::Direct;
        from_here &= hop.as_ref().is_none_or(|hop| hop.nodes.iter().any(is_direct));
        hops.extend(hop);
    }
    complete.then(|| ChainConfig { name: chain.name.clone(), hops })
}

fn may_dial(
    hop: &HopConfig,
    inline: bool,
    path: &str,
    scope: &Scope,
    findings: &mut Findings,
) -> bool {
    let mut may = true;
    for (i, node) in hop.nodes.iter().enumerate() {
        // It dials the target, not its own address.
        if node.connector == ConnectorConfig::Direct {
            continue;
        }
        let path = if inline { format!("{path}.nodes[{i}].addr") } else { format!("{path}.name") };
        let (context, ports) = (scope.context, &scope.loopback_ports);
        may &= addr::may_dial(&node.addr, &path, context, ports, findings);
    }
    may
}

/// A hop with nodes of its own, the `index`th of its list.
fn lower_hop(
    hop: &raw::Hop,
    index: usize,
    path: &str,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<HopConfig> {
    let (errors, broken) = (findings.errors.len(), findings.broken);
    let selector = selector::lower(hop.selector.as_ref(), path, findings);
    let bypasses = scope.bypasses(&hop.bypass, &hop.bypasses, path, findings);
    let names = scope.names(&hop.hosts, &hop.resolver, path, findings);
    let written = hop.nodes.as_deref().unwrap_or_default();
    if written.is_empty() {
        findings.invalid(&format!("{path}.nodes"), "the hop has no nodes; it needs one");
    }
    let nodes = written
        .iter()
        .enumerate()
        .filter_map(|(i, node)| lower_node(node, i, (hop, &names), path, scope, findings));
    let nodes = nodes.flatten().collect();
    let name = if hop.name.is_empty() { format!("hop-{index}") } else { hop.name.clone() };
    let selector = selector?;
    let sound = findings.errors.len() == errors && findings.broken == broken;
    sound.then_some(HopConfig { name, selector, bypasses, nodes })
}

fn lower_node(
    node: &raw::Node,
    index: usize,
    (hop, hop_names): (&raw::Hop, &Names),
    hop_path: &str,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<Vec<Arc<NodeConfig>>> {
    let path = format!("{hop_path}.nodes[{index}]");
    let errors = findings.errors.len();
    let (dialer, connector) =
        (node.dialer.clone().unwrap_or_default(), node.connector.clone().unwrap_or_default());
    let limits = scope.context.limits;
    let mut reader = |map, kind, part: &str| {
        Reader::new(map, format!("{part}.metadata"), findings).of(kind, limits, findings)
    };
    let mut of_hop = reader(&hop.metadata, Map::Hop, hop_path);
    let mut of_node = reader(&node.metadata, Map::Node, &path);
    let connector_path = format!("{path}.connector");
    let mut of_connector = reader(&connector.metadata, Map::Connector, &connector_path);
    let mut of_dialer = reader(&dialer.metadata, Map::Dialer, &format!("{path}.dialer"));
    of_hop.lacks(keys::NODE);
    of_hop.lacks(keys::HOP);
    of_node.lacks(keys::NODE);
    let found = match &node.service_ref {
        Some(reference) => {
            endpoints::lower(reference, &node.addr, &path, Some(false), scope.context, findings)
        }
        None => node_addr(node, &connector, &format!("{path}.addr"), findings)
            .map(|addr| Endpoints { named: addr.clone(), targets: vec![addr] }),
    };
    // What it is called: for the Host header, and for the name in TLS.
    let addr_text = match (&node.service_ref, &found) {
        (Some(_), Some(found)) => found.named.to_string(),
        _ => node.addr.clone(),
    };
    let lowered_connector =
        connector::lower(&connector, &connector_path, &mut of_connector, scope, findings);
    let dialer_path = format!("{path}.dialer");
    if matches!(dialer.kind.as_str(), "direct" | "virtual") && !is_direct(&connector) {
        let message = format!("dialer {} goes with connector direct only", dialer.kind);
        findings.invalid(&format!("{dialer_path}.type"), message);
    }
    let addrs = (addr_text.as_str(), found.as_ref().map(|found| &found.named));
    let lowered_dialer =
        dialer::lower(&dialer, &dialer_path, addrs, &mut of_dialer, scope, findings);
    let standing = selector::standing(&mut of_node, findings);
    let bypasses = scope.bypasses(&node.bypass, &node.bypasses, &path, findings);
    let own = scope.names(&node.hosts, &node.resolver, &path, findings);
    let names = Names {
        hosts: own.hosts.or_else(|| hop_names.hosts.clone()),
        resolver: own.resolver.or_else(|| hop_names.resolver.clone()),
    };
    let (Some(found), Some(connector), Some(dialer)) = (found, lowered_connector, lowered_dialer)
    else {
        return None;
    };
    let beside = || json!([node, hop]);
    settle(&[of_dialer, of_connector, of_node, of_hop], beside, findings);
    let name = if node.name.is_empty() { format!("node-{index}") } else { node.name.clone() };
    let one = |addr| NodeConfig {
        name: name.clone(),
        addr,
        addr_text: addr_text.clone(),
        dialer: dialer.clone(),
        connector: connector.clone(),
        bypasses: bypasses.clone(),
        names: names.clone(),
        standing: standing.clone(),
    };
    let one = |addr| Arc::new(one(addr));
    let nodes = found.targets.into_iter().map(one).collect();
    (findings.errors.len() == errors).then_some(nodes)
}

fn is_direct(connector: &raw::Connector) -> bool {
    matches!(connector.kind.as_str(), "direct" | "virtual")
}

/// `nodes[].addr`. Nobody dials that of a `direct` node, so it may be anything.
fn node_addr(
    node: &raw::Node,
    connector: &raw::Connector,
    path: &str,
    findings: &mut Findings,
) -> Option<Target> {
    if is_direct(connector) {
        return Some(node.addr.parse().unwrap_or(Target { host: None, port: 0 }));
    }
    addr::parse_target(&node.addr, path, findings)
}
