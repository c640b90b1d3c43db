//! BIND: a port that a node has for us, and those who come to it.
//!
//! The node opens a stream for each of them, as the smux client, on the connection on which it was
//! asked; we are the smux server. A stream begins with who came.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::{ConnectError, relay, socks5};
use crate::base::{Host, ListenAddr};
use crate::config::defaults;
use crate::config::model::ConnectorConfig;
use crate::io::memory::Account;
use crate::io::{BoxIo, Exchange};
use crate::metrics::ServiceMetrics;
use crate::proto::address::Address;
use crate::transport::mux::Acceptor;

/// Streams that have not said yet who came. More wait in the session.
const ARRIVING: usize = defaults::BACKLOG as usize;

/// How long a stream may take to say it. GOST waits forever, and everybody behind it.
const WITHIN: Duration = Duration::from_secs(10);

/// The task that carries a [`RemoteListener`]'s streams: spawn it. It ends with the connection to the
/// node, and when nobody holds the listener nor a stream.
pub type Carrying = Pin<Box<dyn Future<Output = Option<io::Error>> + Send>>;

/// A port that a node has for us. Dropping it takes nobody new; streams that came live on, and the
/// node gives the port back with the last of them.
pub struct RemoteListener {
    addr: Address,
    protocol: Protocol,
    acceptor: Acceptor,
    arriving: FuturesUnordered<Arriving>,
}

type Arriving = Pin<Box<dyn Future<Output = Result<(BoxIo, SocketAddr), ConnectError>> + Send>>;

/// What a stream begins with.
#[derive(Clone, Copy)]
enum Protocol {
    Relay,
    Socks5,
}

/// Asks the node at the other end of `io` to listen on `addr`.
///
/// # Errors
/// [`ConnectError`]; in any case within `within`, or the connector's `timeout` if shorter.
pub async fn bind(
    io: BoxIo,
    config: &ConnectorConfig,
    addr: &ListenAddr,
    within: Duration,
    metrics: ServiceMetrics,
    memory: Account,
) -> Result<(RemoteListener, Carrying), ConnectError> {
    let cannot = ConnectError::Cannot("this connector cannot ask a node to listen");
    let (own, mux, protocol) = match config {
        ConnectorConfig::Relay(config) => (config.timeout, config.mux, Protocol::Relay),
        ConnectorConfig::Socks5(config) => (config.timeout, config.mux, Protocol::Socks5),
        _ => return Err(cannot),
    };
    let mut node = Exchange::new(io);
    let asking = async {
        match config {
            ConnectorConfig::Relay(config) => relay::bind(&mut node, config, addr).await,
            ConnectorConfig::Socks5(config) => socks5::bind(&mut node, config, addr).await,
            _ => Err(cannot),
        }
    };
    let within = own.map_or(within, |own| own.min(within));
    let asked = tokio::time::timeout(within, asking).await.map_err(|_| ConnectError::Timeout)?;
    let addr = asked?;
    let (acceptor, carrying) = Acceptor::begin(node.into_io(), mux, Some(metrics), memory);
    let listener = RemoteListener { addr, protocol, acceptor, arriving: FuturesUnordered::new() };
    Ok((listener, Box::pin(carrying)))
}

impl RemoteListener {
    /// Where the node listens, as it says. Nodes behind a translation may name an address of their own.
    pub fn addr(&self) -> &Address {
        &self.addr
    }

    /// The next stream and who came; `None` when the session is over. Dropped before it is ready, it
    /// loses none. A stream that does not say who came is dropped.
    pub async fn accept(&mut self) -> Option<(BoxIo, SocketAddr)> {
        loop {
            let room = self.arriving.len() < ARRIVING;
            tokio::select! {
                stream = self.acceptor.accept(), if room => {
                    self.arriving.push(Box::pin(arrive(stream?, self.protocol)));
                }
                Some(came) = self.arriving.next() => match came {
                    Ok(came) => return Some(came),
                    Err(error) => tracing::debug!(%error, "the node does not say who came"),
                },
            }
        }
    }
}

async fn arrive(io: BoxIo, protocol: Protocol) -> Result<(BoxIo, SocketAddr), ConnectError> {
    let mut stream = Exchange::new(io);
    let saying = async {
        match protocol {
            Protocol::Relay => relay::came(&mut stream).await,
            Protocol::Socks5 => socks5::came(&mut stream).await,
        }
    };
    let said = tokio::time::timeout(WITHIN, saying).await.map_err(|_| ConnectError::Timeout)?;
    match said? {
        Address { host: Some(Host::Ip(ip)), port } => {
            Ok((stream.into_io(), SocketAddr::new(ip.to_canonical(), port)))
        }
        _ => Err(ConnectError::Cannot("who came has no address")),
    }
}

#[cfg(test)]
mod tests;
