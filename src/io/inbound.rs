//! A stream that a client opened, and who takes it.

use std::net::SocketAddr;

use super::BoxIo;

/// A stream that a client opened: a TCP connection, or a WebSocket after its 101.
pub struct Inbound {
    /// The stream.
    pub io: BoxIo,
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address, as the client sees it on this connection.
    pub local: SocketAddr,
}

/// Takes streams: the engine's service behind a listener.
pub trait Accept: Send + Sync + 'static {
    /// Takes a stream and returns at once; serving it is a task of its own.
    fn accept(&self, inbound: Inbound);
}
