//! Every connection that the process opens for a tunnel.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use super::listen::BindError;
use crate::base::{ListenAddr, Network, Origin, Target};
use crate::config::model::{Names, TcpKeepalive};
use crate::io::BoxIo;
use crate::metrics::ServiceMetrics;

mod circles;
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
    /// It would lead back to the service that it is for, again and again.
    #[error(
        "{target} leads back here: {} connections of this process stand in a row; look for a service \
         or a chain that leads to its own address",
        circles::LONGEST
    )]
    Circle {
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
            Self::Circle { .. } => "circle",
            Self::Itself { .. } | Self::Other { .. } => "other",
        }
    }
}

/// What is dialled, for whom, and how.
#[derive(Clone, Copy)]
pub struct DialRequest<'a> {
    /// For whom: the guard's rules depend on it.
    pub origin: &'a Origin,
    /// Streams or datagrams.
    pub network: Network,
    /// Where to.
    pub target: &'a Target,
    /// Whose request it is: a client that is a connection of this process may be led in a circle.
    pub client: Option<SocketAddr>,
    /// How its name is resolved.
    pub names: &'a Names,
    /// Of TCP.
    pub keepalive: Option<&'a TcpKeepalive>,
    /// The name and the connection together; `None` waits as long as the system does.
    pub within: Option<Duration>,
}

impl<'a> DialRequest<'a> {
    /// TCP with every default.
    pub fn new(origin: &'a Origin, target: &'a Target) -> Self {
        static SYSTEM: Names = Names { hosts: None, resolver: None };
        Self {
            origin,
            network: Network::Tcp,
            target,
            client: None,
            names: &SYSTEM,
            keepalive: None,
            within: Some(DIAL_TIMEOUT),
        }
    }
}

/// What an association is opened for, and how.
#[derive(Clone, Copy)]
pub struct AssociateRequest<'a> {
    /// For whom: the guard's rules depend on it.
    pub origin: &'a Origin,
    /// How the names of destinations are resolved.
    pub names: &'a Names,
    /// The port to take; `None` is any.
    pub port: Option<&'a ListenAddr>,
    /// The longest answer, in bytes.
    pub longest: usize,
    /// Where what is dropped is counted.
    pub metrics: &'a ServiceMetrics,
}

/// What [`Dial::dial`] returns.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = Result<BoxIo, DialError>> + Send + 'a>>;

/// What [`Dial::lookup`] returns: addresses, at least one, or the resolver's words.
pub type Looking<'a> = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send + 'a>>;

/// Opens connections. The one trait with real doubles: tests put streams of their own here.
pub trait Dial: Send + Sync + 'static {
    /// Connects. A stream of [`Network::Udp`] has datagrams: one per chunk, both ways.
    ///
    /// # Errors
    /// [`DialError`], within the request's time limit.
    fn dial<'a>(&'a self, request: DialRequest<'a>) -> Dialing<'a>;

    /// Takes a port for datagrams that each have their own destination: the chunks are packets
    /// ([`crate::io::datagrams`]). The guard is asked about each; what it forbids is dropped and
    /// counted. Also returns the port's address.
    ///
    /// # Errors
    /// [`BindError`].
    fn associate(&self, request: AssociateRequest<'_>) -> Result<(BoxIo, SocketAddr), BindError> {
        let source = io::ErrorKind::Unsupported.into();
        let any = ListenAddr::port(0);
        Err(BindError::new(request.port.unwrap_or(&any), source))
    }

    /// Resolves a name for somebody else to dial, such as the next node of a chain: no guard is
    /// asked. The caller bounds the time.
    fn lookup<'a>(&'a self, origin: &'a Origin, names: &'a Names, name: &'a str) -> Looking<'a> {
        let _ = (origin, names, name);
        Box::pin(async { Err("names are not resolved here".into()) })
    }
}
