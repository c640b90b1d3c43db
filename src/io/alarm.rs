//! Telling of a bound that is reached, without a line for each event.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::base::Bound;
use crate::metrics::Metrics;

/// The time between two lines about one bound.
const PAUSE: Duration = Duration::from_secs(60);

/// Counts what a bound refuses, and says when the log is to hear of it: at the first event, then at
/// most once a minute.
pub struct Alarm {
    bound: Bound,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    told: Option<Instant>,
    /// Events since then.
    events: u64,
}

impl Alarm {
    /// Of a bound that was never reached.
    pub fn new(bound: Bound, metrics: &Metrics) -> Self {
        Self { bound, metrics: metrics.clone(), state: Mutex::default() }
    }

    /// The bound.
    pub fn bound(&self) -> Bound {
        self.bound
    }

    /// Counts an event. If a line is due: how many events it is about.
    pub fn raise(&self) -> Option<u64> {
        self.metrics.bound_reached(self.bound);
        let now = Instant::now();
        let mut state = self.state.lock();
        state.events += 1;
        if state.told.is_some_and(|told| now.duration_since(told) < PAUSE) {
            return None;
        }
        state.told = Some(now);
        Some(std::mem::take(&mut state.events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_event_is_told_at_once_and_the_next_ones_in_one_line_a_minute() {
        let alarm = Alarm::new(Bound::QueuedBytes, &Metrics::new().unwrap());
        assert_eq!(alarm.raise(), Some(1));
        for _ in 0..100 {
            assert_eq!(alarm.raise(), None);
        }
        tokio::time::advance(PAUSE).await;
        assert_eq!(alarm.raise(), Some(101));
        assert_eq!(alarm.raise(), None);
    }
}
