//! The access line: who, where to, how much, how long, how it ended.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::HandlerError;
use crate::base::{Closed, ServiceKey, Target};
use crate::gate::{Entry, Meter};
use crate::metrics::ServiceMetrics;

/// What is known of a stream so far.
pub(super) struct Access {
    pub(super) peer: SocketAddr,
    /// Our address, as the client sees it.
    pub(super) local: SocketAddr,
    /// For what the client sends beside the stream.
    pub(super) meter: Option<Meter>,
    /// The silence that ends whatever it becomes: `idleTimeout` of the class.
    pub(super) idle: Option<Duration>,
    /// Its way to its place.
    pub(super) entry: Entry,
    started: Instant,
    /// The user that the client proved to be.
    pub(super) user: Option<String>,
    /// What it asked for.
    pub(super) target: Option<Target>,
}

impl Access {
    pub(super) fn new(
        peer: SocketAddr,
        local: SocketAddr,
        meter: Option<Meter>,
        entry: Entry,
    ) -> Self {
        let (idle, user, target) = (None, None, None);
        Self { peer, local, meter, idle, entry, started: Instant::now(), user, target }
    }

    pub(super) fn log(&self, service: &ServiceKey, result: &Result<Closed, HandlerError>) {
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        let (peer, user) = (self.peer, self.user.as_deref().unwrap_or_default());
        // Not `target`: that is the log record's own module in JSON.
        let to = self.target.as_ref().map(ToString::to_string).unwrap_or_default();
        let seconds = self.started.elapsed().as_secs_f64();
        match result {
            Ok(Closed { reason, up, down }) => tracing::info!(
                %service, %peer, user, to, up, down, seconds, reason = reason.as_str(), "tunnel"
            ),
            // Whoever connects and says nothing is no user.
            Err(e @ HandlerError::NoRequest) => {
                tracing::debug!(%service, %peer, seconds, reason = e.label(), "no tunnel");
            }
            Err(e) => tracing::info!(
                %service, %peer, user, to, up = 0, down = 0, seconds, reason = e.label(),
                error = chain(e), "no tunnel"
            ),
        }
    }
}

/// An error with its causes.
fn chain(error: &HandlerError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Counts a stream as active while it lives, whatever becomes of its task.
pub(super) struct Active(ServiceMetrics);

impl Active {
    pub(super) fn new(metrics: &ServiceMetrics) -> Self {
        metrics.streams.inc();
        Self(metrics.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.streams.dec();
    }
}
