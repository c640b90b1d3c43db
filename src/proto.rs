//! Wire formats without sockets: bytes in, values out.
//!
//! Floor 1. A decoder answers `None` while it needs more bytes, and leaves the rest to the caller.

pub mod address;
pub mod http1;
pub mod proxy_protocol;
pub mod relay;
pub mod smux;
pub mod socks4;
pub mod socks5;
pub mod ws;

#[cfg(test)]
mod wire_tests;

/// A value that stands at the beginning of a stream.
pub trait Wire: Sized {
    /// What can be wrong with it.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Whether it ends with a line, so that input without a new `\n` need not be looked at.
    const LINES: bool;

    /// Decodes it; `None` needs more bytes, else also how many it took.
    ///
    /// # Errors
    /// No further byte can make this a value.
    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, Self::Error>;
}

/// The first `N` bytes, if they are there.
fn fixed<const N: usize>(input: &[u8]) -> Option<&[u8; N]> {
    input.first_chunk()
}
