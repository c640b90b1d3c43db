//! Who has much to send waits outside until it is nearly his turn.

use std::task::{Context, Poll};

use super::{Queue, Session, has_room, register};

/// Streams with much to send in the round before others wait with theirs: so that what is next is
/// in the cache, and in nobody's memory before.
pub(super) const CROWD: usize = 4;

impl<Q: Queue> Session<Q> {
    /// Ready when what is to be written next would soon have its turn, or is an error. Ask before
    /// there is anything to write; then [`poll_write`](Self::poll_write) has room for it.
    pub fn poll_room(&mut self, id: u32, cx: &Context<'_>) -> Poll<()> {
        let failed = self.failed;
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(()) };
        let error = failed || stream.failure.is_some() || stream.is_shut();
        let called = std::mem::take(&mut stream.called);
        let crowded = stream.bulk && self.round.len() >= CROWD;
        if !error && (crowded || !has_room(&stream.send, self.unsent)) {
            register(&mut stream.writer, cx);
            if crowded && !std::mem::replace(&mut stream.crowded, true) {
                if called { self.crowd.push_front(id) } else { self.crowd.push_back(id) }
            } else if called {
                // It waits for something else: the next one may come.
                self.call(1);
            }
            return Poll::Pending;
        }
        // Who was called may have nothing to write after all.
        if called {
            self.call(1);
        }
        Poll::Ready(())
    }

    /// Wakes the first `n` of the crowd, if the round has room for them.
    pub(super) fn call(&mut self, n: usize) {
        for _ in 0..n.min(CROWD.saturating_sub(self.round.len())) {
            let waiting = std::iter::from_fn(|| self.crowd.pop_front());
            let mut waiting = waiting.filter_map(|id| self.streams.get_mut(&id)?.call());
            let Some(waker) = waiting.next() else { return };
            self.wakes.push(waker);
        }
    }
}
