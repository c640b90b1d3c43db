//! Declared targets that the egress guard refuses whenever they are dialled.

use std::net::SocketAddr;

use crate::base::{Host, Network, Target};
use crate::config::model::{HandlerConfig, ListenerConfig, ServiceConfig};
use crate::control::translate::Good;

/// Why an address is refused, if it is.
pub(crate) type Denies<'a> = dyn Fn(Network, SocketAddr) -> Option<String> + 'a;

/// So many targets of an object are named.
const MOST: usize = 3;

/// A word on each target of an object that is refused.
pub(super) fn notes(good: &Good, denies: &Denies<'_>) -> Vec<String> {
    let services = good.services.iter().map(|(config, _)| &**config);
    let mut notes: Vec<String> = services.flat_map(|config| of_service(config, denies)).collect();
    let more = notes.len().saturating_sub(MOST);
    notes.truncate(MOST);
    if more > 0 {
        notes.push(format!("{more} more targets are refused"));
    }
    notes
}

fn of_service<'a>(
    config: &'a ServiceConfig,
    denies: &'a Denies<'_>,
) -> impl Iterator<Item = String> + 'a {
    let network = match config.listener {
        ListenerConfig::Udp(_) if config.chain.hops.is_empty() => Network::Udp,
        _ => Network::Tcp,
    };
    let refused = dialled(config).into_iter().filter_map(move |target| {
        let Some(Host::Ip(ip)) = &target.host else { return None };
        denies(network, SocketAddr::new(*ip, target.port)).map(|why| (target, why))
    });
    refused.map(move |(target, why)| {
        format!("service {}: {target} is {why}: no tunnel gets there", config.name)
    })
}

/// What the process itself connects to, as far as the spec says it: the nodes of the first hop, or
/// without a chain the targets.
fn dialled(config: &ServiceConfig) -> Vec<&Target> {
    if let Some(hop) = config.chain.hops.first() {
        return hop.nodes.iter().map(|node| &node.addr).collect();
    }
    let forward = match &config.handler {
        HandlerConfig::Forward(forward) => Some(&forward.to),
        HandlerConfig::Relay(relay) => relay.forward.as_ref(),
        _ => None,
    };
    forward.into_iter().flat_map(|forward| &forward.nodes).map(|node| &node.target).collect()
}
