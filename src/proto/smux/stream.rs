//! One stream of a session.

use std::task::Waker;

use super::session::Time;
use super::{StreamError, WindowUpdate};

/// Where a stream's bytes wait. Empty it owns next to nothing.
pub trait Queue: Default {
    /// How many bytes wait.
    fn len(&self) -> usize;

    /// Whether none do.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they keep in memory, in bytes.
    fn footprint(&self) -> usize {
        self.len()
    }

    /// Adds bytes at the end.
    fn push(&mut self, bytes: &[u8]);

    /// Takes `n` bytes, at most all, from the front and shows them to `put` in pieces.
    fn take(&mut self, n: usize, put: &mut dyn FnMut(&[u8]));
}

/// What a peer may send before the first update of its window, as every smux assumes it.
const FIRST_WINDOW: u32 = 256 * 1024;

/// How a side ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fin {
    /// It writes no more.
    Half,
    /// Nor does it read.
    Full,
}

pub(super) struct Stream<Q> {
    /// Received and not read.
    pub recv: Q,
    /// Written and not sent.
    pub send: Q,
    /// How much of that is in the session's count.
    pub unsent: usize,
    /// How much of what it keeps in memory is in the session's count.
    pub footprint: usize,
    /// Bytes at the front of it that leave without what was written behind them.
    pub apart: usize,
    pub reader: Option<Waker>,
    pub writer: Option<Waker>,
    /// Nobody holds it any more; it lives on until its last bytes are sent.
    pub released: bool,
    /// The end that we want to announce, and the one that we did.
    pub wanted: Option<Fin>,
    pub said: Option<Fin>,
    /// The end that the peer announced.
    pub peer: Option<Fin>,
    /// The peer's next FIN ends only its writing.
    pub marked: bool,
    pub failure: Option<StreamError>,
    /// The peer opened it and has sent nothing on it: it may not know it yet itself.
    pub fresh: bool,
    /// It is fresh, and something waits for the moment to pass.
    pub held: bool,
    /// It has its turn to come.
    pub listed: bool,
    /// What it was given last was much: it waits its turn behind those that send little.
    pub bulk: bool,
    /// Its writer waits in the session's crowd.
    pub crowded: bool,
    /// Its writer was called out of it, and did not come yet.
    pub called: bool,
    /// An update is in the session's control queue.
    pub updating: bool,
    /// Bytes sent, and the peer's last word about them.
    written: u32,
    told: WindowUpdate,
    /// Bytes read, and how many of them since the last update; `None` before the first one.
    read: u32,
    since_update: Option<u32>,
    /// When its reader last took something, or something came for it to take.
    pub read_at: Time,
    /// When something of it was last sent.
    pub sent_at: Time,
}

impl<Q: Queue> Stream<Q> {
    pub(super) fn new(now: Time) -> Self {
        Self {
            recv: Q::default(),
            send: Q::default(),
            apart: 0,
            unsent: 0,
            footprint: 0,
            reader: None,
            writer: None,
            released: false,
            wanted: None,
            said: None,
            peer: None,
            marked: false,
            failure: None,
            fresh: false,
            held: false,
            listed: false,
            bulk: false,
            crowded: false,
            called: false,
            updating: false,
            written: 0,
            told: WindowUpdate { consumed: 0, window: FIRST_WINDOW },
            read: 0,
            since_update: None,
            read_at: now,
            sent_at: now,
        }
    }

    /// A stream that the peer opened.
    pub(super) fn of_peer(now: Time) -> Self {
        Self { fresh: true, ..Self::new(now) }
    }

    /// Counts what it keeps in memory, after a change.
    pub(super) fn weigh(&mut self, of_all: &mut usize) {
        let now = size_of::<Self>() + self.recv.footprint() + self.send.footprint();
        *of_all = (*of_all + now).saturating_sub(std::mem::replace(&mut self.footprint, now));
    }

    /// The FIN that is to follow the data.
    pub(super) fn fin_due(&self) -> Option<Fin> {
        match (self.wanted, self.said) {
            (Some(fin), None) => Some(fin),
            // Who writes no more need not be told that nobody reads.
            (Some(Fin::Full), Some(Fin::Half)) if self.peer.is_none() => Some(Fin::Full),
            _ => None,
        }
    }

    /// Nothing more can be written.
    pub(super) fn is_shut(&self) -> bool {
        self.peer == Some(Fin::Full) || self.wanted.is_some()
    }

    /// Calls its writer out of the crowd, if it still waits there.
    pub(super) fn call(&mut self) -> Option<Waker> {
        let waker = if self.crowded { self.writer.take() } else { None };
        self.crowded = false;
        self.called = waker.is_some();
        waker
    }

    /// Nobody needs it any more.
    pub(super) fn is_over(&self) -> bool {
        self.released && self.send.is_empty() && self.fin_due().is_none()
    }

    /// How much of the queue may be sent now.
    ///
    /// # Errors
    /// The peer consumed what it never got.
    pub(super) fn allowance(&self, version: u8) -> Result<usize, StreamError> {
        if version == 1 {
            return Ok(self.send.len());
        }
        // All of it modulo 2^32, so the differences are right although the counters wrap.
        let in_flight = self.written.wrapping_sub(self.told.consumed);
        if in_flight > i32::MAX as u32 {
            return Err(StreamError::Consumed);
        }
        let window = self.told.window.min(i32::MAX as u32);
        Ok(self.send.len().min(window.saturating_sub(in_flight) as usize))
    }

    /// Whether there is something to send now.
    pub(super) fn is_ready(&self, version: u8) -> bool {
        if self.send.is_empty() {
            return self.fin_due().is_some();
        }
        // A breach is ready to be found.
        self.allowance(version).map_or(true, |n| n > 0)
    }

    pub(super) fn sent(&mut self, n: usize, now: Time) {
        self.apart = self.apart.saturating_sub(n);
        self.written = self.written.wrapping_add(n as u32);
        self.sent_at = now;
    }

    pub(super) fn update(&mut self, update: WindowUpdate) {
        self.told = update;
    }

    /// Counts what the reader took; whether the peer should hear of it: at the first read and
    /// whenever half of `buffer` was read since.
    pub(super) fn consumed(&mut self, n: usize, buffer: u32, now: Time) -> bool {
        self.read = self.read.wrapping_add(n as u32);
        self.read_at = now;
        let due = match self.since_update {
            None => true,
            Some(before) => {
                let since = before.saturating_add(n as u32);
                self.since_update = Some(since);
                since >= buffer / 2
            }
        };
        // A peer that writes no more needs no room.
        due && self.peer.is_none()
    }

    /// The update to be sent, with the count of this moment.
    pub(super) fn take_update(&mut self, window: u32) -> WindowUpdate {
        self.updating = false;
        self.since_update = Some(0);
        WindowUpdate { consumed: self.read, window }
    }

    pub(super) fn wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.reader.take().into_iter().chain(self.writer.take())
    }
}
