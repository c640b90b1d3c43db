//! A token bucket, kept as one moment: when it will be full.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::limits::State;

/// So many tokens a second, and so many at once.
pub(super) struct Bucket {
    per_second: f64,
    burst: f64,
    /// When it is full again; in the past if it is.
    full_at: Mutex<Option<Instant>>,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, full_at: Mutex::new(None) }
    }

    /// Takes `n` tokens and says when they are there. Whoever comes next waits behind: everybody
    /// wakes once, at its own moment.
    pub(super) fn reserve(&self, n: u64) -> Instant {
        let now = Instant::now();
        let mut full_at = self.full_at.lock();
        let full = full_at.unwrap_or(now).max(now) + self.time_of(n as f64);
        *full_at = Some(full);
        full.checked_sub(self.time_of(self.burst)).unwrap_or(now)
    }

    /// Takes one token if it is there.
    pub(super) fn take(&self) -> bool {
        let now = Instant::now();
        let mut full_at = self.full_at.lock();
        let full = full_at.unwrap_or(now).max(now) + self.time_of(1.0);
        // A tenth of a microsecond is what rounding may cost.
        let there =
            full.duration_since(now) <= self.time_of(self.burst) + Duration::from_nanos(100);
        if there {
            *full_at = Some(full);
        }
        there
    }

    /// At most a day: a clock must not overflow for a rate near zero.
    fn time_of(&self, tokens: f64) -> Duration {
        let day = Duration::from_secs(24 * 3600);
        Duration::try_from_secs_f64(tokens / self.per_second).unwrap_or(day).min(day)
    }
}

impl State for Bucket {
    fn is_fresh(&self) -> bool {
        let full_at = *self.full_at.lock();
        full_at.is_none_or(|at| at <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_burst_goes_at_once_and_the_rest_at_its_rate() {
        let bucket = Bucket::new(100.0, 200.0);
        let start = Instant::now();
        assert!(bucket.reserve(200) <= start);
        assert_eq!(bucket.reserve(50) - start, Duration::from_millis(500));
        assert_eq!(bucket.reserve(100) - start, Duration::from_millis(1500));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(bucket.is_fresh());
        assert!(bucket.reserve(200) <= Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_is_not_taken() {
        let bucket = Bucket::new(0.5, 1.0);
        assert!(bucket.take());
        assert!(!bucket.take());
        tokio::time::advance(Duration::from_millis(1900)).await;
        assert!(!bucket.take());
        tokio::time::advance(Duration::from_millis(100)).await;
        assert!(bucket.take());
    }
}
