//! Packets that live as long as a stream.

use std::io;
use std::task::{Context, Poll, ready};

use crate::io::{BoxIo, Chunk, Ending, Io};
use crate::proto::socks5::PacketHeader;

/// Reads of the stream in a row that say nothing.
const ROUNDS: usize = 16;

/// Packets beside the stream on which they were asked for, as RFC 1928's UDP ASSOCIATE has them: the
/// end of the stream is theirs.
pub struct Controlled {
    packets: BoxIo,
    control: BoxIo,
    longest: usize,
    ended: bool,
}

impl Controlled {
    /// Packets with a payload of up to `longest` bytes; the rest of a longer one is lost.
    pub fn new(packets: BoxIo, control: BoxIo, longest: usize) -> Self {
        Self { packets, control, longest, ended: false }
    }

    /// Reads what means nothing up to the end.
    fn poll_control(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut said = Chunk::new();
        for _ in 0..ROUNDS {
            ready!(self.control.poll_read(cx, &mut said))?;
            if said.is_empty() {
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
            said.release();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Io for Controlled {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if !self.ended
            && let Poll::Ready(Err(e)) = self.poll_control(cx)
        {
            return Poll::Ready(Err(e));
        }
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        ready!(self.packets.poll_read(cx, chunk))?;
        if let Some(header) = PacketHeader::span(chunk.data()) {
            chunk.keep(0..header.saturating_add(self.longest));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.packets.poll_room(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        self.packets.poll_write(cx, chunk)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.packets.poll_flush(cx)
    }

    /// Says nothing to the peer: the stream goes on.
    fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.packets.poll_flush(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()> {
        self.control.poll_end(cx, ending)
    }

    fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.control.upkeep(cx)?;
        self.packets.upkeep(cx)
    }

    fn peer_closed(&self) -> bool {
        self.ended || self.packets.peer_closed()
    }
}
