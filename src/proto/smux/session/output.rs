//! What goes to the carrier: control frames first, then the streams in turn.

use super::{CROWD, Command, Fin, HEADER, Header, Queue, Session, Stream, Time, has_room};
use crate::proto::smux::{StreamError, WindowUpdate};

/// Data frames that go out together.
pub const MAX_GATHER: usize = 16;

/// Bytes of a stream before the next one has its turn: what one read brought, so that it is one
/// write again at the other end.
const QUANTUM: usize = 256 * 1024;

/// Bytes from which on a large buffer is worth it.
const MUCH: usize = 32 * 1024;

/// The longest control frame, in bytes.
const CONTROL: usize = HEADER + WindowUpdate::LEN;

/// A frame that waits for no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Syn(u32),
    Fin(u32),
    Nop,
    Update(u32),
}

impl<Q: Queue> Session<Q> {
    /// Puts frames out, at most [`MAX_GATHER`] with data and `limit` bytes in all; how many bytes.
    /// 0: there is nothing to send now.
    pub fn transmit(&mut self, limit: usize, now: Time, put: &mut dyn FnMut(&[u8])) -> usize {
        let full = self.control.len() >= super::MAX_CONTROL;
        let mut out = Out { left: limit, frames: 0, bytes: 0, put };
        while out.left >= CONTROL
            && let Some(control) = self.control.pop_front()
        {
            self.send_control(control, &mut out);
        }
        if full && self.control.len() < super::MAX_CONTROL {
            self.work = true;
        }
        let turns = self.brief.len() + self.round.len();
        for turn in 0..turns.max(MAX_GATHER) {
            // The end of a stream is two headers long.
            if out.frames >= MAX_GATHER || out.left < 2 * HEADER {
                break;
            }
            // Who has much waits for those who have little, but not forever.
            let little = turn < MAX_GATHER / 2 || self.round.is_empty();
            let brief = if little { self.brief.pop_front() } else { None };
            let Some(id) = brief.or_else(|| self.round.pop_front()) else { break };
            if !self.take_turn(id, now, &mut out) {
                break;
            }
        }
        self.call(CROWD);
        out.bytes
    }

    /// Whether there may be something to send now.
    pub fn has_output(&self) -> bool {
        !self.control.is_empty() || !self.brief.is_empty() || !self.round.is_empty()
    }

    /// How much there is for [`transmit`](Self::transmit), at least: whether to fetch a large buffer.
    pub fn has_much(&self) -> bool {
        let mut unsent = 0;
        self.round.iter().chain(&self.brief).any(|id| {
            unsent += self.streams.get(id).map_or(0, |stream| stream.send.len());
            unsent > MUCH
        })
    }

    fn send_control(&mut self, control: Control, out: &mut Out<'_>) {
        let version = self.options.version;
        match control {
            Control::Syn(id) => {
                self.unannounced = self.unannounced.saturating_sub(1);
                out.header(version, Command::Syn, 0, id);
            }
            Control::Fin(id) => out.header(version, Command::Fin, 0, id),
            Control::Nop => out.header(version, Command::Nop, 0, 0),
            Control::Update(id) => {
                let Some(stream) = self.streams.get_mut(&id) else { return };
                let update = stream.take_update(self.options.stream_buffer);
                out.header(version, Command::Upd, WindowUpdate::LEN, id);
                out.bytes(&update.encode());
            }
        }
    }

    /// Sends of a stream what its turn allows. `false`: it comes first in the next batch.
    fn take_turn(&mut self, id: u32, now: Time, out: &mut Out<'_>) -> bool {
        let options = self.options;
        let Some(stream) = self.streams.get_mut(&id) else { return true };
        stream.listed = false;
        let Ok(mut allowed) = stream.allowance(options.version) else {
            self.reset(id, StreamError::Consumed);
            return true;
        };
        let mut turn = QUANTUM.max(usize::from(options.max_frame));
        while allowed > 0 && turn > 0 {
            let apart = if stream.apart > 0 { stream.apart } else { allowed };
            let wanted = allowed.min(apart).min(turn).min(usize::from(options.max_frame));
            let room = out.left.saturating_sub(HEADER);
            // No crumbs at the end of a batch.
            let crumb = out.bytes > 0 && room < wanted && room < 4096;
            if out.frames >= MAX_GATHER || room == 0 || crumb {
                stream.listed = true;
                if stream.bulk { &mut self.round } else { &mut self.brief }.push_front(id);
                return false;
            }
            let n = wanted.min(room);
            out.header(options.version, Command::Psh, n, id);
            out.frames += 1;
            stream.send.take(n, &mut |piece| out.bytes(piece));
            stream.sent(n, now);
            allowed -= n;
            turn -= n;
        }
        let waits = stream.send.len();
        self.unsent =
            (self.unsent + waits).saturating_sub(std::mem::replace(&mut stream.unsent, waits));
        if has_room(&stream.send, self.unsent) && !stream.crowded {
            self.wakes.extend(stream.writer.take());
        }
        if stream.send.is_empty() {
            Self::send_fin(options.version, id, stream, out);
        }
        stream.weigh(&mut self.footprint);
        if stream.is_over() {
            self.remove(id);
        } else if stream.is_ready(options.version) {
            stream.listed = true;
            self.round.push_back(id);
        }
        true
    }

    fn send_fin(version: u8, id: u32, stream: &mut Stream<Q>, out: &mut Out<'_>) {
        let Some(fin) = stream.fin_due() else { return };
        if out.left < 2 * HEADER {
            return;
        }
        if fin == Fin::Half {
            out.header(version, Command::Nop, 0, id);
        }
        out.header(version, Command::Fin, 0, id);
        stream.said = Some(fin);
    }
}

/// A batch of frames.
struct Out<'a> {
    left: usize,
    frames: usize,
    bytes: usize,
    put: &'a mut dyn FnMut(&[u8]),
}

impl Out<'_> {
    fn header(&mut self, version: u8, command: Command, len: usize, id: u32) {
        // No frame is longer than `max_frame`, which is a u16.
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        self.bytes(&Header { version, command, len, id }.encode());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        (self.put)(bytes);
        self.left = self.left.saturating_sub(bytes.len());
        self.bytes += bytes.len();
    }
}
