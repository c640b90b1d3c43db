//! What happens by time alone.

use std::time::Duration;

use super::{Control, DeadPeer, Queue, Session, StreamError, Time};

/// How long a stream may stand still while it keeps others waiting, or its rest in memory.
pub(super) const STANDSTILL: Duration = Duration::from_secs(30);

impl<Q: Queue> Session<Q> {
    /// When [`tick`](Self::tick) is to be called next.
    pub fn deadline(&self) -> Option<Time> {
        let fresh_due = self.fresh.front().map(|(due, _)| *due);
        let dues = [self.nop_due, self.silence_due, self.stall_due, self.drain_due, fresh_due];
        dues.into_iter().flatten().min()
    }

    /// Does what is due.
    ///
    /// # Errors
    /// [`DeadPeer`]; the session is to be ended.
    pub fn tick(&mut self, now: Time) -> Result<(), DeadPeer> {
        if let Some((interval, timeout)) = self.options.keepalive {
            if self.nop_due.is_some_and(|due| due <= now) {
                self.nop_due = Some(now + interval);
                if !self.control.contains(&Control::Nop) {
                    self.control.push_back(Control::Nop);
                    self.work = true;
                }
            }
            if self.silence_due.is_some_and(|due| due <= now) {
                self.silence_due = Some(now + timeout);
                // While we do not read, the peer's silence is ours.
                if !std::mem::take(&mut self.heard) && self.takes_frames() {
                    return Err(DeadPeer);
                }
            }
        }
        while let Some((due, id)) = self.fresh.front().copied()
            && due <= now
        {
            self.fresh.pop_front();
            self.known(id);
        }
        if self.stall_due.is_some_and(|due| due <= now) {
            self.look_for_stalls(now);
        }
        if self.drain_due.is_some_and(|due| due <= now) {
            self.drop_rests(now);
        }
        Ok(())
    }

    /// Gives up on what nobody holds and the peer does not take.
    fn drop_rests(&mut self, now: Time) {
        let rests = || self.streams.iter().filter(|(_, s)| s.released && !s.send.is_empty());
        let over: Vec<u32> = rests()
            .filter(|(_, stream)| stream.sent_at + STANDSTILL <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.reset(id, StreamError::Closed);
        }
        let rests = self.streams.values().filter(|s| s.released && !s.send.is_empty());
        self.drain_due = rests.map(|stream| stream.sent_at + STANDSTILL).min();
    }
}
