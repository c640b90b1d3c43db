//! A chain as it is walked: hops, and nodes with what they keep between dials.

use std::sync::Arc;

use super::error::RouteError;
use super::select::{By, Candidate, Choice};
use super::walk::Blame;
use crate::config::model::{Bypass, DialerConfig, HopConfig, NodeConfig, Standing};
use crate::net::tls::{TlsClient, TlsError};
use crate::transport::mux_pool::MuxPool;

/// A hop and how its nodes fare.
pub(super) struct Hop {
    pub(super) name: String,
    pub(super) bypasses: Vec<Arc<Bypass>>,
    pub(super) nodes: Choice<Node>,
}

/// A node and what lives as long as its route.
pub(super) struct Node {
    pub(super) config: NodeConfig,
    /// `hop/node`, for logs, errors and metrics.
    pub(super) label: String,
    /// The TLS part of the dialer; it keeps sessions that can be resumed.
    pub(super) tls: Option<TlsClient>,
    /// The session of a multiplexed dialer. Everything before the node is dialled once for it.
    pub(super) pool: MuxPool<NoSession>,
}

/// A node to which no session could be had. Everybody who waited for it gets the same.
#[derive(Debug, thiserror::Error)]
#[error("no session")]
pub(super) struct NoSession {
    #[source]
    pub(super) error: Arc<RouteError>,
    pub(super) blame: Blame,
}

/// A node that can never be dialled.
#[derive(Debug, thiserror::Error)]
#[error("node {node}")]
pub struct NodeError {
    /// `hop/node`.
    pub node: String,
    /// What is wrong with the TLS of its dialer.
    pub source: TlsError,
}

impl Hop {
    pub(super) fn build(config: &HopConfig) -> Result<Self, NodeError> {
        let node = |node: &NodeConfig| Node::build(&config.name, node);
        let nodes = config.nodes.iter().map(node).collect::<Result<_, _>>()?;
        Ok(Self {
            name: config.name.clone(),
            bypasses: config.bypasses.clone(),
            nodes: Choice::new(config.selector.clone(), nodes),
        })
    }
}

impl Node {
    fn build(hop: &str, config: &NodeConfig) -> Result<Self, NodeError> {
        let label = format!("{hop}/{}", config.name);
        let tls = match &config.dialer {
            DialerConfig::Tcp { tls, .. } => tls,
            DialerConfig::Ws(ws) => &ws.tls,
        };
        let tls = match tls.as_deref().map(TlsClient::build).transpose() {
            Ok(tls) => tls,
            Err(source) => return Err(NodeError { node: label, source }),
        };
        Ok(Self { config: config.clone(), label, tls, pool: MuxPool::default() })
    }
}

impl Node {
    /// Whether requests share one connection to it.
    pub(super) fn is_multiplexed(&self) -> bool {
        matches!(&self.config.dialer, DialerConfig::Ws(ws) if ws.mux.is_some())
    }
}

impl Candidate for Node {
    fn standing(&self) -> &Standing {
        &self.config.standing
    }

    fn passed_by(&self, by: &By<'_>) -> bool {
        by.target.is_some_and(|to| by.verdicts.matches(&self.config.bypasses, by.network, to))
    }
}
