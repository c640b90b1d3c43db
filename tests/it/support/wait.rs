//! Waiting for a condition instead of sleeping.

use std::time::{Duration, Instant};

/// Polls `condition` until it holds; panics with `what` when `within` has passed.
pub fn eventually(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
