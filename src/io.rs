//! Byte streams: the `Io` trait, pooled buffers, and the pipe between two of them. Datagrams on them.
//!
//! Floor 2. A tunnel is one task that polls both directions of two [`Io`]s ([`pipe()`]); whatever
//! lies between (WebSocket framing, a prefix that was read too early) is an `Io` around an `Io`
//! that works in the caller's [`Chunk`], so a byte is masked where it was read and never copied.

mod adapt;
mod alarm;
mod chunk;
pub mod datagrams;
mod exchange;
#[cfg(test)]
pub(crate) mod full;
pub mod inbound;
pub mod memory;
mod pipe;
mod pool;
mod prefixed;
mod read;
mod stream;

pub use adapt::AsyncIo;
pub use alarm::Alarm;
pub use chunk::{Chunk, HEADROOM};
pub use exchange::Exchange;
pub use inbound::{Accept, Inbound, Serving, Surroundings};
pub use pipe::{Direction, PipeOptions, pipe};
pub use prefixed::Prefixed;
pub use read::{Read, ReadError, read_wire};
pub use stream::{Ending, Io, ended};
pub(crate) use stream::{lies_on_nothing, says_no_farewell};

/// A stream whose layers are known only at run time.
pub type BoxIo = Box<dyn Io>;
