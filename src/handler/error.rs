//! Why a stream ended before it became a tunnel.

use crate::io::ReadError;
use crate::proto::http1::HeadError;
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
    Malformed(#[source] ReadError<HeadError>),
    /// The client speaks a protocol that this version does not have.
    #[error("{0} is not supported by this version; use an http client")]
    Unsupported(&'static str),
    /// A request that a proxy cannot serve.
    #[error("{0:?} is not something to connect to")]
    BadTarget(String),
    /// No credentials, or wrong ones.
    #[error("missing or wrong credentials")]
    Unauthorized,
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
    /// The service was stopped, or the process is on its way out.
    #[error("the service was stopped")]
    Stopped,
}

impl HandlerError {
    /// The label of `adit_connections_total{result}`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoRequest => "no_request",
            Self::Slow => "slow",
            Self::Malformed(_) | Self::BadTarget(_) => "bad_request",
            Self::Unsupported(_) => "unsupported",
            Self::Unauthorized => "unauthorized",
            Self::ClientGone(_) => "client_gone",
            Self::Route(_) => "dial_failed",
            Self::Target(_) | Self::TargetSlow => "target_failed",
            Self::Stopped => "drained",
        }
    }
}
