//! How the time of one attempt is divided among the nodes that it may try.

use std::time::Duration;

use tokio::time::Instant;

/// The most that one node may take while another one is left: long enough for TCP, TLS and
/// WebSocket handshakes across the world, and three silent nodes do not eat 15 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// The end of an attempt; `None` waits forever.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    pub(super) fn after(within: Option<Duration>) -> Self {
        Self(within.and_then(|within| Instant::now().checked_add(within)))
    }

    /// What is left of it.
    pub(super) fn left(self) -> Duration {
        self.0.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }

    pub(super) fn passed(self) -> bool {
        self.left().is_zero()
    }

    /// The end of the next try, if so many others could follow it. The last one has all the time
    /// that is left.
    pub(super) fn share(self, others: usize) -> Self {
        if others == 0 {
            return self;
        }
        let tries = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
        Self::after(Some((self.left() / tries).min(PATIENCE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_try_never_takes_what_the_others_need() {
        let seconds = Duration::from_secs;
        let attempt = Deadline::after(Some(seconds(15)));
        assert_eq!(attempt.share(1).left(), seconds(5));
        assert_eq!(attempt.share(4).left(), seconds(3));
        assert_eq!(attempt.share(0).left(), seconds(15));
        tokio::time::advance(seconds(5)).await;
        assert_eq!(attempt.share(0).left(), seconds(10));
        assert_eq!(Deadline::after(None).share(1).left(), seconds(5));
        assert_eq!(Deadline::after(None).share(0).left(), Duration::MAX);
    }
}
