//! A byte stream in WebSocket frames, as GOST sends it.
//!
//! One write is one binary message in one frame. A half-close is the carrier's FIN, never a Close
//! frame; a FIN without Close is the peer's half-close. A Close frame from the peer ends both
//! directions and is answered.

use std::io;
use std::task::{Context, Poll, ready};

use crate::io::{Chunk, Ending, Io};
use crate::proto::ws::{
    CLOSE_PROTOCOL_ERROR, CLOSE_SERVICE_RESTART, CLOSE_TRY_AGAIN_LATER, Decoder, End, FrameHeader,
    Opcode, Role, close_frame, control_frame, mask,
};

mod ping;

pub use ping::Ping;
use ping::Pinger;

/// A byte stream over a WebSocket whose handshake is done.
pub struct WsIo<I> {
    io: I,
    role: Role,
    decoder: Decoder,
    pinger: Option<Pinger>,
    /// The chunk that the caller writes has its header already.
    in_frame: bool,
    /// A control frame on its way out.
    control: Chunk,
    /// Control frames were written and not flushed.
    unflushed: bool,
    /// The payload of the Pong that we owe. Only the latest Ping is answered, so a flood of them
    /// costs no memory.
    pong: Option<Vec<u8>>,
    ping_due: bool,
    /// A Close to be sent, then nothing more.
    close: Option<Vec<u8>>,
    writing: Writing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Open,
    /// A Close was sent or is about to be; no data may follow.
    Closed,
    /// The FIN is out.
    Finished,
}

impl<I: Io> WsIo<I> {
    /// The server's end.
    pub fn server(io: I, ping: Option<Ping>) -> Self {
        Self::new(io, Role::Server, ping)
    }

    /// The client's end.
    pub fn client(io: I, ping: Option<Ping>) -> Self {
        Self::new(io, Role::Client, ping)
    }

    fn new(io: I, role: Role, ping: Option<Ping>) -> Self {
        Self {
            io,
            role,
            decoder: Decoder::new(role),
            pinger: ping.map(Pinger::new),
            in_frame: false,
            control: Chunk::new(),
            unflushed: false,
            pong: None,
            ping_due: false,
            close: None,
            writing: Writing::Open,
        }
    }

    /// A fresh key for every frame (RFC 6455 section 5.3), if ours are masked.
    fn key(&self) -> Option<[u8; 4]> {
        (self.role == Role::Client).then(|| rand::random::<u32>().to_ne_bytes())
    }

    /// Sends what is owed beside the data. Pending while a data frame is half written.
    fn poll_control(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.in_frame || self.writing == Writing::Finished {
            return if self.in_frame { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
        loop {
            if !self.control.is_empty() {
                ready!(self.io.poll_write(cx, &mut self.control))?;
                self.unflushed = true;
            }
            let frame = if let Some(close) = self.close.take() {
                (self.pong, self.ping_due) = (None, false);
                close
            } else if self.writing != Writing::Open {
                break;
            } else if let Some(payload) = self.pong.take() {
                control_frame(Opcode::Pong, &payload, self.key())
            } else if std::mem::take(&mut self.ping_due) {
                control_frame(Opcode::Ping, b"", self.key())
            } else {
                break;
            };
            self.control = Chunk::from_slice(&frame);
        }
        if self.unflushed {
            ready!(self.io.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn queue_close(&mut self, code: Option<u16>, reason: &str) {
        if self.writing == Writing::Open {
            self.close = Some(close_frame(code, reason, self.key()));
            self.writing = Writing::Closed;
        }
    }

    /// Puts a frame around the chunk's data, in place.
    fn frame(&mut self, chunk: &mut Chunk) {
        let key = self.key();
        if let Some(key) = key {
            mask(chunk.data_mut(), key);
        }
        let header = FrameHeader::binary(chunk.len(), key).encode();
        // Carriers within carriers may have used the headroom up.
        chunk.prefix(header.as_slice());
    }
}

impl<I: Io> Io for WsIo<I> {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        loop {
            match self.decoder.end() {
                Some(End::Closed(_)) => return Poll::Ready(Ok(())),
                Some(End::Failed(e)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, e)));
                }
                None => {}
            }
            let Poll::Ready(read) = self.io.poll_read(cx, chunk) else {
                if let Some(pinger) = &mut self.pinger {
                    pinger.nothing_heard();
                }
                return Poll::Pending;
            };
            read?;
            if chunk.is_empty() {
                return Poll::Ready(if self.decoder.mid_frame() {
                    Err(io::ErrorKind::UnexpectedEof.into())
                } else {
                    Ok(())
                });
            }
            if let Some(pinger) = &mut self.pinger {
                pinger.heard();
            }
            let payload = self.decoder.decode(chunk.data_mut());
            chunk.keep(payload);
            if let Some(payload) = self.decoder.take_ping() {
                self.pong = Some(payload);
            }
            match self.decoder.end() {
                Some(End::Closed(code)) => self.queue_close(code, ""),
                Some(End::Failed(e)) => {
                    self.queue_close(Some(CLOSE_PROTOCOL_ERROR), &e.to_string());
                }
                None => {}
            }
            // Whoever writes data next hears of an error; there may be more to read.
            let _ = self.poll_control(cx);
            if !chunk.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_room(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if !self.in_frame {
            ready!(self.poll_control(cx))?;
            if self.writing != Writing::Open {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if chunk.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.frame(chunk);
            self.in_frame = true;
        }
        ready!(self.io.poll_write(cx, chunk))?;
        self.in_frame = false;
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_control(cx))?;
        self.io.poll_flush(cx)
    }

    fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A frame that was never completed cannot be followed by anything but the end.
        if !self.in_frame {
            ready!(self.poll_control(cx))?;
        }
        ready!(self.io.poll_close_write(cx))?;
        self.writing = Writing::Finished;
        // After our FIN no Ping can be sent, so the peer's silence proves nothing.
        self.pinger = None;
        Poll::Ready(Ok(()))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()> {
        let farewell = match ending {
            Ending::Finished => None,
            Ending::Restart => Some((CLOSE_SERVICE_RESTART, "service restart")),
            Ending::Overload => Some((CLOSE_TRY_AGAIN_LATER, "try again later")),
        };
        if let Some((code, reason)) = farewell.filter(|_| !self.in_frame) {
            self.queue_close(Some(code), reason);
        }
        if self.writing != Writing::Finished && ready!(self.poll_close_write(cx)).is_err() {
            return Poll::Ready(());
        }
        if ending == Ending::Finished {
            return self.io.poll_end(cx, ending);
        }
        // A socket that is dropped with unread bytes sends a reset, which would overtake our Close.
        let mut rest = Chunk::new();
        loop {
            match ready!(self.io.poll_read(cx, &mut rest)) {
                Ok(()) if !rest.is_empty() => rest.release(),
                _ => return self.io.poll_end(cx, ending),
            }
        }
    }

    fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.io.upkeep(cx)?;
        if let Some(pinger) = &mut self.pinger
            && pinger.poll_due(cx)?
        {
            self.ping_due = true;
        }
        let _ = self.poll_control(cx);
        Ok(())
    }

    fn peer_closed(&self) -> bool {
        self.decoder.end().is_some() || self.io.peer_closed()
    }
}

#[cfg(test)]
mod tests;
