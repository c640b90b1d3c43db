//! When to ask for a sign of life.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Pings of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The time between two.
    pub interval: Duration,
    /// Whether a peer that sends nothing at all for two intervals is gone. GOST's client does this
    /// (and counts Pongs only); a server's pings only keep middleboxes awake.
    pub required: bool,
}

/// The clock of one connection.
pub(super) struct Pinger {
    ping: Ping,
    timer: Pin<Box<Sleep>>,
    /// The last read found nothing, so the peer's silence is its own, not our slowness.
    waiting: bool,
    asked: bool,
    silent: u32,
}

impl Pinger {
    pub(super) fn new(ping: Ping) -> Self {
        let timer = Box::pin(sleep(ping.interval));
        Self { ping, timer, waiting: false, asked: false, silent: 0 }
    }

    /// The peer sent something.
    pub(super) fn heard(&mut self) {
        self.waiting = false;
        self.silent = 0;
    }

    /// A read found nothing.
    pub(super) fn nothing_heard(&mut self) {
        self.waiting = true;
    }

    /// Whether a Ping is due.
    ///
    /// # Errors
    /// Two intervals passed after a Ping without a byte from the peer.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut due = false;
        while self.timer.as_mut().poll(cx).is_ready() {
            due = true;
            if self.waiting && self.asked {
                self.silent += 1;
            }
            if self.ping.required && self.silent >= 2 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.asked = true;
            self.timer.as_mut().reset(Instant::now() + self.ping.interval);
        }
        Ok(due)
    }
}
