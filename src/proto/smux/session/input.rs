//! What comes from the carrier.

use super::{
    Command, Control, Fin, HEADER, Header, MAX_CONTROL, MAX_STREAMS, Queue, Session, SmuxError,
    Stream, Time, timers,
};
use crate::proto::Wire;
use crate::proto::smux::{StreamError, WindowUpdate};

/// How far the frame is that is coming in.
#[derive(Default)]
pub(super) struct Input {
    /// The beginning of a header, or of a window update.
    partial: [u8; HEADER],
    have: usize,
    state: State,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Header,
    Data {
        id: u32,
        left: usize,
    },
    Update {
        id: u32,
    },
}

impl Input {
    /// Takes bytes until there are eight; how many it took.
    fn fill(&mut self, input: &[u8]) -> usize {
        let n = input.len().min(HEADER - self.have);
        if let (Some(to), Some(from)) =
            (self.partial.get_mut(self.have..self.have + n), input.get(..n))
        {
            to.copy_from_slice(from);
        }
        self.have += n;
        n
    }
}

impl<Q: Queue> Session<Q> {
    /// Whether bytes of the carrier should be read. A frame that has begun is always taken whole.
    pub fn wants_input(&self) -> bool {
        self.is_unsettled() || self.takes_frames()
    }

    pub(super) fn takes_frames(&self) -> bool {
        self.tokens > 0 && self.control.len() < MAX_CONTROL
    }

    /// Takes what came from the carrier, all of it or as much as it may; how much. Give the rest
    /// again when [`wants_input`](Self::wants_input) says so. Whose frame is not whole yet is woken
    /// by the rest, or by [`settle`](Self::settle).
    ///
    /// # Errors
    /// [`SmuxError`]; the session is to be ended.
    pub fn receive(&mut self, input: &[u8], now: Time) -> Result<usize, SmuxError> {
        let mut at = 0;
        while at < input.len() {
            let rest = input.get(at..).unwrap_or_default();
            match self.input.state {
                State::Header => {
                    if self.input.have == 0 && !self.takes_frames() {
                        break;
                    }
                    at += self.input.fill(rest);
                    let have = self.input.partial.get(..self.input.have).unwrap_or_default();
                    if let Some(&version) = have.first()
                        && version != self.options.version
                    {
                        return Err(SmuxError::Version(version));
                    }
                    if let Some((header, _)) = Header::decode(have)? {
                        self.input.have = 0;
                        self.frame(header, now);
                    }
                }
                State::Data { id, left } => {
                    let n = left.min(rest.len());
                    self.data(id, rest.get(..n).unwrap_or_default(), now);
                    at += n;
                    self.input.state = match left - n {
                        0 => State::Header,
                        left => State::Data { id, left },
                    };
                }
                State::Update { id } => {
                    at += self.input.fill(rest);
                    if self.input.have == WindowUpdate::LEN {
                        self.input.have = 0;
                        self.input.state = State::Header;
                        let update = WindowUpdate::decode(self.input.partial);
                        if let Some(stream) = self.streams.get_mut(&id) {
                            stream.fresh = false;
                            stream.update(update);
                        }
                        self.list(id);
                    }
                }
            }
        }
        if !self.is_unsettled() {
            self.settle();
        }
        if self.tokens <= 0 && self.stall_due.is_none() {
            self.look_for_stalls(now);
        }
        Ok(at)
    }

    /// Whether a frame is not whole yet. Its reader may want to wait for the rest, if there is more
    /// to receive at once.
    pub fn is_unsettled(&self) -> bool {
        self.input.have > 0 || !matches!(self.input.state, State::Header)
    }

    /// Wakes the reader of the frame that came last, also if it is not whole.
    pub fn settle(&mut self) {
        let stream = self.arriving.take().and_then(|id| self.streams.get_mut(&id));
        self.wakes.extend(stream.and_then(|stream| stream.reader.take()));
    }

    fn frame(&mut self, header: Header, now: Time) {
        (self.heard, self.answered) = (true, true);
        let id = header.id;
        match header.command {
            Command::Nop => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.marked = true;
                }
                self.known(id);
            }
            Command::Syn => self.opened(id, now),
            Command::Fin => self.finished(id),
            Command::Psh if header.len == 0 => {}
            Command::Psh => {
                self.input.state = State::Data { id, left: usize::from(header.len) };
            }
            Command::Upd => self.input.state = State::Update { id },
        }
    }

    fn opened(&mut self, id: u32, now: Time) {
        if self.streams.contains_key(&id) {
            return;
        }
        if !self.options.accepts || self.streams.len() >= MAX_STREAMS {
            self.control.push_back(Control::Fin(id));
            self.work = true;
            return;
        }
        self.streams.insert(id, Stream::of_peer(now));
        self.weigh(id);
        self.backlog.push_back(id);
        self.wakes.extend(self.acceptor.take());
    }

    fn finished(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.fresh = false;
        let half = std::mem::take(&mut stream.marked) && stream.peer.is_none();
        stream.peer = Some(if half { Fin::Half } else { Fin::Full });
        if !half {
            // Nobody would read it.
            stream.send = Q::default();
        }
        self.wakes.extend(stream.wakers());
        let over = stream.is_over();
        self.recount(id);
        if over {
            self.remove(id);
        } else {
            self.list(id);
        }
    }

    fn data(&mut self, id: u32, bytes: &[u8], now: Time) {
        if self.arriving != Some(id) {
            self.settle();
            self.arriving = Some(id);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.fresh {
            self.known(id);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.released || stream.failure.is_some() || stream.peer.is_some() {
            return;
        }
        if stream.recv.is_empty() {
            stream.read_at = now;
        }
        stream.recv.push(bytes);
        stream.weigh(&mut self.footprint);
        self.tokens -= bytes.len() as i64;
    }

    /// Resets the streams whose unread bytes keep the others waiting, and says when to look again.
    pub(super) fn look_for_stalls(&mut self, now: Time) {
        self.stall_due = None;
        if self.tokens > 0 {
            return;
        }
        let due = |stream: &Stream<Q>| stream.read_at + timers::STANDSTILL;
        let holding = || self.streams.iter().filter(|(_, stream)| !stream.recv.is_empty());
        let stalled: Vec<u32> =
            holding().filter(|(_, stream)| due(stream) <= now).map(|(id, _)| *id).collect();
        if stalled.is_empty() {
            self.stall_due = holding().map(|(_, stream)| due(stream)).min();
            return;
        }
        for id in stalled {
            self.stalled += 1;
            self.reset(id, StreamError::Stalled);
        }
        self.look_for_stalls(now);
    }
}
