//! Addresses that no tunnel may connect to: the installation's own Pods and their hosts, what stands
//! behind the API server's Service, and the Services that lead to any of these.
//!
//! Pods are watched anyway; Services and EndpointSlices are watched where they can be listed. The EndpointSlices of `default/kubernetes` are read now and then: they
//! change when a control plane is replaced. A process that watches some namespaces only has no
//! right to read them, and does not ask; `--deny-egress` is for that.

mod services;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::fleet::Fleet;
use super::watch::{Freshness, Watch};
use crate::engine::{Engine, Snapshot};
use crate::metrics::Metrics;
use services::{DeniedServices, News};

/// Between two looks at the EndpointSlices, and the wait for a look that failed.
const EVERY: Duration = Duration::from_secs(300);
const AGAIN: Duration = Duration::from_secs(60);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Changes of Services and EndpointSlices that wait to be taken in.
const WAITING: usize = 64;

/// What is watched, and for whom.
pub(super) struct Surroundings {
    pub(super) client: Client,
    /// A namespace each, or `None` for all.
    pub(super) scopes: Vec<Option<String>>,
    pub(super) engine: Engine,
    /// The front ports, on which tunnels listen.
    pub(super) fronts: Vec<u16>,
    pub(super) fleet: watch::Receiver<Arc<Fleet>>,
    pub(super) freshness: Freshness,
    pub(super) metrics: Metrics,
}

/// Tells the engine for as long as somebody says who is there.
pub(super) async fn run(surroundings: Surroundings) -> Option<Infallible> {
    let Surroundings { client, scopes, engine, fronts, mut fleet, freshness, metrics } =
        surroundings;
    let whole_cluster = scopes.iter().all(Option::is_none);
    let (news, mut told_by) = mpsc::channel(WAITING);
    let mut watches: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    for (scope, namespace) in scopes.iter().enumerate() {
        let (client, namespace) = (|| client.clone(), namespace.as_deref());
        let around = || (news.clone(), freshness.clone(), metrics.clone());
        let (news, fresh, counts) = around();
        let kind = services::services(client(), namespace);
        let watch = Watch::new(kind, scope, News::Service, news, fresh, counts);
        watches.push(Box::pin(async move { drop(watch.run().await) }));
        let (news, fresh, counts) = around();
        let kind = services::slices(client(), namespace);
        let watch = Watch::new(kind, scope, News::Slice, news, fresh, counts);
        watches.push(Box::pin(async move { drop(watch.run().await) }));
    }
    let mut denied = DeniedServices::new(scopes.clone());
    let mut snapshots = engine.snapshot();
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "default");
    let mut api_server = Vec::new();
    let mut told = None;
    let mut warned = false;
    if !whole_cluster {
        warn(&mut warned);
    }
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = fleet.changed() => changed.ok()?,
            changed = snapshots.changed() => changed.ok()?,
            Some(news) = told_by.recv() => {
                denied.change(news);
                while let Ok(news) = told_by.try_recv() {
                    denied.change(news);
                }
            }
            Some(()) = watches.next() => {}
            _ = looks.tick(), if whole_cluster => match read(&slices, &metrics).await {
                Some(found) => api_server = found,
                // What was known before stays.
                None => {
                    if api_server.is_empty() {
                        warn(&mut warned);
                    }
                    looks.reset_at(Instant::now() + AGAIN);
                }
            },
        }
        let own = fleet.borrow().addresses.to_vec();
        let tunnels = ports(&snapshots.borrow_and_update(), &fronts);
        let services = denied.addresses(&own, &api_server, &tunnels);
        let now = (own, api_server.clone(), services);
        if told.as_ref() != Some(&now) {
            let (own, api_server, services) = now.clone();
            engine.keep_from(own, api_server, services.into_iter().collect());
            told = Some(now);
        }
    }
}

/// The ports on which tunnels listen here, as on every replica.
fn ports(snapshot: &Snapshot, fronts: &[u16]) -> BTreeSet<u16> {
    let own = snapshot.services.values().map(|service| service.config.listen.port);
    own.chain(fronts.iter().copied()).collect()
}

/// Says once that the guard has a gap.
fn warn(warned: &mut bool) {
    if !std::mem::replace(warned, true) {
        tracing::warn!(
            "the API server's endpoints are not known: tunnels can reach those that are not its \
             Service's address; name them by --deny-egress"
        );
    }
}

async fn read(slices: &Api<EndpointSlice>, metrics: &Metrics) -> Option<Vec<IpAddr>> {
    let params = ListParams::default().labels("kubernetes.io/service-name=kubernetes");
    match timeout(PATIENCE, slices.list(&params)).await {
        Ok(Ok(list)) => {
            let endpoints = list.items.into_iter().flat_map(|slice| slice.endpoints);
            let addresses = endpoints.flat_map(|endpoint| endpoint.addresses);
            Some(addresses.filter_map(|address| address.parse().ok()).collect())
        }
        Ok(Err(error)) => {
            if let kube::Error::Api(status) = &error
                && status.is_forbidden()
            {
                metrics.kube_denied.with_label_values(&["list", "endpointslices"]).inc();
            }
            tracing::debug!(error = %super::chain(&error), "cannot read the API server's endpoints");
            None
        }
        Err(_) => None,
    }
}
