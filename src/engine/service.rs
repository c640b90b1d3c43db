//! A service that runs: the handler for new streams, and the streams in hand.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::flaw;
use super::layout::RemoteBind;
use super::open::{Connections, Open};
use super::tenants::Tenants;
use crate::base::{Bound, ServiceKey};
use crate::config::model::{Certificate, ListenerConfig, ServerTls, ServiceConfig};
use crate::gate::{
    Berth, Entry, Gate, Limited, Meter, OF_NAMESPACE, OF_SESSION, Passwords, Place, Refused, Tenant,
};
use crate::handler::{Handler, HandlerContext};
use crate::io::memory::{Budget, Share};
use crate::io::{Accept, Alarm, Inbound, Serving, Surroundings};
use crate::metrics::{Metrics, ServiceMetrics};
use crate::net::dial::Dial;
use crate::net::tls::{TlsClients, TlsServer};
use crate::route::{Route, RouteContext};

/// One service. New streams get the handler of the moment, open ones keep theirs.
pub(super) struct Service {
    key: ServiceKey,
    handler: ArcSwap<Handler>,
    gate: ArcSwap<Gate>,
    tenant: Option<Arc<Tenant>>,
    alarms: Arc<Alarms>,
    tls: ArcSwapOption<Tls>,
    /// Its streams are datagrams.
    datagrams: AtomicBool,
    streams: TaskTracker,
    connections: Arc<Connections>,
    tracker: TaskTracker,
    /// No new connections come.
    stopping: CancellationToken,
    passwords: Arc<Passwords>,
    /// Nothing goes on.
    stop: CancellationToken,
    metrics: ServiceMetrics,
    memory: Share,
}

/// A listener's TLS part, and what was built of it.
struct Tls {
    config: Arc<ServerTls>,
    server: TlsServer,
}

/// What a service will run with.
struct Prepared {
    handler: Arc<Handler>,
    tls: Option<Arc<Tls>>,
    stopping: CancellationToken,
    passwords: Arc<Passwords>,
}

/// What a connection that came in holds as long as it lives; all its streams share it.
#[derive(Clone)]
struct Pass {
    meter: Option<Meter>,
    _place: Option<Arc<Place>>,
    _open: Arc<Open>,
    /// Of a session.
    berth: Option<Arc<Berth>>,
}

/// How long a session may have had no finished request. It holds a place that others may need.
const FIRST_REQUEST: Duration = Duration::from_secs(30);

/// Takes the streams of one connection.
struct Session {
    service: Arc<Service>,
    pass: Pass,
    /// For streams without a finished request.
    places: Arc<Semaphore>,
}

/// Of streams without a finished request.
struct Alarms {
    of_session: Alarm,
    of_namespace: Alarm,
}

impl Service {
    /// Whether a connection from this address may come any further. Asked before its first byte.
    pub(super) fn admits(&self, peer: SocketAddr) -> bool {
        self.gate.load().admits(peer.ip()).map_err(|why| self.refused(peer, why)).is_ok()
    }

    /// How its listener shakes hands, if it does.
    pub(super) fn tls(&self) -> Option<TlsServer> {
        self.tls.load().as_ref().map(|tls| tls.server.clone())
    }

    fn refused(&self, peer: SocketAddr, why: Refused) {
        match why.is_of_limit() {
            true => self.metrics.limited(why.as_str()),
            false => self.metrics.refused(why.as_str()),
        }
        tracing::debug!(service = %self.key, %peer, reason = why.as_str(), "refused");
    }

    /// Serves a stream to its end, unless it is refused.
    fn serving(
        &self,
        mut inbound: Inbound,
        pass: Pass,
        of_session: Option<OwnedSemaphorePermit>,
    ) -> Option<impl Future<Output = ()> + use<>> {
        if let Err(why) = self.gate.load().request(inbound.peer.ip()) {
            self.refused(inbound.peer, why);
            return None;
        }
        let handler = self.handler.load_full();
        let entry = match &self.tenant {
            Some(tenant) => self.counted(Entry::new(tenant.clone(), inbound.peer.ip())),
            None => Entry::free(),
        };
        let mut entry = entry.of(pass.berth.clone(), of_session);
        if !handler.asks() {
            entry.requested().map_err(|why| self.refused(inbound.peer, why)).ok()?;
        }
        if let Some(meter) = &pass.meter {
            let datagrams = self.datagrams.load(Ordering::Relaxed);
            inbound.io = Box::new(Limited::new(inbound.io, meter.clone(), datagrams));
        }
        let meter = pass.meter.clone();
        let idle = self.tenant.as_ref().and_then(|tenant| tenant.idle_timeout());
        let stop = self.stop.clone();
        let serve = async move {
            // The handler logs and counts how it ends.
            let _ = handler.serve(inbound, entry, meter, idle, &stop).await;
            drop(pass);
        };
        Some(self.streams.track_future(serve))
    }

    /// The same in a task of its own.
    fn spawn(&self, inbound: Inbound, pass: Pass, of_session: Option<OwnedSemaphorePermit>) {
        if let Some(serving) = self.serving(inbound, pass, of_session) {
            self.tracker.spawn(serving);
        }
    }

    /// What has come among those without a finished request. Tells if another one gives way for it.
    fn counted<T>(&self, (it, displaced): (T, bool)) -> T {
        if displaced && let Some(count) = self.alarms.of_namespace.raise() {
            let (service, limit) = (&self.key, OF_NAMESPACE);
            tracing::warn!(
                %service, limit, count,
                "streams of the namespace without a finished request: the eldest give way"
            );
        }
        it
    }

    /// Lets a connection in, or not.
    fn enter(&self, peer: SocketAddr) -> Option<Pass> {
        let gate = self.gate.load();
        let place = gate.enter(peer.ip()).map_err(|why| self.refused(peer, why)).ok()?;
        let open = Arc::new(self.connections.open());
        let (meter, place) = (gate.meter(peer.ip()), place.map(Arc::new));
        Some(Pass { meter, _place: place, _open: open, berth: None })
    }

    /// A session's way to its place within the limits of the tunnel's class.
    fn berth(&self, peer: SocketAddr) -> Result<Option<Arc<Berth>>, Refused> {
        let Some(tenant) = self.tenant.clone() else { return Ok(None) };
        if self.handler.load().asks() {
            return Ok(Some(self.counted(Berth::new(tenant, peer.ip()))));
        }
        Berth::seated(tenant).map(Some)
    }
}

impl Accept for Service {
    fn accept(&self, inbound: Inbound) {
        if let Some(pass) = self.enter(inbound.peer) {
            self.spawn(inbound, pass, None);
        }
    }

    fn serve(&self, inbound: Inbound) -> Serving {
        match self.enter(inbound.peer).and_then(|pass| self.serving(inbound, pass, None)) {
            Some(serving) => Box::pin(serving),
            None => Box::pin(std::future::ready(())),
        }
    }

    fn session(self: Arc<Self>, peer: SocketAddr) -> Option<Arc<dyn Accept>> {
        let mut pass = self.enter(peer)?;
        pass.berth = self.berth(peer).map_err(|why| self.refused(peer, why)).ok()?;
        let places = Arc::new(Semaphore::new(OF_SESSION));
        Some(Arc::new(Session { service: self, pass, places }))
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            stop: self.stopping.clone(),
            cut: self.stop.clone(),
            hold: self.streams.token(),
            metrics: self.metrics.clone(),
            memory: self.memory.clone(),
            places: Arc::new(Semaphore::new(OF_SESSION)),
            over: Box::pin(std::future::pending()),
        }
    }
}

impl Accept for Session {
    fn accept(&self, inbound: Inbound) {
        // Whoever brings streams has waited for it.
        let place = self.places.clone().try_acquire_owned().ok();
        if self.places.available_permits() == 0
            && let Some(count) = self.service.alarms.of_session.raise()
        {
            let (service, limit) = (&self.service.key, OF_SESSION);
            tracing::warn!(
                %service, peer = %inbound.peer, limit, count,
                "streams of a session without a finished request: more of them wait"
            );
        }
        self.service.spawn(inbound, self.pass.clone(), place);
    }

    fn session(self: Arc<Self>, _: SocketAddr) -> Option<Arc<dyn Accept>> {
        Some(self)
    }

    fn surroundings(&self) -> Surroundings {
        let berth = self.pass.berth.clone();
        let over = Box::pin(async move {
            let Some(berth) = berth else { return std::future::pending().await };
            tokio::select! {
                () = berth.gone().cancelled() => {}
                () = tokio::time::sleep(FIRST_REQUEST) => if !berth.is_waiting() {
                    std::future::pending().await
                }
            }
        });
        Surroundings { places: self.places.clone(), over, ..self.service.surroundings() }
    }
}

/// The services that run, by key.
pub(super) struct Services {
    /// Where handlers dial.
    pub dialer: Arc<dyn Dial>,
    /// Where their series are.
    pub metrics: Metrics,
    /// What shakes hands with the nodes of all of them.
    pub clients: Arc<TlsClients>,
    /// Every task of the engine.
    pub tracker: TaskTracker,
    /// Whose they are.
    pub tenants: Tenants,
    /// What may wait in their streams.
    pub memory: Budget,
    /// The services.
    pub running: BTreeMap<ServiceKey, Arc<Service>>,
    prepared: BTreeMap<ServiceKey, Prepared>,
    /// What was built of each policy, while a service has it.
    servers: HashMap<Arc<ServerTls>, Weak<Tls>>,
    alarms: Arc<Alarms>,
    /// The policy of listeners that say nothing about TLS: one value, as long as the process.
    unowned: OnceLock<Arc<Tls>>,
    cut: CancellationToken,
}

impl Services {
    /// None yet.
    pub(super) fn new(dialer: Arc<dyn Dial>, metrics: Metrics, tracker: TaskTracker) -> Self {
        let (clients, tenants, running, prepared, servers, unowned, cut) = Default::default();
        let alarms = Arc::new(Alarms {
            of_session: Alarm::new(Bound::SessionStreams, &metrics),
            of_namespace: Alarm::new(Bound::NamespaceStreams, &metrics),
        });
        Self {
            dialer,
            metrics,
            clients,
            tracker,
            tenants,
            memory: Budget::unlimited(),
            running,
            prepared,
            servers,
            alarms,
            unowned,
            cut,
        }
    }

    /// Cuts every stream, also of services that were stopped.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    /// Builds a service's handler and TLS for the [`set`](Self::set) to come.
    ///
    /// # Errors
    /// Why the service cannot run so.
    pub(super) fn prepare(
        &mut self,
        key: &ServiceKey,
        config: &ServiceConfig,
    ) -> Result<(), String> {
        let running = self.running.get(key);
        let stopping = running.map_or_else(CancellationToken::new, |s| s.stopping.clone());
        let passwords = running.map(|s| s.passwords.clone()).unwrap_or_default();
        let context = HandlerContext {
            key: key.clone(),
            dialer: self.dialer.clone(),
            metrics: self.metrics.service(key),
            clients: self.clients.clone(),
            memory: self.share(key),
            stopping: stopping.clone(),
            passwords: passwords.clone(),
        };
        let handler = Handler::build(config, context).map_err(|e| format!("{e}: {}", e.source))?;
        if let Some(bind) = RemoteBind::of(config) {
            let RemoteBind { chain, names, within } = bind;
            Route::through(&chain, &names, within, self.route_context(key))
                .map_err(|e| format!("{e}: {}", e.source))?;
        }
        let tls = config.listener.tls().map(|tls| self.tls(tls)).transpose()?;
        if let Some(tls) = &tls {
            self.servers.insert(tls.config.clone(), Arc::downgrade(tls));
        }
        let handler = Arc::new(handler);
        self.prepared.insert(key.clone(), Prepared { handler, tls, stopping, passwords });
        Ok(())
    }

    /// What a route of a service needs that is not its handler's.
    pub(super) fn route_context(&self, key: &ServiceKey) -> RouteContext {
        let (origin, metrics) = (key.origin.clone(), self.metrics.service(key));
        RouteContext {
            origin,
            dialer: self.dialer.clone(),
            metrics,
            clients: self.clients.clone(),
            memory: self.share(key),
        }
    }

    /// Where what waits in a service's streams counts.
    fn share(&self, key: &ServiceKey) -> Share {
        self.memory.share(key.origin.namespace(), &key.to_string())
    }

    /// One value for all services with the same policy: a client that shook hands for one of them
    /// may go to the other.
    fn tls(&self, config: &Arc<ServerTls>) -> Result<Arc<Tls>, String> {
        let unowned = **config == ServerTls::default();
        if let Some(unowned) = self.unowned.get().filter(|_| unowned) {
            return Ok(unowned.clone());
        }
        if let Some(same) = self.servers.get(config).and_then(Weak::upgrade) {
            return Ok(same);
        }
        let server = flaw::server(config).map_err(|why| format!("listener.tls: {why}"))?;
        let tls = Arc::new(Tls { config: config.clone(), server });
        if unowned {
            let _ = self.unowned.set(tls.clone());
        }
        Ok(tls)
    }

    /// How a front port shakes hands for hosts that nobody has a policy for.
    ///
    /// # Errors
    /// Why there is no TLS at all.
    pub(super) fn unowned_tls(&self) -> Result<TlsServer, String> {
        self.tls(&Arc::default()).map(|tls| tls.server.clone())
    }

    /// Drops what was prepared for services that got no address.
    pub(super) fn forget_prepared(&mut self) {
        self.prepared.clear();
        self.servers.retain(|_, tls| tls.strong_count() > 0);
    }

    /// Starts a service, or gives one that runs a new handler: the one that was prepared.
    pub(super) fn set(&mut self, key: &ServiceKey, config: &Arc<ServiceConfig>) {
        let Some(prepared) = self.prepared.remove(key) else { return };
        let Prepared { handler, tls, stopping, passwords } = prepared;
        let metrics = self.metrics.service(key);
        let datagrams = matches!(config.listener, ListenerConfig::Udp(_));
        let certificate = config.listener.tls().and_then(|tls| tls.shown());
        let ends = certificate.and_then(Certificate::ends);
        metrics.certificate_ends(ends.map(jiff::Timestamp::as_second));
        if metrics.configured_nodes(nodes::labels(config)) {
            self.metrics.bound_reached(Bound::Series);
            tracing::warn!(service = %key, "a tunnel has many nodes: some share one metric series");
        }
        if let Some(service) = self.running.get(key) {
            service.datagrams.store(datagrams, Ordering::Relaxed);
            service.handler.store(handler);
            service.gate.rcu(|gate| gate.with(&config.gates));
            service.tls.store(tls);
            return;
        }
        let service = Service {
            key: key.clone(),
            handler: ArcSwap::new(handler),
            gate: ArcSwap::from_pointee(Gate::new(&config.gates)),
            tenant: self.tenants.get(&key.origin),
            alarms: self.alarms.clone(),
            tls: ArcSwapOption::from(tls),
            datagrams: AtomicBool::new(datagrams),
            streams: TaskTracker::new(),
            connections: Connections::new(metrics.clone(), self.metrics.clone()),
            tracker: self.tracker.clone(),
            stopping,
            passwords,
            stop: self.cut.child_token(),
            metrics,
            memory: self.share(key),
        };
        self.running.insert(key.clone(), Arc::new(service));
    }

    /// Says whether connections come to a service.
    pub(super) fn tell_bound(&self, key: &ServiceKey, bound: bool) {
        if let Some(service) = self.running.get(key) {
            service.metrics.bound.set(bound.into());
        }
    }

    pub(super) fn get(&self, key: &ServiceKey) -> Option<Arc<Service>> {
        self.running.get(key).cloned()
    }

    /// Lets a service's streams go on for `drain`, then cuts the rest.
    pub(super) fn stop(&mut self, key: &ServiceKey, drain: Duration) {
        let Some(service) = self.running.remove(key) else { return };
        service.metrics.bound.set(0);
        service.connections.stop();
        service.streams.close();
        service.stopping.cancel();
        self.tracker.spawn(async move {
            let _ = tokio::time::timeout(drain, service.streams.wait()).await;
            // Also when there are none: an upgrade in flight may still bring one, which nobody
            // would end any more.
            service.stop.cancel();
        });
    }
}

mod nodes;

#[cfg(test)]
mod tests;
