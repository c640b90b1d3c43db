//! Datagrams on a stream of bytes.

use std::io;
use std::task::{Context, Poll, ready};

use super::MAX_DATAGRAM;
use crate::io::{BoxIo, Chunk, Ending, Io};
use crate::proto::socks5::{FrameHeader, PacketHeader, Socks5Error};

/// How datagrams stand on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// GOST's relay with a target: a length of two bytes, then the payload.
    Lengths,
    /// GOST's UDP over SOCKS5, over HTTP and over relay without a target: [`FrameHeader`], then the
    /// payload. The chunks are packets.
    Packets,
}

impl Framing {
    /// How long the header at the beginning of `input` is, and the payload behind it.
    fn span(self, input: &[u8]) -> Result<Option<(usize, usize)>, Socks5Error> {
        match self {
            Self::Lengths => {
                let length = input.first_chunk().map(|length| u16::from_be_bytes(*length));
                Ok(length.map(|length| (2, usize::from(length))))
            }
            Self::Packets => FrameHeader::span(input),
        }
    }

    /// Puts a header before a datagram; `false` if it cannot be sent: empty, or too long.
    fn frame(self, chunk: &mut Chunk) -> bool {
        let header = match self {
            Self::Lengths => Some(0),
            Self::Packets => PacketHeader::span(chunk.data()),
        };
        let payload = header.map(|header| chunk.len() - header).map(u16::try_from);
        let Some(Ok(length @ 1..)) = payload else { return false };
        match self {
            Self::Lengths => chunk.prefix(&length.to_be_bytes()),
            Self::Packets => FrameHeader::of_packet(chunk.data_mut(), length),
        }
        true
    }
}

/// Datagrams on a stream. Each is written in one piece: a WebSocket message, a frame of smux.
///
/// Of a datagram that comes it keeps no more than the first bytes, as many as it was told; the rest
/// of a longer one is lost, as in GOST.
pub struct Framed {
    io: BoxIo,
    framing: Framing,
    longest: usize,
    /// Read and not yet decoded.
    held: Chunk,
    /// The beginning of a datagram whose rest is yet to come.
    begun: Vec<u8>,
    /// Bytes of a datagram that are yet to come and too many.
    skip: usize,
    /// The stream has ended.
    ended: bool,
    /// The chunk that the caller writes has its header already.
    framed: bool,
}

impl Framed {
    /// Datagrams with a payload of up to `longest` bytes.
    pub fn new(io: BoxIo, framing: Framing, longest: usize) -> Self {
        Self {
            io,
            framing,
            longest: longest.clamp(1, MAX_DATAGRAM),
            held: Chunk::new(),
            begun: Vec::new(),
            skip: 0,
            ended: false,
            framed: false,
        }
    }

    /// The next datagram of what was read, if it is there.
    fn next(&mut self) -> Result<Option<Chunk>, Socks5Error> {
        loop {
            let skipped = self.skip.min(self.held.len());
            self.held.consume(skipped);
            self.skip -= skipped;
            let kept = |(header, payload): (usize, usize)| header + payload.min(self.longest);
            // Most come in one piece.
            if self.begun.is_empty()
                && let Some(span) = self.framing.span(self.held.data())?
                && let end = kept(span)
                && self.held.len() >= end
            {
                let datagram = self.held.split_to(end);
                match self.taken(datagram, span) {
                    None => continue,
                    some => return Ok(some),
                }
            }
            let span = self.framing.span(&self.begun)?;
            let wanted = match span {
                // Where the header ends is not known.
                None => 1,
                Some(span) => kept(span).saturating_sub(self.begun.len()),
            };
            if let (0, Some(span)) = (wanted, span) {
                let datagram = Chunk::from_slice(&std::mem::take(&mut self.begun));
                match self.taken(datagram, span) {
                    None => continue,
                    some => return Ok(some),
                }
            }
            let n = wanted.min(self.held.len());
            if n == 0 {
                return Ok(None);
            }
            self.begun.extend_from_slice(self.held.data().get(..n).unwrap_or_default());
            self.held.consume(n);
        }
    }

    /// A datagram without what the stream alone needs; `None` if it is empty.
    fn taken(&mut self, mut chunk: Chunk, (header, payload): (usize, usize)) -> Option<Chunk> {
        self.skip = payload.saturating_sub(self.longest);
        match self.framing {
            Framing::Lengths => chunk.consume(header),
            Framing::Packets => FrameHeader::to_packet(chunk.data_mut()),
        }
        (payload > 0).then_some(chunk)
    }
}

impl Io for Framed {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        loop {
            let datagram =
                self.next().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            if let Some(datagram) = datagram {
                *chunk = datagram;
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            ready!(self.io.poll_read(cx, &mut self.held))?;
            if self.held.is_empty() {
                self.ended = true;
                if !self.begun.is_empty() || self.skip > 0 {
                    let what = "the stream ended within a datagram";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, what)));
                }
            }
        }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_room(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if !self.framed {
            if !self.framing.frame(chunk) {
                chunk.release();
                return Poll::Ready(Ok(()));
            }
            self.framed = true;
        }
        ready!(self.io.poll_write(cx, chunk))?;
        self.framed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx)
    }

    /// Says nothing to the peer. GOST would take a FIN for the end of both directions.
    fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()> {
        self.io.poll_end(cx, ending)
    }

    fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.io.upkeep(cx)
    }

    fn peer_closed(&self) -> bool {
        self.ended || self.io.peer_closed()
    }
}

#[cfg(test)]
impl Framed {
    /// Bytes that it holds of a datagram that is not whole.
    pub(super) fn begun(&self) -> usize {
        self.begun.len()
    }
}
