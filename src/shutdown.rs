//! Shutdown: stop accepting, drain, end.
//!
//! Floor 2. The first SIGTERM or SIGINT begins the drain, the second one ends it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two moments of a shutdown. Clones see the same ones.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    begin: CancellationToken,
    now: CancellationToken,
    signalled: Arc<AtomicBool>,
}

impl Shutdown {
    /// A shutdown that the process's signals trigger. Call it once, from within the runtime.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let handle = shutdown.clone();
        // It listens as long as the process lives; nothing waits for it.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(async move {
            for _ in 0..2 {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                handle.signal();
            }
        });
        Ok(shutdown)
    }

    /// What a signal does: the first one begins the drain, the second one ends it.
    pub fn signal(&self) {
        if self.signalled.swap(true, Ordering::Relaxed) {
            self.now.cancel();
        }
        self.begin.cancel();
    }

    /// Begins the drain without a signal: the first one to come does not end it.
    pub fn begin_unasked(&self) {
        self.begin.cancel();
    }

    /// Cancelled when the process is asked to end.
    pub fn begin(&self) -> &CancellationToken {
        &self.begin
    }

    /// Cancelled when it is asked again.
    pub fn now(&self) -> &CancellationToken {
        &self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_signal_ends_a_drain_however_it_began() {
        for unasked in [false, true] {
            let shutdown = Shutdown::default();
            if unasked {
                shutdown.begin_unasked();
                assert!(shutdown.begin().is_cancelled());
            }
            shutdown.signal();
            assert!(shutdown.begin().is_cancelled() && !shutdown.now().is_cancelled());
            shutdown.signal();
            assert!(shutdown.now().is_cancelled());
        }
    }
}
