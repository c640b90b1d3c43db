//! How long to wait before a port is asked for again.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// From 1 s on twice as long each time, up to 30 s; between half of that and all of it, so that the
/// clients of a node that was away do not come all at once.
pub(super) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(SHORTEST)
    }
}

impl Pause {
    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let whole = self.0;
        self.0 = (whole * 2).min(LONGEST);
        whole.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }

    /// The port was had for so long. If that is longer than the next wait it was a success, and the
    /// waits begin anew; a node that ends every session at once is not one.
    pub(super) fn held_for(&mut self, held: Duration) {
        if held >= self.0 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_half_a_minute_and_begin_anew_after_a_success() {
        let mut pause = Pause::default();
        for whole in [1, 2, 4, 8, 16, 30, 30] {
            let (whole, next) = (Duration::from_secs(whole), pause.next());
            assert!(whole / 2 <= next && next <= whole, "{next:?} of {whole:?}");
        }
        pause.held_for(Duration::from_secs(29));
        assert!(pause.next() >= LONGEST / 2);
        pause.held_for(Duration::from_secs(30));
        assert!(pause.next() <= SHORTEST);
    }
}
