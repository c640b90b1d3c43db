//! Makes the process match the plan, one step at a time.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use super::desired::DesiredSet;
use super::layout::{Content, Layout, Medium, SocketId, Step, diff};
use super::plan::{Front, Plan, Ports};
use super::service::Services;
use super::snapshot::{ServiceState, ServiceStatus, Snapshot};
use super::socket::{Socket, Surroundings};
use crate::base::{ListenAddr, Network, Origin, Reason, ServiceKey};
use crate::metrics::Metrics;
use crate::net::guard::Guard;
use crate::net::listen::BindError;

/// How long to wait before an address that could not be taken is tried again.
const BIND_RETRY: Duration = Duration::from_secs(1);

/// How long a tunnel that is cut may take to say so. No peer keeps the process from ending.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long to wait for connections that were accepted and whose service is not known yet: for a TLS
/// handshake and a request, each a last one.
const ARRIVALS: Duration = Duration::from_secs(2);

/// How the process ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    /// How long to go on accepting: endpoints propagate late.
    pub delay: Duration,
    /// How long open tunnels may go on after that.
    pub timeout: Duration,
}

/// The one task that changes sockets and services.
pub(super) struct Supervisor {
    pub ports: Ports,
    pub services: Services,
    pub guard: Arc<Guard>,
    pub metrics: Metrics,
    pub desired: watch::Receiver<Arc<DesiredSet>>,
    pub drains: mpsc::Receiver<Drain>,
    pub snapshot: watch::Sender<Arc<Snapshot>>,
    pub tracker: TaskTracker,
    pub surroundings: Surroundings,
    pub running: Layout,
    pub sockets: BTreeMap<SocketId, Socket>,
    pub unbound: BTreeMap<SocketId, (Reason, String)>,
    /// Services whose handler cannot be built, and why.
    pub broken: BTreeMap<ServiceKey, String>,
    pub drains_of: BTreeMap<ServiceKey, Duration>,
}

impl Supervisor {
    /// Runs until it has drained.
    pub(super) async fn run(mut self) {
        loop {
            self.reconcile();
            let retry = async {
                if self.unbound.is_empty() {
                    std::future::pending().await
                } else {
                    tokio::time::sleep(BIND_RETRY).await;
                }
            };
            tokio::select! {
                Some(drain) = self.drains.recv() => return self.drain(drain).await,
                Ok(()) = self.desired.changed() => {}
                () = retry => {}
                () = self.surroundings.changed.notified() => {}
            }
        }
    }

    fn reconcile(&mut self) {
        let began = Instant::now();
        let desired = self.desired.borrow_and_update().clone();
        self.services.tenants.govern(&desired.services);
        self.guard.classes().replace(self.services.tenants.terms());
        let mut plan = Plan::build(&desired, &self.ports);
        for (key, service) in desired.services.iter().filter(|(_, service)| service.closed) {
            self.drains_of.insert(key.clone(), service.drain);
        }
        self.prepare(&mut plan.layout);
        self.bind(&plan.layout);
        plan.layout.without(self.unbound.keys(), &self.running, &self.ports);
        for step in diff(&self.running, &plan.layout) {
            tracing::debug!(?step, "step");
            self.metrics.plan_steps.with_label_values(&[step.kind()]).inc();
            self.take(&step, &plan.layout);
            self.running.take(&step, &plan.layout);
        }
        self.services.forget_prepared();
        // Whatever runs is desired; what was refused and went leaves nothing behind.
        self.drains_of =
            desired.services.iter().map(|(key, service)| (key.clone(), service.drain)).collect();
        self.tell_guard();
        self.tell_bound();
        self.metrics.plan_seconds.observe(began.elapsed().as_secs_f64());
        let snapshot = self.picture(&desired, &plan);
        self.snapshot.send_if_modified(|old| {
            let changed = **old != snapshot;
            *old = Arc::new(snapshot);
            changed
        });
    }

    /// Builds the handlers that the layout needs, before anything changes.
    fn prepare(&mut self, layout: &mut Layout) {
        let before = std::mem::take(&mut self.broken);
        for (key, config) in layout.services.clone() {
            if self.running.services.get(&key) == Some(&config) {
                continue;
            }
            let Err(why) = self.services.prepare(&key, &config) else { continue };
            if before.get(&key) != Some(&why) {
                tracing::warn!(service = %key, error = why, "cannot run the service");
            }
            self.broken.insert(key, why);
        }
        let broken = self.broken.keys().cloned().collect();
        layout.without_services(&broken, &self.running, &self.ports);
    }

    /// Takes every address that the layout needs, before any is given back.
    fn bind(&mut self, layout: &Layout) {
        let before = std::mem::take(&mut self.unbound);
        for id in layout
            .sockets
            .keys()
            .filter(|id| !self.sockets.contains_key(id))
            .cloned()
            .collect::<Vec<_>>()
        {
            let kept = self.siblings(&id).find_map(|socket| socket.reclaim(&id));
            if let Some(socket) = kept {
                self.sockets.insert(id, socket);
                continue;
            }
            match Socket::bind(&id, &self.surroundings) {
                Ok(socket) => {
                    if let Ok(local) = socket.standing() {
                        tracing::info!(addr = %id.addr, %local, "listening");
                    }
                    self.sockets.insert(id, socket);
                }
                Err(error) => {
                    let failure = (error.reason(), words(&error));
                    if before.get(&id) != Some(&failure) {
                        tracing::warn!(addr = %id.addr, error = %failure.1, "cannot listen, trying again");
                    }
                    self.unbound.insert(id, failure);
                }
            }
        }
    }

    /// Other remote ports of a remote port's service.
    fn siblings<'a>(&'a mut self, id: &'a SocketId) -> impl Iterator<Item = &'a mut Socket> {
        let remote = id.medium == Medium::Remote;
        let sockets = remote.then(|| self.sockets.iter_mut()).into_iter().flatten();
        sockets
            .filter(move |(other, _)| other.owner == id.owner && *other != id)
            .map(|(_, socket)| socket)
    }

    fn take(&mut self, step: &Step, layout: &Layout) {
        match step {
            // Bound already: an address that cannot be taken is not in the layout.
            Step::Bind(_) => {}
            Step::Start(key) | Step::Swap(key) => {
                if let Some(config) = layout.services.get(key) {
                    self.services.set(key, config);
                }
            }
            Step::Route(id) => {
                if let (Some(socket), Some(content)) =
                    (self.sockets.get_mut(id), layout.sockets.get(id))
                {
                    socket.route(content, &self.services);
                }
            }
            Step::Release(id) => {
                let Some(socket) = self.sockets.remove(id) else { return };
                let standing = socket.standing();
                if socket.release(self.siblings(id).next())
                    && let Ok(local) = standing
                {
                    tracing::info!(addr = %id.addr, %local, "no longer listening");
                }
            }
            Step::Stop(key) => {
                let drain = self.drains_of.remove(key).unwrap_or_default();
                self.services.stop(key, drain);
            }
        }
    }

    /// A target on loopback is allowed where a tcp or udp listener of the same object has its port.
    fn tell_guard(&self) {
        let mut ports = HashSet::new();
        for (id, content) in &self.running.sockets {
            let (network, key) = match content {
                Content::Tcp(key, _) => (Network::Tcp, key),
                Content::Udp(key, _) => (Network::Udp, key),
                Content::Ws(_) | Content::Remote(..) => continue,
            };
            if let Some(socket) = self.sockets.get(id)
                && let Ok(local) = socket.standing()
                && key.origin != Origin::Files
                && on_loopback(local.ip())
            {
                ports.insert((key.origin.clone(), network, local.port()));
            }
        }
        self.guard.local_ports().replace(ports);
    }

    /// Metrics say of each service whether connections come to it.
    fn tell_bound(&self) {
        for (id, content) in &self.running.sockets {
            let bound = self.sockets.get(id).is_some_and(Socket::is_bound);
            content.services().for_each(|key| self.services.tell_bound(key, bound));
        }
    }

    fn picture(&self, desired: &DesiredSet, plan: &Plan) -> Snapshot {
        let socket_of: BTreeMap<&ServiceKey, &SocketId> = self
            .running
            .sockets
            .iter()
            .flat_map(|(id, content)| content.services().map(move |key| (key, id)))
            .collect();
        let unbound: BTreeMap<(Medium, &ListenAddr), &(Reason, String)> =
            self.unbound.iter().map(|(id, why)| ((id.medium, &id.addr), why)).collect();
        let unbound_of = |key| {
            let config = &desired.services.get(key)?.config;
            unbound.get(&(Medium::of(config), &config.listen)).map(|why| (*why).clone())
        };
        let mut services = BTreeMap::new();
        for (key, wanted) in &desired.services {
            let running = self.running.services.get(key).unwrap_or(&wanted.config);
            let socket = socket_of.get(key).and_then(|id| self.sockets.get(*id));
            let state = if let Some((reason, message)) = plan.refused.get(key).cloned() {
                ServiceState::Refused { reason, message }
            } else if wanted.closed {
                let message = "what it needs is missing".into();
                ServiceState::Failed { reason: Reason::Pending, message }
            } else if let Some(why) = self.broken.get(key) {
                ServiceState::Failed { reason: Reason::Invalid, message: why.clone() }
            } else if let Some((reason, message)) = unbound_of(key) {
                ServiceState::Failed { reason, message }
            } else {
                match socket.map(Socket::standing) {
                    Some(Ok(local)) => ServiceState::Serving { local },
                    Some(Err((reason, message))) => ServiceState::Failed { reason, message },
                    None => {
                        let message = "not placed on any socket".into();
                        ServiceState::Failed { reason: Reason::Pending, message }
                    }
                }
            };
            services.insert(key.clone(), ServiceStatus { config: running.clone(), state });
        }
        let front = |front: &Front| {
            let addr = front.addr.clone();
            SocketId { medium: Medium::Tcp, addr, owner: None }
        };
        Snapshot {
            revision: desired.revision,
            services,
            fronts_bound: self.ports.fronts.iter().all(|f| self.sockets.contains_key(&front(f))),
            draining: false,
        }
    }

    /// Says that it drains, accepts for the delay, gives every address back, waits for the
    /// tunnels, and cuts what is left at the timeout.
    async fn drain(mut self, drain: Drain) {
        self.metrics.draining.set(1);
        self.snapshot.send_modify(|old| Arc::make_mut(old).draining = true);
        tracing::info!(delay = ?drain.delay, timeout = ?drain.timeout, "draining");
        tokio::time::sleep(drain.delay).await;
        self.sockets.clear();
        let began = tokio::time::Instant::now();
        // Whoever was accepted comes to a service that still runs.
        let arriving = &self.surroundings.arriving;
        arriving.close();
        let _ = tokio::time::timeout(ARRIVALS.min(drain.timeout), arriving.wait()).await;
        let waited = began.elapsed();
        for key in std::mem::take(&mut self.running.services).into_keys() {
            let own = self.drains_of.remove(&key).unwrap_or(drain.timeout);
            self.services.stop(&key, own.min(drain.timeout).saturating_sub(waited));
        }
        self.tracker.close();
        let left = drain.timeout.saturating_sub(waited);
        if tokio::time::timeout(left, self.tracker.wait()).await.is_err() {
            // Services that were stopped before may have had longer.
            self.services.cut();
            if tokio::time::timeout(LAST_WORDS, self.tracker.wait()).await.is_err() {
                tracing::warn!(left = self.tracker.len(), "ending with connections that do not");
            }
        }
    }
}

/// Whether a listener on this address is what a dial to loopback reaches.
fn on_loopback(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_loopback()
}

/// What goes into a condition: an unusable address is only explained by the system.
fn words(error: &BindError) -> String {
    match error {
        BindError::Unusable { source, .. } => format!("{error}: {source}"),
        BindError::InUse { .. } | BindError::Forbidden { .. } => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
