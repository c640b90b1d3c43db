//! Addresses that no tunnel may connect to: the installation's own Pods and their hosts, and what
//! stands behind the API server's Service.
//!
//! Pods are watched anyway. The EndpointSlices of `default/kubernetes` are read now and then: they
//! change when a control plane is replaced. A process that watches some namespaces only has no
//! right to read them, and does not ask; `--deny-egress` is for that.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::fleet::Fleet;
use crate::engine::Engine;
use crate::metrics::Metrics;

/// Between two looks at the EndpointSlices, and the wait for a look that failed.
const EVERY: Duration = Duration::from_secs(300);
const AGAIN: Duration = Duration::from_secs(60);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells the engine for as long as somebody says who is there.
pub(super) async fn run(
    client: Client,
    whole_cluster: bool,
    engine: Engine,
    mut fleet: watch::Receiver<Arc<Fleet>>,
    metrics: Metrics,
) -> Option<Infallible> {
    let slices: Api<EndpointSlice> = Api::namespaced(client, "default");
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
        let now = (fleet.borrow().addresses.to_vec(), api_server.clone());
        if told.as_ref() != Some(&now) {
            engine.keep_from(now.0.clone(), now.1.clone());
            told = Some(now);
        }
    }
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
