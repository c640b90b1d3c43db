//! Frame headers.

use super::{WsError, mask};

/// The longest payload of a control frame, in bytes (RFC 6455 section 5.5).
pub const MAX_CONTROL: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation,
    /// Text; for a tunnel the same as binary.
    Text,
    /// Bytes.
    Binary,
    /// The end of the connection.
    Close,
    /// A question for a sign of life.
    Ping,
    /// The answer to it.
    Pong,
}

impl Opcode {
    fn parse(bits: u8) -> Result<Self, WsError> {
        Ok(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => return Err(WsError::Opcode(other)),
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Whether it is Close, Ping or Pong.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The last frame of its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The masking key, if the payload is masked.
    pub key: Option<[u8; 4]>,
    /// The payload's length in bytes, less than 2^63.
    pub len: u64,
}

/// An encoded header: 2 to 14 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeaderBytes {
    bytes: [u8; 14],
    len: usize,
}

impl HeaderBytes {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }
}

impl FrameHeader {
    /// A data frame that is a whole message.
    pub fn binary(len: usize, key: Option<[u8; 4]>) -> Self {
        Self { fin: true, opcode: Opcode::Binary, key, len: len as u64 }
    }

    /// Decodes a header; `None` needs more bytes, else also how many it took.
    ///
    /// # Errors
    /// [`WsError`] for what is wrong with the header by itself.
    pub fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, WsError> {
        let Some((&[first, second], rest)) = input.split_first_chunk() else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(WsError::ReservedBits);
        }
        let (fin, opcode) = (first & 0x80 != 0, Opcode::parse(first & 0x0f)?);
        let short = u64::from(second & 0x7f);
        if opcode.is_control() && (!fin || short > MAX_CONTROL as u64) {
            return Err(WsError::Control);
        }
        let (len, rest) = match short {
            126 => match rest.split_first_chunk() {
                Some((bytes, rest)) => (u64::from(u16::from_be_bytes(*bytes)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((bytes, rest)) => (u64::from_be_bytes(*bytes), rest),
                None => return Ok(None),
            },
            short => (short, rest),
        };
        if len >> 63 != 0 {
            return Err(WsError::Length);
        }
        let (key, rest) = match (second & 0x80 != 0, rest.split_first_chunk()) {
            (false, _) => (None, rest),
            (true, Some((key, rest))) => (Some(*key), rest),
            (true, None) => return Ok(None),
        };
        Ok(Some((Self { fin, opcode, key, len }, input.len() - rest.len())))
    }

    /// Encodes it, with the shortest form of the length.
    pub fn encode(&self) -> HeaderBytes {
        let mut out = HeaderBytes::default();
        let mask_bit = if self.key.is_some() { 0x80 } else { 0 };
        let first = self.opcode.bits() | if self.fin { 0x80 } else { 0 };
        match self.len {
            len @ 0..=125 => out.push(&[first, mask_bit | len as u8]),
            len @ 126..=0xffff => {
                out.push(&[first, mask_bit | 126]);
                out.push(&(len as u16).to_be_bytes());
            }
            len => {
                out.push(&[first, mask_bit | 127]);
                out.push(&len.to_be_bytes());
            }
        }
        if let Some(key) = self.key {
            out.push(&key);
        }
        out
    }
}

/// A whole control frame; what of `payload` is beyond [`MAX_CONTROL`] is cut off.
pub fn control_frame(opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let payload = payload.get(..MAX_CONTROL).unwrap_or(payload);
    let header = FrameHeader { fin: true, opcode, key, len: payload.len() as u64 }.encode();
    let mut frame = header.as_slice().to_vec();
    let start = frame.len();
    frame.extend_from_slice(payload);
    if let (Some(key), Some(body)) = (key, frame.get_mut(start..)) {
        mask(body, key);
    }
    frame
}
