//! From a target to a stream: directly, or hop by hop.
//!
//! Floor 6. The first hop is dialled; each further hop, and the target, is asked for at the hop
//! before it, so names are resolved where they mean something.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Origin, Target};
use crate::config::model::{ChainConfig, DialerConfig, NodeConfig, ServiceConfig};
use crate::connector::{self, ConnectError};
use crate::io::BoxIo;
use crate::net::dial::{DIAL_TIMEOUT, Dial, DialError};
use crate::transport::ws_client::{self, WsConnectError};

/// A target that was not reached.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The target, or the first node, could not be dialled.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A node did not become a WebSocket.
    #[error("node {node}")]
    Handshake {
        /// Its name.
        node: String,
        /// What went wrong.
        source: WsConnectError,
    },
    /// A node did not open the way to the next one, or to the target.
    #[error("node {node}, asked for {target}")]
    Connect {
        /// Its name.
        node: String,
        /// What it was asked for.
        target: Target,
        /// What went wrong.
        source: ConnectError,
    },
}

impl RouteError {
    /// The label of `adit_upstream_dial_errors_total{reason}`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Dial(e) => e.label(),
            Self::Handshake { source, .. } => source.label(),
            Self::Connect { source, .. } => source.label(),
        }
    }
}

/// The way of one service to its targets.
pub struct Route {
    dialer: Arc<dyn Dial>,
    origin: Origin,
    chain: Arc<ChainConfig>,
    retries: u32,
    /// For each step: a dial, a handshake, an answer of a node.
    within: Duration,
}

impl Route {
    /// The route of a service.
    pub fn new(config: &ServiceConfig, origin: Origin, dialer: Arc<dyn Dial>) -> Self {
        let (chain, retries) = (config.chain.clone(), config.retries);
        Self { dialer, origin, chain, retries, within: DIAL_TIMEOUT }
    }

    /// A stream to `target`, after as many attempts as configured.
    ///
    /// # Errors
    /// [`RouteError`] of the last attempt.
    pub async fn connect(&self, target: &Target) -> Result<BoxIo, RouteError> {
        let mut left = self.retries;
        loop {
            match self.attempt(target).await {
                Err(e) if left > 0 => {
                    left -= 1;
                    tracing::debug!(%target, error = %e, left, "trying again");
                }
                result => return result,
            }
        }
    }

    async fn attempt(&self, target: &Target) -> Result<BoxIo, RouteError> {
        let mut hops = self.chain.hops.iter().peekable();
        let Some(first) = hops.peek() else {
            return Ok(self.dialer.dial(&self.origin, target, None).await?);
        };
        let keepalive = match &first.dialer {
            DialerConfig::Tcp { keepalive } => keepalive,
            DialerConfig::Ws(config) => &config.keepalive,
        };
        let mut io = self.dialer.dial(&self.origin, &first.addr, keepalive.as_ref()).await?;
        while let Some(node) = hops.next() {
            io = self.shake_hands(io, node).await?;
            let next = hops.peek().map_or(target, |node| &node.addr);
            io = connector::connect(io, &node.connector, next, self.within).await.map_err(
                |source| RouteError::Connect {
                    node: node.name.clone(),
                    target: next.clone(),
                    source,
                },
            )?;
        }
        Ok(io)
    }

    async fn shake_hands(&self, io: BoxIo, node: &NodeConfig) -> Result<BoxIo, RouteError> {
        match &node.dialer {
            DialerConfig::Tcp { .. } => Ok(io),
            DialerConfig::Ws(config) => ws_client::connect(io, config, self.within)
                .await
                .map_err(|source| RouteError::Handshake { node: node.name.clone(), source }),
        }
    }
}
