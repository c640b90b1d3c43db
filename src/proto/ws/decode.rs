//! The streaming decoder.

use std::ops::Range;

use super::frame::HeaderBytes;
use super::{FrameHeader, Opcode, WsError, close, mask};

/// Which end of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Our frames are masked, the peer's are not.
    Client,
    /// The other way round.
    Server,
}

/// Why nothing more will be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer sent Close, with this code.
    Closed(Option<u16>),
    /// The peer broke the protocol.
    Failed(WsError),
}

/// Decodes what a peer sends, in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    state: State,
    /// A message has begun and its last frame has not.
    in_message: bool,
    /// The latest Ping that was not asked for yet.
    ping: Option<Vec<u8>>,
    end: Option<End>,
}

#[derive(Debug)]
enum State {
    /// Bytes of a header that came in pieces.
    Header(HeaderBytes),
    Data {
        left: u64,
        key: Option<[u8; 4]>,
    },
    Control {
        opcode: Opcode,
        left: usize,
        key: Option<[u8; 4]>,
        payload: Vec<u8>,
    },
}

impl Decoder {
    /// A decoder for what the other end of `role` sends.
    pub fn new(role: Role) -> Self {
        let state = State::Header(HeaderBytes::default());
        Self { role, state, in_message: false, ping: None, end: None }
    }

    /// Decodes all of `input`. The payload of its data frames is in the returned range of it,
    /// unmasked and without gaps; it may be empty. After an [`End`] nothing comes any more.
    pub fn decode(&mut self, input: &mut [u8]) -> Range<usize> {
        let mut out = 0..0;
        let mut at = 0;
        while at < input.len() && self.end.is_none() {
            let result = match self.state {
                State::Header(_) => self.header(input.get(at..).unwrap_or_default()),
                _ => self.payload(input, at, &mut out),
            };
            match result {
                Ok(taken) => at += taken,
                Err(e) => self.end = Some(End::Failed(e)),
            }
        }
        out
    }

    /// The latest Ping since the last call: only that one wants an answer (section 5.5.3).
    pub fn take_ping(&mut self) -> Option<Vec<u8>> {
        self.ping.take()
    }

    /// Whether and why nothing more will be decoded.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether the input so far ends within a frame: an end of the stream here is a truncation.
    pub fn mid_frame(&self) -> bool {
        !matches!(&self.state, State::Header(bytes) if bytes.as_slice().is_empty())
    }

    /// Takes as much of a header as there is.
    fn header(&mut self, input: &[u8]) -> Result<usize, WsError> {
        let State::Header(partial) = &mut self.state else { return Ok(0) };
        let (mut header, mut taken) = (None, 0);
        if partial.as_slice().is_empty() {
            match FrameHeader::decode(input)? {
                Some((whole, used)) => (header, taken) = (Some(whole), used),
                None => {
                    // Less than a header: at most 13 bytes.
                    partial.push(input);
                    return Ok(input.len());
                }
            }
        }
        while header.is_none() {
            let Some(next) = input.get(taken..taken + 1) else { return Ok(taken) };
            partial.push(next);
            taken += 1;
            header = FrameHeader::decode(partial.as_slice())?.map(|(header, _)| header);
        }
        if let Some(header) = header {
            self.begin(header)?;
        }
        Ok(taken)
    }

    fn begin(&mut self, header: FrameHeader) -> Result<(), WsError> {
        if header.key.is_some() != (self.role == Role::Server) {
            return Err(WsError::Mask);
        }
        if header.opcode.is_control() {
            let (opcode, key, left) = (header.opcode, header.key, header.len as usize);
            self.state = State::Control { opcode, left, key, payload: Vec::with_capacity(left) };
        } else {
            if (header.opcode == Opcode::Continuation) != self.in_message {
                return Err(WsError::Fragment);
            }
            self.in_message = !header.fin;
            self.state = State::Data { left: header.len, key: header.key };
        }
        self.finish_if_complete()
    }

    /// Takes payload from `at` on.
    fn payload(
        &mut self,
        input: &mut [u8],
        at: usize,
        out: &mut Range<usize>,
    ) -> Result<usize, WsError> {
        let available = input.len() - at;
        let taken = match &mut self.state {
            State::Header(_) => 0,
            State::Data { left, key } => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
                unmask(input.get_mut(at..at + n).unwrap_or_default(), key);
                if out.start == out.end {
                    *out = at..at + n;
                } else if n <= out.len() {
                    input.copy_within(at..at + n, out.end);
                    out.end += n;
                } else {
                    let start = at - out.len();
                    input.copy_within(out.clone(), start);
                    *out = start..at + n;
                }
                *left -= n as u64;
                n
            }
            State::Control { left, key, payload, .. } => {
                let n = available.min(*left);
                let piece = input.get_mut(at..at + n).unwrap_or_default();
                unmask(piece, key);
                payload.extend_from_slice(piece);
                *left -= n;
                n
            }
        };
        self.finish_if_complete()?;
        Ok(taken)
    }

    fn finish_if_complete(&mut self) -> Result<(), WsError> {
        match &mut self.state {
            State::Data { left: 0, .. } => {}
            State::Control { left: 0, opcode, payload, .. } => match opcode {
                Opcode::Ping => self.ping = Some(std::mem::take(payload)),
                Opcode::Close => self.end = Some(End::Closed(close::parse(payload)?)),
                _ => {}
            },
            _ => return Ok(()),
        }
        self.state = State::Header(HeaderBytes::default());
        Ok(())
    }
}

/// Unmasks and turns the key so that it fits the next piece.
fn unmask(piece: &mut [u8], key: &mut Option<[u8; 4]>) {
    if let Some(key) = key
        && *key != [0; 4]
    {
        mask(piece, *key);
        key.rotate_left(piece.len() % 4);
    }
}
