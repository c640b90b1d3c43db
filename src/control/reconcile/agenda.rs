//! When the loop has something to do.

use std::time::Duration;

use tokio::time::Instant;

/// Silence after a change before the set is translated, and the longest wait under constant changes.
const QUIET: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));
/// After a new picture of the engine, before statuses are looked at.
const SETTLE: Duration = Duration::from_millis(20);

/// When there is something to do.
#[derive(Default)]
pub(super) struct Agenda {
    first_change: Option<Instant>,
    last_change: Option<Instant>,
    pub(super) look: Option<Instant>,
    /// Whether the look is at all objects, or at those that were touched.
    pub(super) all: bool,
}

impl Agenda {
    pub(super) fn changed(&mut self) {
        let now = Instant::now();
        self.first_change.get_or_insert(now);
        self.last_change = Some(now);
    }

    pub(super) fn look_soon(&mut self, all: bool) {
        self.look_by(Instant::now() + SETTLE);
        self.all |= all;
    }

    pub(super) fn look_by(&mut self, when: Instant) {
        self.look = Some(self.look.map_or(when, |look| look.min(when)));
    }

    pub(super) fn translate_at(&self) -> Option<Instant> {
        let (first, last) = (self.first_change?, self.last_change?);
        Some((last + QUIET.0).min(first + QUIET.1))
    }
}
