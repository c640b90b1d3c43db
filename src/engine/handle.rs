//! What the rooms above hold of the engine.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use super::desired::DesiredSet;
use super::plan::Ports;
use super::service::Services;
use super::snapshot::Snapshot;
use super::socket::Surroundings;
use super::supervisor::{Drain, Supervisor};
use crate::base::{Network, Origin};
use crate::io::memory::Budget;
use crate::metrics::Metrics;
use crate::net::dial::Dial;
use crate::net::guard::Guard;

/// What the engine works with.
pub struct EngineOptions {
    /// The process's rules about addresses.
    pub ports: Ports,
    /// The one way out.
    pub dialer: Arc<dyn Dial>,
    /// Hears which ports an object's own listeners have.
    pub guard: Arc<Guard>,
    /// Where to count.
    pub metrics: Metrics,
    /// What may wait in queues.
    pub memory: Budget,
}

/// The running engine. Clones speak to the same one.
#[derive(Clone)]
pub struct Engine {
    desired: watch::Sender<Arc<DesiredSet>>,
    drains: mpsc::Sender<Drain>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    guard: Arc<Guard>,
}

impl Engine {
    /// Starts the supervisor, which binds the front ports at once. Call it from within the runtime.
    pub fn start(options: EngineOptions) -> Self {
        let (desired, wanted) = watch::channel(Arc::default());
        let (picture, snapshot) = watch::channel(Arc::default());
        let (drains, drained) = mpsc::channel(1);
        let tracker = TaskTracker::new();
        let mut services = Services::new(options.dialer, options.metrics.clone(), tracker.clone());
        services.memory = options.memory;
        let surroundings =
            Surroundings::new(&options.ports, tracker.clone(), options.metrics.clone());
        let guard = options.guard.clone();
        let supervisor = Supervisor {
            ports: options.ports,
            services,
            guard: options.guard,
            metrics: options.metrics.clone(),
            desired: wanted,
            drains: drained,
            snapshot: picture,
            surroundings,
            tracker,
            running: Default::default(),
            sockets: Default::default(),
            unbound: Default::default(),
            broken: Default::default(),
            drains_of: Default::default(),
        };
        #[allow(clippy::disallowed_methods)]
        // The supervisor outlives the tracker that it waits for.
        tokio::spawn(supervisor.run());
        Self { desired, drains, snapshot, guard }
    }

    /// Says what shall run. Returns at once; of several sets in a row the last one counts.
    pub fn apply(&self, desired: DesiredSet) {
        self.desired.send_replace(Arc::new(desired));
    }

    /// Addresses that no tunnel may connect to: those of the installation's own Pods and their
    /// hosts, of the API server, and of Services that lead to them, as far as they are known now.
    pub fn keep_from(&self, own: Vec<IpAddr>, api_server: Vec<IpAddr>, services: Vec<IpAddr>) {
        self.guard.surroundings().replace(own, api_server, services);
    }

    /// Why an origin's tunnels may not connect to an address, if they may not. What a name leads to is
    /// only known when it is dialled.
    pub fn denies(&self, origin: &Origin, network: Network, addr: SocketAddr) -> Option<String> {
        let checked = self.guard.check(origin, network, addr.ip(), addr.port());
        checked.err().map(|denied| denied.to_string())
    }

    /// What runs, now and from now on.
    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Drains and ends: unready at once, accepting for `delay`, then open tunnels have `timeout`.
    pub async fn drain(&self, delay: Duration, timeout: Duration) {
        // A second call waits for the end of the first.
        let _ = self.drains.try_send(Drain { delay, timeout });
        self.ended().await;
    }

    /// Returns when the engine has ended.
    pub async fn ended(&self) {
        let mut snapshot = self.snapshot();
        while snapshot.changed().await.is_ok() {}
    }
}
