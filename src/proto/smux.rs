//! smux, versions 1 and 2, as xtaci/smux v1.5.31 speaks it: many streams in one reliable stream.
//!
//! [`Header`] is the wire; [`Session`] is one end of a session without a carrier or a clock: bytes
//! go in and out, time is a value.
//!
//! # How a stream ends
//!
//! smux has one FIN. GOST sends it when it is through with a stream, reads nothing more of it and
//! writes nothing after it came. Half-closed streams need more words, and these are ours, made of
//! frames that every peer takes:
//!
//! - FIN: the sender writes and reads no more. Data may still be on its way to it and is discarded.
//! - NOP with a stream's id, then FIN: the sender writes no more and goes on reading. GOST ignores
//!   the NOP, takes the FIN and stops writing, as it does among its own; adit goes on.
//! - a second FIN, after such a pair: now it does not read any more either.
//!
//! So adit behind adit half-closes, GOST is understood as it means it (a client that cancels a
//! download does not have the rest sent to nobody), and GOST hears what it knows.
//!
//! # What GOST drops
//!
//! - What comes behind an answer of the http and socks5 handlers in one read, which is one frame: so
//!   an answer has a frame of its own ([`Session::flush`]).
//! - What comes for a stream that it has opened and not yet put into its table: so nothing is sent on
//!   a stream of the peer before the peer has sent something on it, or for a moment. A client that
//!   waits for its target to speak first sends nothing.

mod error;
mod frame;
mod session;
mod stream;
#[cfg(test)]
mod tests;

pub use error::{DeadPeer, GoAway, SmuxError, StreamError};
pub use frame::{Command, HEADER, Header, WindowUpdate};
pub use session::{MAX_GATHER, Options, Role, Session, Time};
pub use stream::Queue;
