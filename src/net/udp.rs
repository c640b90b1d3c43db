//! Datagrams: sockets that are streams of them, and the listener that makes streams of sources.
//!
//! A stream of datagrams is an [`Io`](crate::io::Io) of which each chunk is one datagram. An empty
//! chunk is the end of a stream, so empty datagrams are skipped, as GOST's framing does. Datagrams
//! have no half-close: to end one direction says nothing to the peer.

use std::io;
use std::net::SocketAddr;

mod connected;
pub mod listener;

pub(super) use connected::UdpIo;

/// Whether the datagram alone is at fault: it is longer than the way takes.
fn too_long(e: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(e) == Some(rustix::io::Errno::MSGSIZE)
}

/// IPv4 peers of a dual-stack socket appear as IPv4.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
