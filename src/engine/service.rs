//! A service that runs: the handler for new streams, and the streams in hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::ServiceKey;
use crate::config::model::ServiceConfig;
use crate::handler::{Handler, HandlerContext};
use crate::io::{Accept, Inbound};
use crate::metrics::{Metrics, ServiceMetrics};
use crate::net::dial::Dial;

/// One service. New streams get the handler of the moment, open ones keep theirs.
pub(super) struct Service {
    handler: ArcSwap<Handler>,
    streams: TaskTracker,
    tracker: TaskTracker,
    stop: CancellationToken,
    metrics: ServiceMetrics,
}

impl Accept for Service {
    fn accept(&self, inbound: Inbound) {
        let handler = self.handler.load_full();
        let stop = self.stop.clone();
        let serve = async move {
            // The handler logs and counts how it ends.
            let _ = handler.serve(inbound, &stop).await;
        };
        self.tracker.spawn(self.streams.track_future(serve));
    }
}

/// The services that run, by key.
pub(super) struct Services {
    /// Where handlers dial.
    pub dialer: Arc<dyn Dial>,
    /// Where their series are.
    pub metrics: Metrics,
    /// Every task of the engine.
    pub tracker: TaskTracker,
    /// The services.
    pub running: BTreeMap<ServiceKey, Arc<Service>>,
    cut: CancellationToken,
}

impl Services {
    /// None yet.
    pub(super) fn new(dialer: Arc<dyn Dial>, metrics: Metrics, tracker: TaskTracker) -> Self {
        Self { dialer, metrics, tracker, running: BTreeMap::new(), cut: CancellationToken::new() }
    }

    /// Cuts every stream, also of services that were stopped.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    /// Starts a service, or gives one that runs a new handler.
    pub(super) fn set(&mut self, key: &ServiceKey, config: &Arc<ServiceConfig>) {
        let metrics = self.metrics.service(key);
        let context = HandlerContext {
            key: key.clone(),
            dialer: self.dialer.clone(),
            metrics: metrics.clone(),
        };
        let handler = Arc::new(Handler::build(config, context));
        if let Some(service) = self.running.get(key) {
            service.handler.store(handler);
            return;
        }
        metrics.bound.set(1);
        let service = Service {
            handler: ArcSwap::new(handler),
            streams: TaskTracker::new(),
            tracker: self.tracker.clone(),
            stop: self.cut.child_token(),
            metrics,
        };
        self.running.insert(key.clone(), Arc::new(service));
    }

    pub(super) fn get(&self, key: &ServiceKey) -> Option<Arc<Service>> {
        self.running.get(key).cloned()
    }

    /// Lets a service's streams go on for `drain`, then cuts the rest.
    pub(super) fn stop(&mut self, key: &ServiceKey, drain: Duration) {
        let Some(service) = self.running.remove(key) else { return };
        service.metrics.bound.set(0);
        service.streams.close();
        self.tracker.spawn(async move {
            let _ = tokio::time::timeout(drain, service.streams.wait()).await;
            // Also when there are none: an upgrade in flight may still bring one, which nobody
            // would end any more.
            service.stop.cancel();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::engine::tests::{Doubles, forward};

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_comes_after_the_stop_is_ended() {
        let (doubles, mut targets) = Doubles::new();
        let mut services = doubles.services();
        let (key, config) = forward();
        services.set(&key, &config);
        let service = services.get(&key).unwrap();
        services.stop(&key, Duration::from_secs(60));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (io, mut client) = tokio::io::duplex(64);
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        service.accept(Inbound { io: Box::new(io), peer: addr, local: addr });
        let ended = tokio::time::timeout(Duration::from_secs(600), client.read_u8()).await;
        assert!(ended.is_ok(), "it goes on");
        drop(targets.try_recv());
    }
}
