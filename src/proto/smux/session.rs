//! One end of a session.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::stream::{Fin, Stream};
use super::{Command, DeadPeer, GoAway, HEADER, Header, Queue, SmuxError, StreamError};

mod crowd;
mod held;
mod input;
mod output;
mod timers;

use crowd::CROWD;
use input::Input;
use output::Control;
pub use output::MAX_GATHER;

/// Since the session began.
pub type Time = Duration;

/// Streams of a session at a time, also those that nobody took yet. One more is refused with a FIN. None
/// waits in the carrier: behind it may be what those that were taken wait for.
const MAX_STREAMS: usize = 16 * 1024;
/// Control frames that wait to be sent. A peer that causes more is not read until they are.
const MAX_CONTROL: usize = 8 * 1024;
/// The longest message that leaves in a frame of its own, in bytes.
const MESSAGE: usize = 1024;
/// Bytes that wait in a stream to be sent before its writer waits.
const SEND_QUEUE: usize = 256 * 1024;
/// The same of all streams. Beyond it a stream has room only while nothing of it waits: a peer that
/// reads nothing of many streams costs a piece of each, and still stops none that it reads.
const SEND_QUEUES: usize = 16 * 1024 * 1024;

/// How long a stream that the peer opened, and sends nothing on, is left alone.
pub(super) const GRACE: Duration = Duration::from_millis(20);
/// What is written at once to a stream that sends much, at least.
const BULK: usize = 16 * 1024;

/// Which end we are: they count streams with odd and even ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// 3, 5, 7..
    Client,
    /// 2, 4, 6..
    Server,
}

/// What both ends agree on, and what each has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// 1 or 2.
    pub version: u8,
    /// Between signs of life, and the silence that ends the session.
    pub keepalive: Option<(Duration, Duration)>,
    /// The longest frame that we send, in bytes.
    pub max_frame: u16,
    /// Bytes of all streams that nobody has read before we stop reading.
    pub receive_buffer: u32,
    /// The same of one stream: version 2's window.
    pub stream_buffer: u32,
    /// Whether the peer may open streams. If not, each is refused with a FIN.
    pub accepts: bool,
}

/// One end of a session. Streams are known by their ids; `Q` holds their bytes.
///
/// Whoever calls it asks afterwards what there is to do: [`take_wakes`](Self::take_wakes) and
/// [`take_work`](Self::take_work).
pub struct Session<Q> {
    options: Options,
    streams: HashMap<u32, Stream<Q>>,
    last_id: u32,
    /// Bytes that may still be received; a frame may overdraw it, as in GOST.
    tokens: i64,
    input: Input,
    /// The stream whose frame came last, if its reader was not woken yet.
    arriving: Option<u32>,
    backlog: VecDeque<u32>,
    acceptor: Option<Waker>,
    /// Bytes of all streams that wait to be sent.
    unsent: usize,
    /// What all streams keep in memory.
    footprint: usize,
    /// Streams with a little to send, in the order of their turns. They come first.
    brief: VecDeque<u32>,
    /// Streams with much to send, in the order of their turns.
    round: VecDeque<u32>,
    /// Streams that would have much to send, and wait until the round is short.
    crowd: VecDeque<u32>,
    control: VecDeque<Control>,
    /// Streams that we opened and that the peer has not heard of.
    unannounced: usize,
    /// Fresh streams with something to send, and until when they are left alone.
    fresh: VecDeque<(Time, u32)>,
    /// A frame came since the last look.
    heard: bool,
    /// A frame came at all.
    answered: bool,
    nop_due: Option<Time>,
    silence_due: Option<Time>,
    stall_due: Option<Time>,
    drain_due: Option<Time>,
    stalled: u64,
    failed: bool,
    wakes: Vec<Waker>,
    work: bool,
}

impl<Q: Queue> Session<Q> {
    /// A session that begins now, at time 0.
    pub fn new(role: Role, options: Options) -> Self {
        Self {
            options,
            streams: HashMap::new(),
            last_id: if role == Role::Client { 1 } else { 0 },
            tokens: i64::from(options.receive_buffer),
            input: Input::default(),
            arriving: None,
            backlog: VecDeque::new(),
            acceptor: None,
            unsent: 0,
            footprint: 0,
            brief: VecDeque::new(),
            round: VecDeque::new(),
            crowd: VecDeque::new(),
            control: VecDeque::new(),
            unannounced: 0,
            fresh: VecDeque::new(),
            heard: false,
            answered: false,
            nop_due: options.keepalive.map(|(interval, _)| interval),
            silence_due: options.keepalive.map(|(_, timeout)| timeout),
            stall_due: None,
            drain_due: None,
            stalled: 0,
            failed: false,
            wakes: Vec::new(),
            work: false,
        }
    }

    /// Opens a stream; its SYN goes out with the first bytes that are written at once.
    ///
    /// # Errors
    /// [`GoAway`].
    pub fn open(&mut self, now: Time) -> Result<u32, GoAway> {
        let id = loop {
            let id = self.last_id.checked_add(2).ok_or(GoAway)?;
            self.last_id = id;
            // A peer may have taken one of our ids.
            if !self.streams.contains_key(&id) {
                break id;
            }
        };
        self.streams.insert(id, Stream::new(now));
        self.weigh(id);
        self.control.push_back(Control::Syn(id));
        self.unannounced += 1;
        self.work = true;
        Ok(id)
    }

    /// Whether no stream can be opened any more.
    pub fn is_used_up(&self) -> bool {
        self.last_id.checked_add(2).is_none()
    }

    /// The next stream that the peer opened; Ready with `None` when no more can come.
    pub fn poll_accept(&mut self, cx: &Context<'_>) -> Poll<Option<u32>> {
        if let Some(id) = self.backlog.pop_front() {
            return Poll::Ready(Some(id));
        }
        if self.failed || !self.options.accepts {
            return Poll::Ready(None);
        }
        self.acceptor = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Accepts no more, and refuses what waits.
    pub fn stop_accepting(&mut self, now: Time) {
        self.options.accepts = false;
        for id in std::mem::take(&mut self.backlog) {
            self.release(id, now);
        }
        self.wakes.extend(self.acceptor.take());
        self.work = true;
    }

    /// How many streams of ours are still to be announced: more than a few, and the carrier is stuck.
    pub fn unannounced(&self) -> usize {
        self.unannounced
    }

    /// How many streams there are, with those that only have to send their rest.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// What it keeps in memory, in bytes: streams, and what waits in them.
    pub fn footprint(&self) -> usize {
        self.footprint
    }

    /// Counts what a stream keeps in memory, after a change.
    fn weigh(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.weigh(&mut self.footprint);
        }
    }

    fn remove(&mut self, id: u32) {
        if let Some(stream) = self.streams.remove(&id) {
            self.footprint = self.footprint.saturating_sub(stream.footprint);
        }
    }

    /// Drops what was received and not read. After [`fail`](Self::fail).
    pub fn discard(&mut self) {
        for stream in self.streams.values_mut() {
            stream.recv = Q::default();
            stream.weigh(&mut self.footprint);
        }
    }

    /// Gives a stream its turn if it has something to send.
    fn list(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.fresh {
            if !stream.held && (!stream.send.is_empty() || stream.fin_due().is_some()) {
                stream.held = true;
                self.fresh.push_back((stream.sent_at + GRACE, id));
                self.work = true;
            }
        } else if !stream.listed && stream.is_ready(self.options.version) {
            stream.listed = true;
            if stream.bulk { &mut self.round } else { &mut self.brief }.push_back(id);
            self.work = true;
        }
    }

    /// The peer knows the stream now, or has had the time to.
    fn known(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && std::mem::take(&mut stream.fresh)
        {
            self.list(id);
        }
    }

    /// Drops both directions of a stream, tells its holder why and the peer that it is over.
    fn reset(&mut self, id: u32, why: StreamError) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let unread = std::mem::take(&mut stream.recv).len();
        stream.send = Q::default();
        stream.failure = Some(why);
        (stream.wanted, stream.said) = (Some(Fin::Full), Some(Fin::Full));
        self.wakes.extend(stream.wakers());
        let over = stream.is_over();
        self.recount(id);
        self.weigh(id);
        if over {
            self.remove(id);
        }
        self.control.push_back(Control::Fin(id));
        self.work = true;
        self.give_back(unread);
    }

    /// The carrier ended: every stream ends, after what was received of it.
    pub fn fail(&mut self) {
        self.failed = true;
        self.unsent = 0;
        for stream in self.streams.values_mut() {
            (stream.send, stream.unsent) = (Q::default(), 0);
            self.wakes.extend(stream.wakers());
        }
        self.streams.retain(|_, stream| !stream.released);
        self.footprint = 0;
        for stream in self.streams.values_mut() {
            stream.footprint = 0;
            stream.weigh(&mut self.footprint);
        }
        self.wakes.extend(self.acceptor.take());
    }

    /// Why streams cannot go on, if the session has ended.
    fn ended(&self) -> Option<StreamError> {
        let why = if self.answered { StreamError::Session } else { StreamError::Unanswered };
        self.failed.then_some(why)
    }

    /// Streams that were reset because they kept the session from reading.
    pub fn stalled(&self) -> u64 {
        self.stalled
    }

    /// Who can go on.
    pub fn take_wakes(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakes)
    }

    /// Whether the carrier's task has something to do since the last call.
    pub fn take_work(&mut self) -> bool {
        std::mem::take(&mut self.work)
    }
}

/// Whether a stream takes more to be sent, while so much of all streams waits.
fn has_room(send: &impl Queue, of_all: usize) -> bool {
    send.is_empty() || send.len() < SEND_QUEUE && of_all < SEND_QUEUES
}

fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

#[cfg(test)]
impl<Q> Session<Q> {
    pub(super) fn last_id_for_test(&mut self, id: u32) {
        self.last_id = id;
    }
}
