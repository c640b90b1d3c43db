//! Why a stream ended before it became a tunnel.

use std::error::Error;

use crate::io::ReadError;
use crate::net::listen::BindError;
use crate::route::RouteError;

/// Why a stream ended before it became a tunnel.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The client said nothing, as port scanners and health checks do.
    #[error("the client sent no request")]
    NoRequest,
    /// The client's request did not end in time.
    #[error("the client's request did not end in time")]
    Slow,
    /// The client speaks something else.
    #[error("the client's request is not readable")]
    Malformed(#[source] Box<dyn Error + Send + Sync>),
    /// A command that is switched off, or that no server has.
    #[error("the client's command {0:#04x} is switched off or unknown")]
    Disabled(u8),
    /// A protocol that the class leaves out of handler `auto`.
    #[error("handler auto does not speak {0}: the class's handlers do not list it")]
    NotSpoken(&'static str),
    /// UDP over HTTP, without `udp`.
    #[error("the client asks for UDP over HTTP, which is switched off; `udp: true` allows it")]
    NoDatagrams,
    /// A request that a proxy cannot serve.
    #[error("{0:?} is not something to connect to")]
    BadTarget(String),
    /// No credentials, where there are users.
    #[error("missing credentials")]
    Unauthorized,
    /// Credentials of no user.
    #[error("wrong credentials")]
    WrongPassword,
    /// A target that the service's bypasses match.
    #[error("the service's bypass does not let anybody there")]
    Bypassed,
    /// The port that the client asked for could not be taken.
    #[error("no port for the client")]
    NotBound(#[source] BindError),
    /// The client broke off.
    #[error("the client broke off")]
    ClientGone(#[source] std::io::Error),
    /// The target was not reached.
    #[error("no way to the target")]
    Route(#[source] RouteError),
    /// The target broke off before its response.
    #[error("no response from the target")]
    Target(#[source] hyper::Error),
    /// The target did not respond in `readTimeout`.
    #[error("no response from the target in time")]
    TargetSlow,
    /// The class gives the tunnel, or its namespace, no more connections.
    #[error(
        "the class allows no more connections (limits.connectionsPerTunnel, connectionsPerNamespace)"
    )]
    Limited,
    /// Too many streams of the namespace have no finished request, and this one was the eldest.
    #[error("the client's request is not finished, and too many others wait")]
    Displaced,
    /// The service was stopped, or the process is on its way out.
    #[error("the service was stopped")]
    Stopped,
}

impl HandlerError {
    /// A message that could not be read.
    pub(super) fn unreadable<E: Error + Send + Sync + 'static>(error: ReadError<E>) -> Self {
        match error {
            ReadError::Ended(0) => Self::NoRequest,
            ReadError::Io(e) => Self::ClientGone(e),
            other => Self::Malformed(Box::new(other)),
        }
    }

    /// The label of `adit_connections_total{result}`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoRequest => "no_request",
            Self::Slow => "slow",
            Self::Malformed(_) | Self::BadTarget(_) => "bad_request",
            Self::Disabled(_) | Self::NotSpoken(_) | Self::NoDatagrams => "unsupported",
            Self::Unauthorized | Self::WrongPassword => "unauthorized",
            Self::Bypassed => "bypassed",
            Self::NotBound(_) => "bind_failed",
            Self::ClientGone(_) => "client_gone",
            Self::Route(_) => "dial_failed",
            Self::Target(_) | Self::TargetSlow => "target_failed",
            Self::Limited => "limited",
            Self::Displaced => "displaced",
            Self::Stopped => "drained",
        }
    }
}
