//! What a configuration does, so that two ways to write it can be compared.

use std::sync::Arc;

use crate::config::error::ConfigErrors;
use crate::config::lower::{LowerContext, Lowered, lower};
use crate::config::model::{Bypass, HandlerConfig, ServiceConfig};
use crate::config::raw;
use crate::config::secrets::Secrets;

/// The services of a configuration, without what is only a name, and how many warnings they draw.
///
/// # Errors
/// As [`lower`]. Files are not read: see [`without_tls`].
pub(super) fn meaning(config: &raw::Config) -> Result<(Vec<ServiceConfig>, usize), ConfigErrors> {
    let secrets = Secrets::default();
    let Lowered { services, warnings, .. } =
        lower(config, &LowerContext::files("default", &secrets))?;
    Ok((services.into_iter().map(nameless).collect(), warnings.len()))
}

/// A service without names and warnings.
pub(super) fn nameless(mut service: ServiceConfig) -> ServiceConfig {
    service.name = "".into();
    service.warnings.clear();
    let mut chain = service.chain.as_ref().clone();
    chain.name.clear();
    for hop in &mut chain.hops {
        hop.name.clear();
        unnamed(&mut hop.bypasses);
        for node in &mut hop.nodes {
            let node = Arc::make_mut(node);
            node.name.clear();
            unnamed(&mut node.bypasses);
        }
    }
    service.chain = Arc::new(chain);
    for admission in &mut service.gates.admissions {
        Arc::make_mut(admission).name.clear();
    }
    unnamed(&mut service.gates.bypasses);
    let to = match &mut service.handler {
        HandlerConfig::Forward(forward) => Some(&mut forward.to),
        HandlerConfig::Relay(relay) => relay.forward.as_mut(),
        HandlerConfig::Auto(_)
        | HandlerConfig::Http(_)
        | HandlerConfig::Socks4(_)
        | HandlerConfig::Socks5(_) => None,
    };
    for node in to.into_iter().flat_map(|to| &mut Arc::make_mut(to).nodes) {
        node.name.clear();
        unnamed(&mut node.bypasses);
    }
    service
}

fn unnamed(bypasses: &mut [Arc<Bypass>]) {
    for bypass in bypasses {
        Arc::make_mut(bypass).name.clear();
    }
}

/// A configuration without TLS, whose files need not be here. A TLS type goes on without it.
pub(super) fn without_tls(mut config: raw::Config) -> raw::Config {
    config.tls = None;
    for listener in config.services.iter_mut().filter_map(|s| s.listener.as_mut()) {
        listener.tls = None;
    }
    each_node(&mut config, |node| node.dialer.iter_mut().for_each(|dialer| dialer.tls = None));
    config
}

/// A configuration of types, addresses and metadata only, where every chain and hop is in use: what
/// keys of metadata mean depends on nothing else.
pub(super) fn skeleton(config: &raw::Config) -> raw::Config {
    let config = without_tls(config.clone());
    let bare_hop = |hop: &raw::Hop| raw::Hop {
        name: hop.name.clone(),
        nodes: hop.nodes.as_ref().map(|nodes| nodes.iter().map(bare_node).collect()),
        metadata: hop.metadata.clone(),
        ..raw::Hop::default()
    };
    let mut services: Vec<_> = config.services.iter().map(bare_service).collect();
    let mut chains: Vec<raw::Chain> = Vec::new();
    for chain in &config.chains {
        let hops = chain.hops.iter().map(bare_hop).collect();
        chains.push(raw::Chain { name: chain.name.clone(), hops });
    }
    let references = config.hops.iter().enumerate().map(|(i, hop)| raw::Chain {
        // No name can have a colon: it would be no reference of the configuration's own.
        name: format!("hop:{i}"),
        hops: vec![raw::Hop { name: hop.name.clone(), ..raw::Hop::default() }],
    });
    chains.extend(references);
    let users = chains.iter().enumerate().map(|(i, chain)| raw::Service {
        name: format!("chain:{i}"),
        addr: ":1".into(),
        handler: Some(raw::Handler {
            kind: "http".into(),
            chain: chain.name.clone(),
            ..raw::Handler::default()
        }),
        ..raw::Service::default()
    });
    services.extend(users);
    let hops = config.hops.iter().map(bare_hop).collect();
    raw::Config { services, chains, hops, ..raw::Config::default() }
}

fn bare_service(service: &raw::Service) -> raw::Service {
    let handler = service.handler.as_ref().map(|handler| raw::Handler {
        kind: handler.kind.clone(),
        chain: handler.chain.clone(),
        metadata: handler.metadata.clone(),
        ..raw::Handler::default()
    });
    let bare_target = |node: &raw::ForwardNode| raw::ForwardNode {
        addr: node.addr.clone(),
        metadata: node.metadata.clone(),
        ..raw::ForwardNode::default()
    };
    let forwarder = service.forwarder.as_ref().map(|forwarder| raw::Forwarder {
        hop: forwarder.hop.clone(),
        nodes: forwarder.nodes.iter().map(bare_target).collect(),
        ..raw::Forwarder::default()
    });
    raw::Service {
        name: service.name.clone(),
        addr: service.addr.clone(),
        handler,
        listener: service.listener.clone(),
        forwarder,
        metadata: service.metadata.clone(),
        ..raw::Service::default()
    }
}

fn bare_node(node: &raw::Node) -> raw::Node {
    let connector = node.connector.as_ref().map(|connector| raw::Connector {
        kind: connector.kind.clone(),
        metadata: connector.metadata.clone(),
        ..raw::Connector::default()
    });
    raw::Node {
        addr: node.addr.clone(),
        connector,
        dialer: node.dialer.clone(),
        metadata: node.metadata.clone(),
        ..raw::Node::default()
    }
}

/// Does something with every node of every hop.
pub(super) fn each_node(config: &mut raw::Config, mut visit: impl FnMut(&mut raw::Node)) {
    let hops = config.hops.iter_mut().chain(config.chains.iter_mut().flat_map(|c| &mut c.hops));
    hops.flat_map(|hop| hop.nodes.iter_mut().flatten()).for_each(&mut visit);
}
