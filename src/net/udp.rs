//! Datagrams: sockets that are streams of them, and the listener that makes streams of sources.
//!
//! A stream of datagrams is an [`Io`](crate::io::Io) of which each chunk is one datagram. An empty
//! chunk is the end of a stream, so empty datagrams are skipped, as GOST's framing does. Datagrams
//! have no half-close: to end one direction says nothing to the peer.
//!
//! Three kinds of sockets: with one peer, with a source a stream ([`listener`]), and with a
//! destination a datagram, for associations. The chunks of an association are packets
//! ([`crate::io::datagrams`]); what cannot go where it should is dropped and counted, and never ends
//! it.

use std::io;
use std::net::SocketAddr;

mod associated;
mod connected;
mod dropped;
pub mod listener;
mod named;
#[cfg(test)]
mod tests;
mod unconnected;

pub use associated::Associated;
pub(super) use connected::UdpIo;
use dropped::Dropped;
pub use named::{Looking, Named};
pub(super) use unconnected::Unconnected;

/// Whether the datagram alone is at fault: it is longer than the way takes.
fn too_long(e: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(e) == Some(rustix::io::Errno::MSGSIZE)
}

/// IPv4 peers of a dual-stack socket appear as IPv4.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
