//! What is said to a chain's node to reach the next one.
//!
//! Floor 5. A connector gets a stream to a node and returns a stream to the target behind it.

use std::error::Error;
use std::time::Duration;

use crate::base::{Network, Target};
use crate::config::model::{ConnectorConfig, Socks5ConnectorConfig};
use crate::io::{BoxIo, ReadError};
use crate::proto::address::Address;
use crate::proto::{relay as relay_wire, socks4 as socks4_wire, socks5 as socks5_wire};

pub mod bind;
mod datagrams;
mod http;
mod relay;
mod socks4;
mod socks5;
#[cfg(test)]
mod tests;

/// A node that did not open the way.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The request could not be sent.
    #[error("the connection broke while the node was asked")]
    Io(#[source] std::io::Error),
    /// Not within the time. (GOST waits forever.)
    #[error("no answer from the node in time")]
    Timeout,
    /// The node ended before its answer did.
    #[error("the node ended without an answer")]
    Ended,
    /// An answer of another protocol.
    #[error("the node answers in another protocol; check the connector's type")]
    Answer(#[source] Box<dyn Error + Send + Sync>),
    /// Missing or wrong credentials.
    #[error("the node refused the credentials; check the connector's auth")]
    Unauthorized,
    /// The node asks for a user name and a password, or for something that only gost has.
    #[error("the node accepts no authentication that we can give; check the connector's auth")]
    NoMethod,
    /// The node refused: HTTP.
    #[error("the node answered with status {0}")]
    Status(u16),
    /// The node refused: SOCKS4.
    #[error("the node answered with code {0}: {words}", words = socks4_wire::reply::words(*.0))]
    Socks4(u8),
    /// The node refused: SOCKS5.
    #[error("the node answered with code {0}: {words}", words = socks5_wire::reply::words(*.0))]
    Socks5(u8),
    /// The node refused: relay.
    #[error("the node answered with status {0}: {words}", words = relay_wire::status::words(*.0))]
    Relay(u8),
    /// The node lets nobody listen.
    #[error("the node lets nobody listen there; gost and adit do with `bind=true`")]
    BindForbidden,
    /// The node could not listen.
    #[error("the node cannot listen there (code {0}): the port is taken, or not permitted")]
    NotBound(u8),
    /// The connector has no way to say this.
    #[error("{0}")]
    Cannot(&'static str),
}

impl ConnectError {
    /// The label of `adit_upstream_dial_errors_total{reason}`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            _ => "proxy",
        }
    }

    /// Whether the node gave no answer at all: it may be dead, or wait for a dead target.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Timeout | Self::Ended)
    }

    fn answer<E: Error + Send + Sync + 'static>(error: ReadError<E>) -> Self {
        match error {
            ReadError::Io(e) => Self::Io(e),
            ReadError::Ended(_) => Self::Ended,
            other => Self::Answer(Box::new(other)),
        }
    }
}

/// Asks the node at the other end of `io` for `target`. Of [`Network::Udp`] the stream has one
/// datagram per chunk.
///
/// # Errors
/// [`ConnectError`]; in any case within `within`, or the connector's `timeout` if shorter.
pub async fn connect(
    io: BoxIo,
    config: &ConnectorConfig,
    network: Network,
    target: &Target,
    within: Duration,
) -> Result<BoxIo, ConnectError> {
    let asking = async {
        match network {
            Network::Tcp => stream(io, config, target).await,
            Network::Udp => datagrams::connect(io, config, target).await,
        }
    };
    in_time(timeout(config), within, asking).await
}

/// Asks the node at the other end of `io` to carry datagrams that each have their own destination:
/// the chunks are packets ([`crate::io::datagrams`]), with a payload of up to `longest` bytes.
///
/// # Errors
/// [`ConnectError`], as [`connect`].
pub async fn associate(
    io: BoxIo,
    config: &ConnectorConfig,
    longest: usize,
    within: Duration,
) -> Result<BoxIo, ConnectError> {
    in_time(timeout(config), within, datagrams::associate(io, config, longest)).await
}

/// Asks a SOCKS5 node for a port of its own that takes packets (`relay: udp`), as long as the stream
/// that is returned with it lives.
///
/// # Errors
/// [`ConnectError`], as [`connect`].
pub async fn udp_associate(
    io: BoxIo,
    config: &Socks5ConnectorConfig,
    within: Duration,
) -> Result<(BoxIo, Address), ConnectError> {
    in_time(config.timeout, within, socks5::udp_associate(io, config)).await
}

async fn stream(
    io: BoxIo,
    config: &ConnectorConfig,
    target: &Target,
) -> Result<BoxIo, ConnectError> {
    match config {
        ConnectorConfig::Http(config) => http::connect(io, config, target).await,
        ConnectorConfig::Socks4(config) => socks4::connect(io, config, target).await,
        ConnectorConfig::Socks5(config) => socks5::connect(io, config, target).await,
        ConnectorConfig::Relay(config) => self::relay::connect(io, config, target).await,
        // The other end decides where it goes.
        ConnectorConfig::Forward => Ok(io),
        ConnectorConfig::Direct => Err(DIRECT),
    }
}

const DIRECT: ConnectError = ConnectError::Cannot("a direct connector has no node to ask");

/// The connector's own time limit.
fn timeout(config: &ConnectorConfig) -> Option<Duration> {
    match config {
        ConnectorConfig::Http(config) => config.timeout,
        ConnectorConfig::Socks4(config) => config.timeout,
        ConnectorConfig::Socks5(config) => config.timeout,
        ConnectorConfig::Relay(config) => config.timeout,
        ConnectorConfig::Forward | ConnectorConfig::Direct => None,
    }
}

async fn in_time<T>(
    own: Option<Duration>,
    within: Duration,
    asking: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let within = own.map_or(within, |own| own.min(within));
    tokio::time::timeout(within, asking).await.map_err(|_| ConnectError::Timeout)?
}
