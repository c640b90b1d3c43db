//! The series of one service.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry,
};

use super::{WAITS, opts};
use crate::base::{Bound, Origin, ServiceKey};

/// Nodes of one tunnel that have series of their own; the others share one.
const NODES: usize = 512;

/// The label of the others.
const OTHER: &str = "other";

const LABELS: &[&str] = &["namespace", "tunnel", "service"];

/// The families that have series per service.
#[derive(Clone)]
pub(super) struct ServiceFamilies(Arc<Families>);

struct Families {
    bytes: IntCounterVec,
    connections: IntGaugeVec,
    streams: IntGaugeVec,
    total: IntCounterVec,
    bound: IntGaugeVec,
    certificate: IntGaugeVec,
    mux_sessions: IntGaugeVec,
    mux_resets: IntCounterVec,
    dial_seconds: HistogramVec,
    dial_errors: IntCounterVec,
    auth_failures: IntCounterVec,
    egress_denied: IntCounterVec,
    node_dials: IntCounterVec,
    refused: IntCounterVec,
    limited: IntCounterVec,
    dropped: IntCounterVec,
    bounds: IntCounterVec,
    /// One value a key, so that a service that comes back while its old tunnels drain shares its
    /// series with them instead of losing them at their end.
    alive: Mutex<HashMap<ServiceKey, Weak<Inner>>>,
    /// How many nodes of a tunnel have series.
    named: Mutex<HashMap<Origin, usize>>,
}

/// The series of one service; clones share them, and the last one takes them away.
#[derive(Clone)]
pub struct ServiceMetrics {
    /// Payload bytes from clients to targets.
    pub bytes_up: IntCounter,
    /// Payload bytes from targets to clients.
    pub bytes_down: IntCounter,
    /// Connections of clients that are open; a multiplexed session is one.
    pub connections: IntGauge,
    /// Streams that a handler has in hand.
    pub streams: IntGauge,
    /// 1 while the service's listener accepts.
    pub bound: IntGauge,
    /// Multiplexed sessions of clients that are open.
    pub mux_sessions: IntGauge,
    /// Streams that were reset because what nobody read of them blocked their session.
    pub mux_resets: IntCounter,
    /// From the request for a target to a stream to it, in seconds.
    pub dial_seconds: Histogram,
    /// Requests with missing or wrong credentials.
    pub auth_failures: IntCounter,
    inner: Arc<Inner>,
}

struct Inner {
    key: ServiceKey,
    families: Arc<Families>,
    used: Mutex<BTreeSet<(Kind, &'static str)>>,
    nodes: Mutex<Nodes>,
    /// When it was last said that a bound was reached.
    said: Mutex<BTreeMap<Bound, Instant>>,
}

/// The nodes of a service.
#[derive(Default)]
struct Nodes {
    /// Those that the configuration has now and that have series, once it was told.
    named: Option<BTreeSet<String>>,
    /// The configuration has more.
    crowded: bool,
    /// Nodes and results that were counted.
    counted: BTreeMap<String, BTreeSet<&'static str>>,
}

/// Between two warnings of one service that a bound is reached.
const SAID: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Total,
    DialError,
    Egress,
    Refused,
    Limited,
    Dropped,
}

impl ServiceMetrics {
    /// When the certificate that the service shows ends, in seconds since 1970, by
    /// `adit_tls_cert_expiry_seconds`; `None` if it shows none, or one that was made for it.
    pub fn certificate_ends(&self, at: Option<i64>) {
        let (labels, family) = (labels(&self.inner.key), &self.inner.families.certificate);
        match at {
            Some(at) => family.with_label_values(&labels).set(at),
            None => drop(family.remove_label_values(&labels)),
        }
    }

    /// The service.
    pub fn key(&self) -> &ServiceKey {
        &self.inner.key
    }

    /// Counts a stream that ended, by `adit_connections_total{result}`.
    pub fn ended(&self, result: &'static str) {
        self.inner.count(Kind::Total, result);
    }

    /// Counts a failed dial, by `adit_upstream_dial_errors_total{reason}`.
    pub fn dial_failed(&self, reason: &'static str) {
        self.inner.count(Kind::DialError, reason);
    }

    /// Counts a target that the egress guard refused, by `adit_egress_denied_total{reason}`.
    pub fn egress_denied(&self, reason: &'static str) {
        self.inner.count(Kind::Egress, reason);
    }

    /// Counts a client or target that the service's gates refused, by
    /// `adit_refused_total{reason}`.
    pub fn refused(&self, reason: &'static str) {
        self.inner.count(Kind::Refused, reason);
    }

    /// Counts a client beyond a limit, by `adit_limiter_rejections_total{kind}`.
    pub fn limited(&self, kind: &'static str) {
        self.inner.count(Kind::Limited, kind);
    }

    /// Counts a datagram that went nowhere, by `adit_datagrams_dropped_total{reason}`.
    pub fn datagram_dropped(&self, reason: &'static str) {
        self.inner.count(Kind::Dropped, reason);
    }

    /// Counts that the service reached a bound of the process, by `adit_bound_reached_total{bound}`.
    /// True if that is worth a line of the log: once a minute.
    #[must_use]
    pub fn bound_reached(&self, bound: Bound) -> bool {
        self.inner.families.bounds.with_label_values(&[bound.as_str()]).inc();
        let (mut said, now) = (self.inner.said.lock(), Instant::now());
        let quiet = said.get(&bound).is_some_and(|last| now.duration_since(*last) < SAID);
        if !quiet {
            said.insert(bound, now);
        }
        !quiet
    }

    /// Counts what became of a node of a chain or forwarder, by
    /// `adit_node_dials_total{node,result}`. `node` is a name of the configuration; a dial that ends
    /// after its node has left the configuration is not counted.
    pub fn node_dial(&self, node: &str, result: &'static str) {
        let mut nodes = self.inner.nodes.lock();
        let node = match &nodes.named {
            Some(named) if !named.contains(node) && !nodes.crowded => return,
            Some(named) if !named.contains(node) => OTHER,
            _ => node,
        };
        match nodes.counted.get_mut(node) {
            Some(results) => results.insert(result),
            None => nodes.counted.insert(node.into(), [result].into()).is_none(),
        };
        let [ns, tunnel, service] = labels(&self.inner.key);
        let family = &self.inner.families.node_dials;
        family.with_label_values(&[ns, tunnel, service, node, result]).inc();
    }

    /// Says which nodes the service's configuration has: the series of all others go. Returns
    /// whether the tunnel has more than [`NODES`]; the rest shares the series `other`. Files have no
    /// such bound.
    pub fn configured_nodes(&self, nodes: BTreeSet<String>) -> bool {
        self.inner.configured(Some(nodes))
    }
}

impl Inner {
    /// The nodes that have series from now on.
    fn configured(&self, wanted: Option<BTreeSet<String>>) -> bool {
        let mut nodes = self.nodes.lock();
        let mut all = self.families.named.lock();
        let of_tunnel = all.entry(self.key.origin.clone()).or_default();
        *of_tunnel -= nodes.named.as_ref().map_or(0, BTreeSet::len).min(*of_tunnel);
        let room = match &self.key.origin {
            Origin::Files => usize::MAX,
            Origin::Tunnel { .. } => NODES.saturating_sub(*of_tunnel),
        };
        nodes.crowded = wanted.as_ref().is_some_and(|wanted| wanted.len() > room);
        nodes.named = wanted.map(|wanted| wanted.into_iter().take(room).collect());
        *of_tunnel += nodes.named.as_ref().map_or(0, BTreeSet::len);
        if *of_tunnel == 0 {
            all.remove(&self.key.origin);
        }
        drop(all);
        let Nodes { named, crowded, counted } = &mut *nodes;
        let [ns, tunnel, service] = labels(&self.key);
        counted.retain(|node, results| {
            let stays = named.as_ref().is_some_and(|named| named.contains(node))
                || *crowded && node == OTHER;
            if !stays {
                for result in results.iter() {
                    let labels = [ns, tunnel, service, node.as_str(), result];
                    let _ = self.families.node_dials.remove_label_values(&labels);
                }
            }
            stays
        });
        *crowded
    }

    fn count(&self, kind: Kind, value: &'static str) {
        self.used.lock().insert((kind, value));
        let [ns, tunnel, service] = labels(&self.key);
        self.families.of(kind).with_label_values(&[ns, tunnel, service, value]).inc();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut alive = self.families.alive.lock();
        if alive.get(&self.key).is_some_and(|weak| weak.strong_count() > 0) {
            return; // Another value took over between our last clone and now.
        }
        alive.remove(&self.key);
        let [ns, tunnel, service] = labels(&self.key);
        let plain = [ns, tunnel, service];
        // A series that was never touched is no error.
        for direction in ["up", "down"] {
            let _ = self.families.bytes.remove_label_values(&[ns, tunnel, service, direction]);
        }
        let _ = self.families.connections.remove_label_values(&plain);
        let _ = self.families.streams.remove_label_values(&plain);
        let _ = self.families.bound.remove_label_values(&plain);
        let _ = self.families.certificate.remove_label_values(&plain);
        let _ = self.families.mux_sessions.remove_label_values(&plain);
        let _ = self.families.mux_resets.remove_label_values(&plain);
        let _ = self.families.dial_seconds.remove_label_values(&plain);
        let _ = self.families.auth_failures.remove_label_values(&plain);
        for (kind, value) in self.used.lock().iter() {
            let _ = self.families.of(*kind).remove_label_values(&[ns, tunnel, service, value]);
        }
        self.configured(None);
    }
}

impl Families {
    fn of(&self, kind: Kind) -> &IntCounterVec {
        match kind {
            Kind::Total => &self.total,
            Kind::DialError => &self.dial_errors,
            Kind::Egress => &self.egress_denied,
            Kind::Refused => &self.refused,
            Kind::Limited => &self.limited,
            Kind::Dropped => &self.dropped,
        }
    }
}

impl ServiceFamilies {
    pub(super) fn new(
        registry: &Registry,
        bounds: IntCounterVec,
    ) -> Result<Self, prometheus::Error> {
        let with = |extra: &'static str| [LABELS, &[extra]].concat();
        let families = Families {
            bytes: IntCounterVec::new(opts("adit_bytes_total"), &with("direction"))?,
            connections: IntGaugeVec::new(opts("adit_connections_active"), LABELS)?,
            streams: IntGaugeVec::new(opts("adit_streams_active"), LABELS)?,
            total: IntCounterVec::new(opts("adit_connections_total"), &with("result"))?,
            bound: IntGaugeVec::new(opts("adit_listener_bound"), LABELS)?,
            certificate: IntGaugeVec::new(opts("adit_tls_cert_expiry_seconds"), LABELS)?,
            mux_sessions: IntGaugeVec::new(opts("adit_mux_sessions"), LABELS)?,
            mux_resets: IntCounterVec::new(opts("adit_mux_resets_total"), LABELS)?,
            dial_seconds: HistogramVec::new(
                HistogramOpts::from(opts("adit_upstream_dial_seconds")).buckets(WAITS.to_vec()),
                LABELS,
            )?,
            dial_errors: IntCounterVec::new(
                opts("adit_upstream_dial_errors_total"),
                &with("reason"),
            )?,
            auth_failures: IntCounterVec::new(opts("adit_auth_failures_total"), LABELS)?,
            egress_denied: IntCounterVec::new(opts("adit_egress_denied_total"), &with("reason"))?,
            node_dials: IntCounterVec::new(
                opts("adit_node_dials_total"),
                &[LABELS, &["node", "result"]].concat(),
            )?,
            refused: IntCounterVec::new(opts("adit_refused_total"), &with("reason"))?,
            limited: IntCounterVec::new(opts("adit_limiter_rejections_total"), &with("kind"))?,
            dropped: IntCounterVec::new(opts("adit_datagrams_dropped_total"), &with("reason"))?,
            bounds,
            alive: Mutex::default(),
            named: Mutex::default(),
        };
        registry.register(Box::new(families.bytes.clone()))?;
        registry.register(Box::new(families.connections.clone()))?;
        registry.register(Box::new(families.streams.clone()))?;
        registry.register(Box::new(families.limited.clone()))?;
        registry.register(Box::new(families.total.clone()))?;
        registry.register(Box::new(families.bound.clone()))?;
        registry.register(Box::new(families.certificate.clone()))?;
        registry.register(Box::new(families.mux_sessions.clone()))?;
        registry.register(Box::new(families.mux_resets.clone()))?;
        registry.register(Box::new(families.dial_seconds.clone()))?;
        registry.register(Box::new(families.dial_errors.clone()))?;
        registry.register(Box::new(families.auth_failures.clone()))?;
        registry.register(Box::new(families.egress_denied.clone()))?;
        registry.register(Box::new(families.node_dials.clone()))?;
        registry.register(Box::new(families.refused.clone()))?;
        registry.register(Box::new(families.dropped.clone()))?;
        Ok(Self(Arc::new(families)))
    }

    pub(super) fn of(&self, key: &ServiceKey) -> ServiceMetrics {
        let families = &self.0;
        let inner = {
            let mut alive = families.alive.lock();
            alive.get(key).and_then(Weak::upgrade).unwrap_or_else(|| {
                let inner = Arc::new(Inner {
                    key: key.clone(),
                    families: families.clone(),
                    used: Mutex::default(),
                    nodes: Mutex::default(),
                    said: Mutex::default(),
                });
                alive.insert(key.clone(), Arc::downgrade(&inner));
                inner
            })
        };
        let plain = labels(key);
        let [ns, tunnel, service] = plain;
        ServiceMetrics {
            bytes_up: families.bytes.with_label_values(&[ns, tunnel, service, "up"]),
            bytes_down: families.bytes.with_label_values(&[ns, tunnel, service, "down"]),
            connections: families.connections.with_label_values(&plain),
            streams: families.streams.with_label_values(&plain),
            bound: families.bound.with_label_values(&plain),
            mux_sessions: families.mux_sessions.with_label_values(&plain),
            mux_resets: families.mux_resets.with_label_values(&plain),
            dial_seconds: families.dial_seconds.with_label_values(&plain),
            auth_failures: families.auth_failures.with_label_values(&plain),
            inner,
        }
    }
}

fn labels(key: &ServiceKey) -> [&str; 3] {
    [key.origin.namespace(), key.origin.tunnel_name(), &key.name]
}
