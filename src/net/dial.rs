//! Every connection that the process opens for a tunnel.

use std::future::Future;
use std::io;
use std::pin::Pin;

use crate::base::{Origin, Target};
use crate::config::model::TcpKeepalive;
use crate::io::BoxIo;

mod dialer;
pub use dialer::{DIAL_TIMEOUT, Dialer, set_keepalive};

/// A connection that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody listens there.
    #[error("{target} refused the connection")]
    Refused {
        /// What was dialled.
        target: Target,
        /// The system's error.
        source: io::Error,
    },
    /// Not within the time.
    #[error("no connection to {target} in time")]
    Timeout {
        /// What was dialled.
        target: Target,
    },
    /// No way leads there.
    #[error("{target} cannot be reached")]
    Unreachable {
        /// What was dialled.
        target: Target,
        /// The system's error.
        source: io::Error,
    },
    /// The name does not resolve.
    #[error("{target} does not resolve: {cause}")]
    Dns {
        /// What was dialled.
        target: Target,
        /// The resolver's words.
        cause: String,
    },
    /// The egress guard forbids the address.
    #[error("{target} is not allowed: {why}")]
    EgressDenied {
        /// What was dialled.
        target: Target,
        /// Which rule.
        why: super::guard::Denied,
    },
    /// The connection would lead to itself.
    #[error("{target} is the connection itself")]
    Itself {
        /// What was dialled.
        target: Target,
    },
    /// Anything else.
    #[error("cannot connect to {target}")]
    Other {
        /// What was dialled.
        target: Target,
        /// The system's error.
        source: io::Error,
    },
}

impl DialError {
    /// The label of `adit_upstream_dial_errors_total{reason}`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Timeout { .. } => "timeout",
            Self::Unreachable { .. } => "unreachable",
            Self::Dns { .. } => "dns",
            Self::EgressDenied { .. } => "egress_denied",
            Self::Itself { .. } | Self::Other { .. } => "other",
        }
    }
}

/// What [`Dial::dial`] returns.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = Result<BoxIo, DialError>> + Send + 'a>>;

/// Opens TCP connections. The one trait with real doubles: tests put streams of their own here.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `target` on behalf of `origin`.
    ///
    /// # Errors
    /// [`DialError`], within the dialler's time limit.
    fn dial<'a>(
        &'a self,
        origin: &'a Origin,
        target: &'a Target,
        keepalive: Option<&'a TcpKeepalive>,
    ) -> Dialing<'a>;
}
