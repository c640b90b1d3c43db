//! Whether the API server can be reached: two lines for an outage, whoever meets it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What all who ask the API server know of it together.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    server: Arc<str>,
    since: Arc<Mutex<Option<Instant>>>,
}

impl Outage {
    /// The API server at a URL can be reached as far as is known.
    pub(super) fn new(server: &str) -> Self {
        Self { server: server.into(), since: Arc::default() }
    }

    /// A request got no answer. Says so if it is the first; returns whether it is.
    pub(super) fn begins(&self, cause: &str) -> bool {
        let mut since = self.since.lock();
        let first = since.is_none();
        if first {
            *since = Some(Instant::now());
            let server = &*self.server;
            tracing::warn!(
                server,
                cause,
                "the API server cannot be reached; tunnels go on as they are, trying again"
            );
        }
        first
    }

    /// A request was answered. Returns how long none was, if that ends here, and says so.
    pub(super) fn ends(&self) -> Option<Duration> {
        let away = self.since.lock().take()?.elapsed();
        let (server, seconds) = (&*self.server, away.as_secs());
        tracing::info!(server, seconds, "the API server answers again");
        Some(away)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_begins_once_and_ends_once_for_all_who_meet_it() {
        let outage = Outage::new("https://10.0.0.1");
        let other = outage.clone();
        assert_eq!(outage.ends(), None);
        assert!(outage.begins("refused"));
        assert!(!other.begins("refused") && !outage.begins("timeout"));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(other.ends(), Some(Duration::from_secs(61)));
        assert_eq!(outage.ends(), None);
        assert!(outage.begins("refused"), "the next one");
    }
}
