//! Connector `relay`: GOST's own protocol.
//!
//! The request leaves at once. Without `nodelay` its response is taken off the first bytes that
//! come back, so that a server that holds it until the target speaks, as GOST does by default, and
//! one that sends it at once are served alike.

use std::io;
use std::task::{Context, Poll, ready};

use super::ConnectError;
use crate::base::{ListenAddr, Network, Target};
use crate::config::model::RelayConnectorConfig;
use crate::io::{BoxIo, Chunk, Ending, Exchange, Io};
use crate::proto::Wire;
use crate::proto::address::Address;
use crate::proto::relay::{Request, Response, UserAuth, command, status};

/// The longest response: its header, and features of 64 KiB together.
const MAX_MESSAGE: usize = 4 + 65535;

pub(super) async fn connect(
    io: BoxIo,
    config: &RelayConnectorConfig,
    target: &Target,
) -> Result<BoxIo, ConnectError> {
    ask(io, config, (command::CONNECT, Network::Tcp), target.into()).await
}

/// Sends a request. Whoever asks for a BIND waits for the response, as in GOST.
pub(super) async fn ask(
    io: BoxIo,
    config: &RelayConnectorConfig,
    (command, network): (u8, Network),
    address: Address,
) -> Result<BoxIo, ConnectError> {
    let request = Request { command, network, auth: auth(config), address: Some(address) };
    let mut node = Exchange::new(io);
    node.write(&request.encode()).await.map_err(ConnectError::Io)?;
    if !config.nodelay && command != command::BIND {
        return Ok(Box::new(Unanswered { io: node.into_io(), seen: Some(Vec::new()) }));
    }
    let response: Response = node.read(MAX_MESSAGE).await.map_err(ConnectError::answer)?;
    match response.status {
        status::OK => Ok(node.into_io()),
        status::UNAUTHORIZED => Err(ConnectError::Unauthorized),
        other => Err(ConnectError::Relay(other)),
    }
}

fn auth(config: &RelayConnectorConfig) -> Option<UserAuth> {
    config
        .auth
        .as_ref()
        .map(|auth| UserAuth { username: auth.username.clone(), password: auth.password.clone() })
}

/// Asks the node to listen: where it does.
pub(super) async fn bind(
    node: &mut Exchange,
    config: &RelayConnectorConfig,
    addr: &ListenAddr,
) -> Result<Address, ConnectError> {
    let (command, network, auth) = (command::BIND, Network::Tcp, auth(config));
    let request = Request { command, network, auth, address: Some(addr.into()) };
    node.write(&request.encode()).await.map_err(ConnectError::Io)?;
    let response: Response = node.read(MAX_MESSAGE).await.map_err(ConnectError::answer)?;
    match response.status {
        status::OK => Ok(response.address.unwrap_or_default()),
        status::UNAUTHORIZED => Err(ConnectError::Unauthorized),
        status::FORBIDDEN => Err(ConnectError::BindForbidden),
        code @ status::SERVICE_UNAVAILABLE => Err(ConnectError::NotBound(code)),
        other => Err(ConnectError::Relay(other)),
    }
}

/// Who came, as a stream of a port that was bound begins.
pub(super) async fn came(stream: &mut Exchange) -> Result<Address, ConnectError> {
    let response: Response = stream.read(MAX_MESSAGE).await.map_err(ConnectError::answer)?;
    match response.status {
        status::OK => Ok(response.address.unwrap_or_default()),
        other => Err(ConnectError::Relay(other)),
    }
}

/// A stream whose first bytes are the response that nobody has waited for.
struct Unanswered {
    io: BoxIo,
    /// What has come of the response; `None` once it is whole.
    seen: Option<Vec<u8>>,
}

impl Io for Unanswered {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        loop {
            let read = ready!(self.io.poll_read(cx, chunk));
            if let (Err(error), Some(_)) = (&read, &self.seen) {
                tracing::info!(%error, "the node gave no answer");
            }
            read?;
            let Some(mut seen) = self.seen.take() else { return Poll::Ready(Ok(())) };
            if chunk.is_empty() {
                let what = "the node ended before it answered";
                tracing::info!("{what}");
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, what)));
            }
            let before = seen.len();
            seen.extend_from_slice(chunk.data());
            let decoded = Response::decode(&seen).map_err(|error| {
                tracing::info!(%error, "the node answers in another protocol than relay");
                io::Error::other(error)
            })?;
            match decoded {
                None if seen.len() > MAX_MESSAGE => {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                None => {
                    chunk.release();
                    self.seen = Some(seen);
                }
                Some((Response { status: status::OK, .. }, length)) => {
                    chunk.consume(length - before);
                    if !chunk.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Some((Response { status, .. }, _)) => {
                    let error = match status {
                        status::UNAUTHORIZED => ConnectError::Unauthorized,
                        other => ConnectError::Relay(other),
                    };
                    tracing::info!(%error, "the node refused a stream");
                    return Poll::Ready(Err(io::Error::other(error)));
                }
            }
        }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_room(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        self.io.poll_write(cx, chunk)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx)
    }

    fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_close_write(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()> {
        self.io.poll_end(cx, ending)
    }

    fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.io.upkeep(cx)
    }

    fn peer_closed(&self) -> bool {
        self.io.peer_closed()
    }
}
