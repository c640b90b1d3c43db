//! A chain as it is walked: hops, and nodes with what they keep between dials.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::error::RouteError;
use super::select::{By, Candidate, Choice};
use super::walk::Blame;
use crate::config::model::{Bypass, ClientTls, DialerConfig, HopConfig, NodeConfig, Standing};
use crate::net::tls::{TlsClient, TlsClients, TlsError, nameless};
use crate::transport::mux_pool::MuxPool;

/// A hop and how its nodes fare.
pub(super) struct Hop {
    pub(super) name: String,
    pub(super) bypasses: Vec<Arc<Bypass>>,
    pub(super) nodes: Choice<Node>,
}

/// A node and what lives as long as its route.
pub(super) struct Node {
    pub(super) config: Arc<NodeConfig>,
    /// `hop/node`, for logs, errors and metrics.
    pub(super) label: String,
    /// The TLS part of the dialer.
    pub(super) tls: Option<Tls>,
    /// The session of a multiplexed dialer. Everything before the node is dialled once for it.
    pub(super) pool: MuxPool<NoSession>,
}

/// A TLS part, which is built when it is first needed. It keeps sessions that can be resumed.
pub(super) struct Tls {
    config: Arc<ClientTls>,
    client: OnceCell<TlsClient>,
}

impl Tls {
    /// What shakes hands.
    ///
    /// # Errors
    /// What shows only now: the system has no roots.
    pub(super) async fn client(
        &self,
        namespace: &str,
        clients: &Arc<TlsClients>,
    ) -> Result<&TlsClient, TlsError> {
        let build = || async {
            let (clients, config) = (clients.clone(), self.config.clone());
            let namespace = namespace.to_string();
            let built = tokio::task::spawn_blocking(move || clients.build(&namespace, &config));
            built.await.unwrap_or_else(|ended| Err(TlsError::Io(ended.into())))
        };
        self.client.get_or_try_init(build).await
    }
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
    /// A hop of a route of this namespace. `sound` are the TLS parts that were checked.
    pub(super) fn build(
        config: &HopConfig,
        namespace: &str,
        clients: &TlsClients,
        sound: &mut HashSet<ClientTls>,
    ) -> Result<Self, NodeError> {
        let node = |node| Node::build(&config.name, node, namespace, clients, sound);
        let nodes = config.nodes.iter().map(node).collect::<Result<_, _>>()?;
        Ok(Self {
            name: config.name.clone(),
            bypasses: config.bypasses.clone(),
            nodes: Choice::new(config.selector.clone(), nodes),
        })
    }
}

impl Node {
    fn build(
        hop: &str,
        config: &Arc<NodeConfig>,
        namespace: &str,
        clients: &TlsClients,
        sound: &mut HashSet<ClientTls>,
    ) -> Result<Self, NodeError> {
        let label = format!("{hop}/{}", config.name);
        let tls = config.dialer.tls();
        let checked = tls.map_or(Ok(()), |tls| match sound.insert(nameless(tls)) {
            true => TlsClient::check(tls),
            false => TlsClient::check_name(tls),
        });
        if let Err(source) = checked {
            return Err(NodeError { node: label, source });
        }
        let tls = tls.map(|tls| Tls {
            config: tls.clone(),
            // That of the route before this one, as a rule.
            client: OnceCell::new_with(clients.find(namespace, tls)),
        });
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
