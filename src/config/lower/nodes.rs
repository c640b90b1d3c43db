//! How many nodes an object comes to, counted before any of them is made.
//!
//! Every service makes the nodes of its chain and its forwarder for itself, and a `serviceRef` is as many
//! nodes as its Service has endpoints: a short object can come to very many.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use super::LowerContext;
use crate::base::Reason;
use crate::config::envelope::ENDPOINTS;
use crate::config::error::Diagnostic;
use crate::config::raw::{self, ServiceRef};
use crate::config::services::ServiceState;

/// How many endpoints of each reference may be nodes, so that the object has no more nodes than its
/// class allows. Endpoints come and go without an edit, so they never refuse the object: fewer of each
/// Service are chosen instead, half as many until they fit.
///
/// # Errors
/// The object has too many nodes with one endpoint a reference.
pub(super) fn most_endpoints(
    config: &raw::Config,
    context: &LowerContext,
) -> Result<usize, Diagnostic> {
    let Some(limits) = context.limits else { return Ok(context.endpoints) };
    let most = limits.nodes_per_tunnel;
    let mut endpoints = ENDPOINTS;
    loop {
        let count = Count { config, context, endpoints };
        let (written, built) = (count.written(), count.built());
        if written.max(built) <= most {
            return Ok(endpoints);
        }
        if endpoints == 1 {
            let (path, count, what) = match built > most {
                true => ("services", built, "every service has those of its chain for itself"),
                false => ("chains", written, "those of a named hop count in every chain"),
            };
            let message = format!(
                "the tunnel has {count} nodes; at most {most} (limits.nodesPerTunnel of the class): {what}"
            );
            return Err(Diagnostic::new(path, Reason::QuotaExceeded, message));
        }
        endpoints /= 2;
    }
}

struct Count<'a> {
    config: &'a raw::Config,
    context: &'a LowerContext<'a>,
    endpoints: usize,
}

impl Count<'_> {
    /// Nodes of all hops and chains, whether a service has them or not.
    fn written(&self) -> usize {
        let hops = self.config.hops.iter().map(|hop| self.hop(hop));
        let chains = self.config.chains.iter().map(|chain| self.chain(chain));
        hops.chain(chains).sum()
    }

    /// Nodes of all services.
    fn built(&self) -> usize {
        let services = self.config.services.iter().map(|service| {
            let handler = service.handler.as_ref().map_or("", |handler| &*handler.chain);
            let listener = service.listener.as_ref().map_or("", |listener| &*listener.chain);
            let chains = [handler, listener].into_iter().filter(|name| !name.is_empty());
            let chains = chains.map(|name| {
                let chain = self.config.chains.iter().find(|chain| chain.name == name);
                chain.map_or(0, |chain| self.chain(chain))
            });
            let targets = service.forwarder.as_ref().map_or(0, |forwarder| {
                let nodes = forwarder.nodes.iter().map(|node| self.node(node.service_ref.as_ref()));
                nodes.sum::<usize>() + self.named(&forwarder.hop)
            });
            chains.sum::<usize>() + targets
        });
        services.sum()
    }

    fn chain(&self, chain: &raw::Chain) -> usize {
        let hops = chain.hops.iter().map(|hop| match &hop.nodes {
            Some(_) => self.hop(hop),
            None => self.named(&hop.name),
        });
        hops.sum()
    }

    fn named(&self, name: &str) -> usize {
        let hop = self.config.hops.iter().find(|hop| hop.name == name && !name.is_empty());
        hop.map_or(0, |hop| self.hop(hop))
    }

    fn hop(&self, hop: &raw::Hop) -> usize {
        hop.nodes.iter().flatten().map(|node| self.node(node.service_ref.as_ref())).sum()
    }

    fn node(&self, reference: Option<&ServiceRef>) -> usize {
        reference.map_or(1, |reference| self.ready(reference).clamp(1, self.endpoints))
    }

    fn ready(&self, reference: &ServiceRef) -> usize {
        let Some(services) = self.context.services else { return 1 };
        match services.find(self.context.namespace, &reference.name) {
            ServiceState::Known(ports) => {
                let port = ports.iter().find(|port| port.is(&reference.port));
                port.map_or(1, |port| port.ready.len())
            }
            ServiceState::Missing | ServiceState::External(_) | ServiceState::Unread(_) => 1,
        }
    }
}

/// At most so many of the endpoints, in their order: those with the least hashes (rendezvous hashing),
/// so that one that comes or goes changes one place, and every replica chooses the same.
pub(super) fn chosen(ready: &BTreeSet<SocketAddr>, most: usize, of: &str) -> Vec<SocketAddr> {
    if ready.len() <= most {
        return ready.iter().copied().collect();
    }
    let score = |addr: &SocketAddr| {
        let mut hasher = DefaultHasher::new();
        (of, addr).hash(&mut hasher);
        hasher.finish()
    };
    let mut scored: Vec<_> = ready.iter().map(|addr| (score(addr), *addr)).collect();
    scored.sort_unstable();
    let chosen: BTreeSet<_> = scored.into_iter().take(most).map(|(_, addr)| addr).collect();
    chosen.into_iter().collect()
}
