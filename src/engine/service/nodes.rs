//! What metrics call the nodes of a service.

use std::collections::BTreeSet;

use crate::config::model::{ChainConfig, HandlerConfig, ServiceConfig};
use crate::engine::RemoteBind;

/// The names of its forwarder's targets, and `hop/node` for the nodes of its chains.
pub(super) fn labels(config: &ServiceConfig) -> BTreeSet<String> {
    let targets = match &config.handler {
        HandlerConfig::Forward(forward) => Some(&forward.to),
        HandlerConfig::Relay(relay) => relay.forward.as_ref(),
        _ => None,
    };
    let targets = targets.into_iter().flat_map(|to| to.nodes.iter().map(|node| node.name.clone()));
    let bind = RemoteBind::of(config);
    let of_listener = bind.iter().flat_map(|bind| of_chain(&bind.chain));
    targets.chain(of_chain(&config.chain)).chain(of_listener).collect()
}

fn of_chain(chain: &ChainConfig) -> impl Iterator<Item = String> {
    chain
        .hops
        .iter()
        .flat_map(|hop| hop.nodes.iter().map(move |node| format!("{}/{}", hop.name, node.name)))
}
