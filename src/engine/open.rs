//! The connections of a service that are open, and those that its end waits for.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::metrics::{Metrics, ServiceMetrics};

/// Counts the connections of one service.
pub(super) struct Connections {
    state: Mutex<State>,
    of_service: ServiceMetrics,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    open: i64,
    /// No new ones are accepted: those that are open are what the drain waits for.
    stopped: bool,
}

/// A connection that is open as long as this lives.
pub(super) struct Open(Arc<Connections>);

impl Connections {
    /// None yet.
    pub(super) fn new(of_service: ServiceMetrics, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), of_service, metrics })
    }

    /// One more.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.add(1);
        Open(self.clone())
    }

    /// The service accepts none any more.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.stopped, true) {
            self.metrics.drain_connections.add(state.open);
        }
    }

    fn add(&self, one: i64) {
        let mut state = self.state.lock();
        state.open += one;
        self.of_service.connections.add(one);
        if state.stopped {
            self.metrics.drain_connections.add(one);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}
