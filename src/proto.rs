//! Wire formats without sockets: bytes in, values out.
//!
//! Floor 1. A decoder answers `None` while it needs more bytes, and leaves the rest to the caller.

pub mod ws;
