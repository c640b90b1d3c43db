//! Streams of datagrams, one a chunk, on top of others.
//!
//! An empty chunk is the end of a stream, so empty datagrams are dropped, as everywhere. Datagrams
//! have no half-close: to end one direction says nothing to the peer, and a peer's end is one of
//! both directions. A *packet* is a datagram that begins with its address, in the form of RFC 1928
//! section 7 ([`PacketHeader`](crate::proto::socks5::PacketHeader)).

mod addressed;
mod controlled;
mod framed;
#[cfg(test)]
mod tests;

pub use addressed::Addressed;
pub use controlled::Controlled;
pub use framed::{Framed, Framing};

/// The longest payload that a length of two bytes can tell.
pub const MAX_DATAGRAM: usize = u16::MAX as usize;
