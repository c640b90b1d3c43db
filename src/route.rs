//! From a target to a stream: directly, or hop by hop.
//!
//! Floor 6. The first hop is dialled; each further hop, and the target, is asked for at the hop
//! before it, so names are resolved where they mean something. Each hop chooses one of its nodes; a
//! node that fails gives its place to the next one within the same attempt, before any byte of the
//! client has left.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Host, Network, Origin, Target};
use crate::config::model::{ChainConfig, HandlerConfig, Names, ServiceConfig};
use crate::io::BoxIo;
use crate::io::memory::Share;
use crate::metrics::ServiceMetrics;
use crate::net::dial::{Dial, DialError};
use crate::net::tls::TlsClients;

mod associate;
mod bind;
mod error;
mod forward;
mod hop;
mod request;
mod select;
mod share;
mod walk;

pub use bind::Bound;
pub use error::RouteError;
pub use forward::{ForwardAsk, Forwarder};
pub use hop::NodeError;
pub use request::{MAX_DIALS, MAX_RETRIES};

use hop::Hop;
use request::Request;
use select::{By, Hashed};
use share::Deadline;
use walk::{Blame, Failed, Goal, Step, Walk};

/// Whether every node of a chain can be dialled at all, as far as its configuration goes.
///
/// # Errors
/// What [`Route::build`] or the first dial would say.
pub fn check(chain: &ChainConfig) -> Result<(), NodeError> {
    let clients = TlsClients::default();
    // Kept, so that equal ones are built once.
    let mut built = Vec::new();
    for (hop, node) in chain.hops.iter().flat_map(|hop| hop.nodes.iter().map(move |n| (hop, n))) {
        let client = node.dialer.tls().map(|tls| clients.build("", tls)).transpose();
        let client = client
            .map_err(|source| NodeError { node: format!("{}/{}", hop.name, node.name), source })?;
        built.extend(client);
    }
    Ok(())
}

/// What a client asks a route for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Streams or datagrams.
    pub network: Network,
    /// Where to.
    pub to: To<'a>,
    /// Who asks: selector `hash` goes by it.
    pub client: SocketAddr,
    /// The user that the client proved to be: before its address.
    pub user: Option<&'a str>,
}

/// Where bytes or datagrams shall go.
#[derive(Clone, Copy, Debug)]
pub enum To<'a> {
    /// To one target.
    Target(&'a Target),
    /// Each datagram to where it says: an association, whose chunks are packets
    /// ([`crate::io::datagrams`]). No bypass of a hop or node is asked for it, as in GOST.
    Each {
        /// The longest answer, in bytes.
        longest: usize,
    },
}

impl To<'_> {
    fn target(&self) -> Option<&Target> {
        match self {
            Self::Target(target) => Some(target),
            Self::Each { .. } => None,
        }
    }
}

impl fmt::Display for To<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(target) => target.fmt(f),
            Self::Each { .. } => f.write_str("wherever each datagram says"),
        }
    }
}

/// What a route needs from its surroundings.
#[derive(Clone)]
pub struct RouteContext {
    /// For whom it dials: the guard's rules depend on it.
    pub origin: Origin,
    /// Opens connections.
    pub dialer: Arc<dyn Dial>,
    /// The service's series.
    pub metrics: ServiceMetrics,
    /// What shakes hands with nodes.
    pub clients: Arc<TlsClients>,
    /// Where what waits in sessions to nodes counts.
    pub memory: Share,
}

/// The way of one service to its targets. It keeps how the nodes fare, so it lives as long as the
/// service's handler.
pub struct Route {
    dialer: Arc<dyn Dial>,
    origin: Origin,
    metrics: ServiceMetrics,
    clients: Arc<TlsClients>,
    memory: Share,
    hops: Vec<Hop>,
    names: Names,
    retries: u32,
    /// For one attempt's dials and handshakes.
    within: Option<Duration>,
    hash_by_target: bool,
}

impl Route {
    /// The route of a service through a chain: the one of its handler, or of its listener.
    ///
    /// # Errors
    /// [`NodeError`] names the node whose TLS cannot work.
    pub fn build(
        config: &ServiceConfig,
        chain: &ChainConfig,
        context: RouteContext,
    ) -> Result<Self, NodeError> {
        let route = Self::through(chain, &config.names, config.dial_timeout, context)?;
        let hash_by_target = hash_by_target(&config.handler);
        Ok(Self { retries: config.retries, hash_by_target, ..route })
    }

    /// The way through a chain in one attempt, which may take `within`.
    ///
    /// # Errors
    /// [`NodeError`] names the node whose TLS cannot work.
    pub fn through(
        chain: &ChainConfig,
        names: &Names,
        within: Option<Duration>,
        context: RouteContext,
    ) -> Result<Self, NodeError> {
        let RouteContext { origin, dialer, metrics, clients, memory } = context;
        let (namespace, mut sound) = (origin.namespace(), HashSet::new());
        let hop = |hop| Hop::build(hop, namespace, &clients, &mut sound);
        let hops = chain.hops.iter().map(hop).collect::<Result<_, _>>()?;
        Ok(Self {
            dialer,
            origin,
            metrics,
            clients,
            memory,
            hops,
            names: names.clone(),
            retries: 0,
            within,
            hash_by_target: false,
        })
    }

    /// A stream to the target, after as many attempts as configured. Of [`Network::Udp`]: one
    /// datagram per chunk. A request of a tunnel of a cluster has [`MAX_RETRIES`] and [`MAX_DIALS`].
    ///
    /// # Errors
    /// [`RouteError`] of the last attempt.
    pub async fn connect(&self, ask: &Ask<'_>) -> Result<BoxIo, RouteError> {
        self.connect_for(&Request::new(&self.origin, Some(ask.client)), ask).await
    }

    async fn connect_for(&self, request: &Request, ask: &Ask<'_>) -> Result<BoxIo, RouteError> {
        let mut left = request.retries(self.retries);
        let mut last = None;
        loop {
            match self.attempt(request, ask).await {
                Err(RouteError::Dials) => return Err(last.unwrap_or(RouteError::Dials)),
                Err(e) if left > 0 => {
                    left -= 1;
                    tracing::debug!(to = %ask.to, error = %e, left, "trying again");
                    last = Some(e);
                    // An attempt that is refused here waits for nothing.
                    tokio::task::yield_now().await;
                }
                result => return result,
            }
        }
    }

    async fn attempt(&self, request: &Request, ask: &Ask<'_>) -> Result<BoxIo, RouteError> {
        let until = Deadline::after(self.within);
        let resolved;
        let to = match ask.to {
            To::Target(target) if !self.hops.is_empty() => {
                resolved = self.resolved(&self.names, target, until).await?;
                To::Target(&resolved)
            }
            to => to,
        };
        let ask = Ask { to, ..*ask };
        self.tried(request, self.plan(request, &ask), until, &ask).await
    }

    /// Tries the nodes of every hop until one way is open or the time is over.
    async fn tried<G: Goal>(
        &self,
        request: &Request,
        mut plan: Vec<(&Hop, Vec<usize>)>,
        until: Deadline,
        goal: &G,
    ) -> Result<G::Got, RouteError> {
        // Nodes that were silent about the target; guilty if another one is not.
        let mut silent: Vec<(Step<'_>, &'static str)> = Vec::new();
        let mut fresh_session = true;
        let mut last = None;
        loop {
            let others = plan.iter().map(|(_, order)| order.len().saturating_sub(1)).sum();
            let steps: Vec<Step<'_>> = plan.iter().filter_map(Step::first_of).collect();
            if !request.takes(steps.len(), self) {
                return Err(last.unwrap_or(RouteError::Dials));
            }
            let share = until.share(others);
            let own = self.within.unwrap_or(Duration::MAX);
            let answer = if others == 0 { own } else { share.left() };
            let client = request.client;
            let walk = Walk { route: self, steps: &steps, client, until: share, answer };
            let Failed { error, blame } = match goal.reach(&walk).await {
                Ok(got) => {
                    silent.iter().for_each(|(step, reason)| self.ill(*step, reason));
                    return Ok(got);
                }
                Err(failed) => failed,
            };
            let at = match blame {
                Blame::Node(at) | Blame::Silence(at) => at,
                Blame::Nobody => return Err(error),
            };
            let Some(step) = steps.get(at).copied() else { return Err(error) };
            // A session that died as it was used: the next stream is one of a new session.
            if matches!(blame, Blame::Silence(_))
                && step.node.is_multiplexed()
                && error.label() != "timeout"
                && std::mem::take(&mut fresh_session)
            {
                last = Some(error);
                continue;
            }
            match blame {
                Blame::Silence(_) => silent.push((step, error.label())),
                _ => self.ill(step, error.label()),
            }
            // The node itself, or the one before it, on whose word it was judged.
            let Some((_, order)) = plan.iter_mut().take(at + 1).rev().find(|(_, o)| o.len() > 1)
            else {
                return Err(error);
            };
            order.remove(0);
            if until.passed() {
                return Err(error);
            }
            tracing::debug!(to = %goal, error = %error, "trying another node");
            last = Some(error);
        }
    }

    /// The hops up to the first one that the target passes by, each with its nodes in the order in
    /// which they are tried.
    fn plan(&self, request: &Request, ask: &Ask<'_>) -> Vec<(&Hop, Vec<usize>)> {
        let target = ask.to.target();
        let hash = match (ask.user, target) {
            (Some(user), _) => Hashed::User(user),
            (None, Some(target)) if self.hash_by_target => Hashed::Target(target),
            _ => Hashed::Client(ask.client.ip()),
        };
        let verdicts = &request.verdicts;
        let by = By { network: ask.network, target, hash, verdicts };
        let mut plan = Vec::with_capacity(self.hops.len());
        for hop in &self.hops {
            let passed_by =
                target.is_some_and(|to| verdicts.matches(&hop.bypasses, ask.network, to));
            let order = if passed_by { Vec::new() } else { hop.nodes.order(&by) };
            if order.is_empty() {
                tracing::debug!(
                    to = %ask.to, hop = hop.name, hops = plan.len(),
                    "passed by: the chain ends before this hop"
                );
                break;
            }
            plan.push((hop, order));
        }
        plan
    }

    /// The target with its name resolved here, if there are names for it.
    async fn resolved(
        &self,
        names: &Names,
        target: &Target,
        until: Deadline,
    ) -> Result<Target, DialError> {
        let Some(Host::Name(name)) = &target.host else { return Ok(target.clone()) };
        if names.hosts.is_none() && names.resolver.is_none() {
            return Ok(target.clone());
        }
        let lookup = self.dialer.lookup(&self.origin, names, name);
        let ips = match tokio::time::timeout(until.left(), lookup).await {
            Ok(Ok(ips)) => ips,
            Ok(Err(cause)) => return Err(DialError::Dns { target: target.clone(), cause }),
            Err(_) => return Err(DialError::Timeout { target: target.clone() }),
        };
        let host = ips.first().map(|ip| Host::Ip(*ip)).or_else(|| target.host.clone());
        Ok(Target { host, port: target.port })
    }

    /// A node was reached and shook hands.
    fn well(&self, step: Step<'_>) {
        self.metrics.node_dial(&step.node.label, "ok");
        if step.hop.nodes.succeeded(step.index) {
            tracing::warn!(service = %self.metrics.key(), node = step.node.label, "the node is back");
        }
    }

    /// A node failed.
    fn ill(&self, step: Step<'_>, reason: &'static str) {
        self.metrics.node_dial(&step.node.label, reason);
        if step.hop.nodes.failed(step.index) {
            let service = self.metrics.key();
            tracing::warn!(%service, node = step.node.label, reason, "the node has failed");
        }
    }
}

impl<'a> Step<'a> {
    fn first_of((hop, order): &(&'a Hop, Vec<usize>)) -> Option<Self> {
        let index = *order.first()?;
        Some(Self { hop, index, node: hop.nodes.node(index)? })
    }
}

/// `hash: host` of the handler.
fn hash_by_target(handler: &HandlerConfig) -> bool {
    match handler {
        HandlerConfig::Auto(auto) => auto.http.hash_by_target,
        HandlerConfig::Http(http) => http.hash_by_target,
        HandlerConfig::Socks4(socks) => socks.hash_by_target,
        HandlerConfig::Socks5(socks) => socks.hash_by_target,
        HandlerConfig::Relay(relay) => relay.hash_by_target,
        HandlerConfig::Forward(_) => false,
    }
}

#[cfg(test)]
mod tests;
