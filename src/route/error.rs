//! Why a target was not reached.

use std::io;
use std::sync::Arc;

use super::request::MAX_DIALS;
use crate::base::{ListenAddr, Target};
use crate::connector::ConnectError;
use crate::net::dial::DialError;
use crate::net::listen::BindError;
use crate::net::tls::TlsError;
use crate::transport::ws_client::WsConnectError;

/// A target that was not reached.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The target could not be dialled.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A node could not be dialled.
    #[error("node {node}")]
    Node {
        /// Its name.
        node: String,
        /// What went wrong.
        source: DialError,
    },
    /// A node did not shake hands as TLS does.
    #[error("node {node}")]
    Tls {
        /// Its name.
        node: String,
        /// What went wrong.
        source: TlsError,
    },
    /// A node did not become a WebSocket.
    #[error("node {node}")]
    Handshake {
        /// Its name.
        node: String,
        /// What went wrong.
        source: WsConnectError,
    },
    /// The session to a node could not be had; another request tried it.
    #[error(transparent)]
    Session(Arc<RouteError>),
    /// The session to a node ended before a stream was open on it.
    #[error("node {node}: the mux session ended at once; is mux.version the same on both ends?")]
    Stream {
        /// Its name.
        node: String,
        /// What went wrong.
        source: io::Error,
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
    /// A node does not listen for us.
    #[error("node {node}, asked to listen on {addr}")]
    Bind {
        /// Its name.
        node: String,
        /// Where it was to listen.
        addr: ListenAddr,
        /// What went wrong.
        source: ConnectError,
    },
    /// A node does not carry datagrams.
    #[error("node {node}, asked to carry datagrams")]
    Associate {
        /// Its name.
        node: String,
        /// What went wrong.
        source: ConnectError,
    },
    /// No port could be had for datagrams.
    #[error("no port for datagrams")]
    Port(#[source] BindError),
    /// A node was silent for longer than this attempt may take.
    #[error("node {node}: no answer in time")]
    Slow {
        /// Its name.
        node: String,
    },
    /// The request has used up its dials.
    #[error("the request has used up its {MAX_DIALS} dials")]
    Dials,
    /// Every node of a forwarder is passed by.
    #[error("the bypasses leave no target")]
    NoTarget,
}

impl RouteError {
    /// The label of `adit_upstream_dial_errors_total{reason}`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Dial(e) | Self::Node { source: e, .. } => e.label(),
            Self::Tls { source, .. } => source.label(),
            Self::Handshake { source, .. } => source.label(),
            Self::Connect { source, .. }
            | Self::Bind { source, .. }
            | Self::Associate { source, .. } => source.label(),
            Self::Session(error) => error.label(),
            Self::Stream { .. } => "handshake",
            Self::Slow { .. } => "timeout",
            Self::Dials | Self::NoTarget | Self::Port(_) => "other",
        }
    }

    /// The rule of the egress guard, if that is what forbade it.
    pub fn egress_denied(&self) -> Option<crate::net::guard::Denied> {
        match self {
            Self::Dial(DialError::EgressDenied { why, .. })
            | Self::Node { source: DialError::EgressDenied { why, .. }, .. } => Some(*why),
            Self::Session(error) => error.egress_denied(),
            _ => None,
        }
    }
}
