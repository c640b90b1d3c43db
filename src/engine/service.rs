//! A service that runs: the handler for new streams, and the streams in hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::flaw;
use super::layout::RemoteBind;
use super::open::{Connections, Open};
use super::tenants::Tenants;
use crate::base::{Bound, ServiceKey};
use crate::config::model::{Certificate, ListenerConfig, ServerTls, ServiceConfig};
use crate::gate::{Berth, Gate, Limited, Meter, Place, Refused, Seat, Tenant};
use crate::handler::{Handler, HandlerContext};
use crate::io::{Accept, Inbound, Serving, Surroundings};
use crate::metrics::{Metrics, ServiceMetrics};
use crate::net::dial::Dial;
use crate::net::tls::TlsServer;
use crate::route::{Route, RouteContext};

/// One service. New streams get the handler of the moment, open ones keep theirs.
pub(super) struct Service {
    key: ServiceKey,
    handler: ArcSwap<Handler>,
    gate: ArcSwap<Gate>,
    tenant: Option<Arc<Tenant>>,
    tls: ArcSwapOption<Tls>,
    /// Its streams are datagrams.
    datagrams: AtomicBool,
    streams: TaskTracker,
    connections: Arc<Connections>,
    tracker: TaskTracker,
    /// No new connections come.
    stopping: CancellationToken,
    /// Nothing goes on.
    stop: CancellationToken,
    metrics: ServiceMetrics,
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

/// Takes the streams of one connection.
struct Session {
    service: Arc<Service>,
    pass: Pass,
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
    ) -> Option<impl Future<Output = ()> + use<>> {
        if let Err(why) = self.gate.load().request(inbound.peer.ip()) {
            self.refused(inbound.peer, why);
            return None;
        }
        let taken = pass.berth.as_ref().and_then(Berth::take);
        let seat = taken.is_none().then(|| self.seat()).transpose();
        let seat = seat.map_err(|why| self.refused(inbound.peer, why)).ok()?;
        if let Some(meter) = &pass.meter {
            let datagrams = self.datagrams.load(Ordering::Relaxed);
            inbound.io = Box::new(Limited::new(inbound.io, meter.clone(), datagrams));
        }
        let handler = self.handler.load_full();
        let meter = pass.meter.clone();
        let idle = self.tenant.as_ref().and_then(|tenant| tenant.idle_timeout());
        let stop = self.stop.clone();
        let serve = async move {
            // The handler logs and counts how it ends.
            let _ = handler.serve(inbound, meter, idle, &stop).await;
            drop((pass, taken, seat));
        };
        Some(self.streams.track_future(serve))
    }

    /// The same in a task of its own.
    fn spawn(&self, inbound: Inbound, pass: Pass) {
        if let Some(serving) = self.serving(inbound, pass) {
            self.tracker.spawn(serving);
        }
    }

    /// Lets a connection in, or not.
    fn enter(&self, peer: SocketAddr) -> Option<Pass> {
        let gate = self.gate.load();
        let place = gate.enter(peer.ip()).map_err(|why| self.refused(peer, why)).ok()?;
        let open = Arc::new(self.connections.open());
        let (meter, place) = (gate.meter(peer.ip()), place.map(Arc::new));
        Some(Pass { meter, _place: place, _open: open, berth: None })
    }

    /// A place within the limits of the tunnel's class.
    fn seat(&self) -> Result<Option<Seat>, Refused> {
        self.tenant.as_ref().map(Tenant::enter).transpose()
    }
}

impl Accept for Service {
    fn accept(&self, inbound: Inbound) {
        if let Some(pass) = self.enter(inbound.peer) {
            self.spawn(inbound, pass);
        }
    }

    fn serve(&self, inbound: Inbound) -> Serving {
        match self.enter(inbound.peer).and_then(|pass| self.serving(inbound, pass)) {
            Some(serving) => Box::pin(serving),
            None => Box::pin(std::future::ready(())),
        }
    }

    fn session(self: Arc<Self>, peer: SocketAddr) -> Option<Arc<dyn Accept>> {
        let mut pass = self.enter(peer)?;
        let seat = self.seat().map_err(|why| self.refused(peer, why)).ok()?;
        pass.berth = seat.map(Berth::new);
        Some(Arc::new(Session { service: self, pass }))
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            stop: self.stopping.clone(),
            cut: self.stop.clone(),
            hold: self.streams.token(),
            metrics: self.metrics.clone(),
        }
    }
}

impl Accept for Session {
    fn accept(&self, inbound: Inbound) {
        self.service.spawn(inbound, self.pass.clone());
    }

    fn session(self: Arc<Self>, _: SocketAddr) -> Option<Arc<dyn Accept>> {
        Some(self)
    }

    fn surroundings(&self) -> Surroundings {
        self.service.surroundings()
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
    /// Whose they are.
    pub tenants: Tenants,
    /// The services.
    pub running: BTreeMap<ServiceKey, Arc<Service>>,
    prepared: BTreeMap<ServiceKey, Prepared>,
    /// The policy of listeners that say nothing about TLS: one value, as long as the process.
    unowned: OnceLock<Arc<Tls>>,
    cut: CancellationToken,
}

impl Services {
    /// None yet.
    pub(super) fn new(dialer: Arc<dyn Dial>, metrics: Metrics, tracker: TaskTracker) -> Self {
        let (tenants, running, prepared, unowned, cut) = Default::default();
        Self { dialer, metrics, tracker, tenants, running, prepared, unowned, cut }
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
        let context = HandlerContext {
            key: key.clone(),
            dialer: self.dialer.clone(),
            metrics: self.metrics.service(key),
            stopping: stopping.clone(),
        };
        let handler = Handler::build(config, context).map_err(|e| format!("{e}: {}", e.source))?;
        if let Some(bind) = RemoteBind::of(config) {
            let RemoteBind { chain, names, within } = bind;
            Route::through(&chain, &names, within, self.route_context(key))
                .map_err(|e| format!("{e}: {}", e.source))?;
        }
        let tls = config.listener.tls().map(|tls| self.tls(tls)).transpose()?;
        let handler = Arc::new(handler);
        self.prepared.insert(key.clone(), Prepared { handler, tls, stopping });
        Ok(())
    }

    /// What a route of a service needs that is not its handler's.
    pub(super) fn route_context(&self, key: &ServiceKey) -> RouteContext {
        let (origin, metrics) = (key.origin.clone(), self.metrics.service(key));
        RouteContext { origin, dialer: self.dialer.clone(), metrics }
    }

    /// One value for all services with the same policy: a client that shook hands for one of them
    /// may go to the other.
    fn tls(&self, config: &Arc<ServerTls>) -> Result<Arc<Tls>, String> {
        let unowned = **config == ServerTls::default();
        if let Some(unowned) = self.unowned.get().filter(|_| unowned) {
            return Ok(unowned.clone());
        }
        let prepared = self.prepared.values().filter_map(|prepared| prepared.tls.clone());
        let running = self.running.values().filter_map(|service| service.tls.load_full());
        if let Some(same) = prepared.chain(running).find(|tls| *tls.config == **config) {
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
    }

    /// Starts a service, or gives one that runs a new handler: the one that was prepared.
    pub(super) fn set(&mut self, key: &ServiceKey, config: &Arc<ServiceConfig>) {
        let Some(Prepared { handler, tls, stopping }) = self.prepared.remove(key) else { return };
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
            tls: ArcSwapOption::from(tls),
            datagrams: AtomicBool::new(datagrams),
            streams: TaskTracker::new(),
            connections: Connections::new(metrics.clone(), self.metrics.clone()),
            tracker: self.tracker.clone(),
            stopping,
            stop: self.cut.child_token(),
            metrics,
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
