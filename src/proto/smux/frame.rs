//! Frame headers. All numbers are little-endian.

use super::SmuxError;
use crate::proto::Wire;

/// The length of a header, in bytes.
pub const HEADER: usize = 8;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Opens a stream.
    Syn,
    /// Ends one.
    Fin,
    /// Data.
    Psh,
    /// A sign of life; with a stream's id see [`super`].
    Nop,
    /// A window update (version 2).
    Upd,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 1 or 2.
    pub version: u8,
    /// What it is.
    pub command: Command,
    /// The payload's length in bytes.
    pub len: u16,
    /// The stream.
    pub id: u32,
}

impl Header {
    /// Encodes it.
    pub fn encode(&self) -> [u8; HEADER] {
        let command = match self.command {
            Command::Syn => 0,
            Command::Fin => 1,
            Command::Psh => 2,
            Command::Nop => 3,
            Command::Upd => 4,
        };
        let ([l0, l1], [i0, i1, i2, i3]) = (self.len.to_le_bytes(), self.id.to_le_bytes());
        [self.version, command, l0, l1, i0, i1, i2, i3]
    }
}

impl Wire for Header {
    type Error = SmuxError;

    const LINES: bool = false;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, SmuxError> {
        // What is wrong in the first two bytes is known without the others.
        let Some(&version) = input.first() else { return Ok(None) };
        if version != 1 && version != 2 {
            return Err(SmuxError::Version(version));
        }
        let command = match input.get(1) {
            None => return Ok(None),
            Some(0) => Command::Syn,
            Some(1) => Command::Fin,
            Some(2) => Command::Psh,
            Some(3) => Command::Nop,
            Some(4) => Command::Upd,
            Some(&other) => return Err(SmuxError::Command(other)),
        };
        let Some(&[_, _, l0, l1, i0, i1, i2, i3]) = input.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let (len, id) = (u16::from_le_bytes([l0, l1]), u32::from_le_bytes([i0, i1, i2, i3]));
        let fits = match command {
            Command::Syn | Command::Fin | Command::Nop => len == 0,
            Command::Psh => true,
            Command::Upd => version == 2 && usize::from(len) == WindowUpdate::LEN,
        };
        if !fits {
            return Err(SmuxError::Length);
        }
        Ok(Some((Self { version, command, len, id }, HEADER)))
    }
}

/// The payload of [`Command::Upd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowUpdate {
    /// All bytes that the reader took of the stream, modulo 2^32.
    pub consumed: u32,
    /// How many more than that may be on their way.
    pub window: u32,
}

impl WindowUpdate {
    /// Its length, in bytes.
    pub const LEN: usize = 8;

    /// Encodes it.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let ([c0, c1, c2, c3], [w0, w1, w2, w3]) =
            (self.consumed.to_le_bytes(), self.window.to_le_bytes());
        [c0, c1, c2, c3, w0, w1, w2, w3]
    }

    /// Decodes it.
    pub fn decode([c0, c1, c2, c3, w0, w1, w2, w3]: [u8; Self::LEN]) -> Self {
        let (consumed, window) = ([c0, c1, c2, c3], [w0, w1, w2, w3]);
        Self { consumed: u32::from_le_bytes(consumed), window: u32::from_le_bytes(window) }
    }
}
