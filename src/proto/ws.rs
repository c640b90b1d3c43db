//! WebSocket framing (RFC 6455 section 5) for byte streams.
//!
//! A tunnel does not care about messages: [`Decoder`] hands out payload as it comes, whatever the
//! length that a frame announces, so its memory is bounded. It unmasks in place and moves the
//! payloads of small frames together, so that one read leaves as one write.

mod close;
mod decode;
mod error;
mod frame;
mod mask;
#[cfg(test)]
mod tests;

pub use close::{CLOSE_PROTOCOL_ERROR, CLOSE_SERVICE_RESTART, CLOSE_TRY_AGAIN_LATER, close_frame};
pub use decode::{Decoder, End, Role};
pub use error::WsError;
pub use frame::{FrameHeader, HeaderBytes, MAX_CONTROL, Opcode, control_frame};
pub use mask::mask;
