//! What those who write know of the election.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::election::{DEADLINE, LEASE};

/// Whether this process leads, as everybody who writes asks it right before each write.
#[derive(Clone, Debug)]
pub(in crate::control) struct Leadership(watch::Receiver<Option<Instant>>);

/// A write that was not made, or not answered while it was certain to be ours to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::control) enum Fenced {
    /// Another may lead.
    #[error("this replica does not lead any more")]
    NotLeader,
    /// The API server did not answer in time.
    #[error("the API server did not answer")]
    Silent,
}

impl Leadership {
    /// By the time at which the last renewal that was taken was sent, while there is a term.
    pub(super) fn new(renewed: watch::Receiver<Option<Instant>>) -> Self {
        Self(renewed)
    }

    /// Whether this process leads now: its last renewal was sent less than 10 s ago. By the clock
    /// that also runs while the process is stopped, so a process that wakes up knows.
    pub(in crate::control) fn still_leader(&self) -> bool {
        self.0.borrow().is_some_and(|renewed| Instant::now() < renewed + DEADLINE)
    }

    /// Waits until leadership is won or lost.
    pub(in crate::control) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Makes a write if this process leads, for as long as no other can: at most `limit`. When that
    /// is over the write is dropped without a further step, also if the process was stopped in it.
    ///
    /// # Errors
    /// [`Fenced`].
    pub(in crate::control) async fn fenced<T>(
        &self,
        limit: Duration,
        write: impl Future<Output = T>,
    ) -> Result<T, Fenced> {
        let renewed = *self.0.borrow();
        let Some(renewed) = renewed.filter(|renewed| Instant::now() < *renewed + DEADLINE) else {
            return Err(Fenced::NotLeader);
        };
        let end = (Instant::now() + limit).min(renewed + LEASE);
        let mut write = pin!(write);
        let in_time = std::future::poll_fn(|context| {
            // A timer may be late for a process that was stopped; the clock is not.
            if Instant::now() >= end {
                return Poll::Ready(Err(Fenced::Silent));
            }
            write.as_mut().poll(context).map(Ok)
        });
        timeout_at(end, in_time).await.unwrap_or(Err(Fenced::Silent))
    }

    /// A leader for as long as a test runs.
    #[cfg(test)]
    pub(in crate::control) fn always() -> Self {
        let far = Instant::now() + Duration::from_secs(1_000_000);
        Self(watch::channel(Some(far)).1)
    }
}
