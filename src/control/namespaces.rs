//! The labels of namespaces, for classes that go by them. Nobody asks for them before.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::{Client, Resource};
use tokio::sync::{mpsc, watch};

use super::object::Key;
use super::policy::{Labels, Policy};
use super::watch::{Change, Freshness, Watch, namespaces};
use crate::metrics::Metrics;

/// Changes that wait.
const CHANGES: usize = 64;

/// A namespace's name and labels.
#[derive(Debug)]
pub(super) struct Labelled(Arc<str>, BTreeMap<String, String>);

impl Labelled {
    /// Takes a namespace apart.
    pub(super) fn read(object: &PartialObjectMeta<Namespace>) -> Self {
        let labels = object.meta().labels.clone().unwrap_or_default();
        Self(Key::of(object).name, labels)
    }
}

/// Waits until a class goes by labels, then keeps `labels` current as long as somebody listens.
/// `None` is not known yet.
pub(super) async fn run(
    client: Client,
    mut policy: watch::Receiver<Arc<Policy>>,
    labels: &watch::Sender<Option<Arc<Labels>>>,
    freshness: Freshness,
    metrics: Metrics,
) -> Option<Infallible> {
    if policy.wait_for(|policy| policy.needs_labels()).await.is_err() {
        // The classes are what they are.
        std::future::pending::<()>().await;
    }
    let (news, mut heard) = mpsc::channel(CHANGES);
    let kind = namespaces(client);
    let watch = Watch::new(kind, 0, std::convert::identity, news, freshness, metrics);
    let follow = async {
        while let Some(change) = heard.recv().await {
            labels.send_if_modified(|labels| take(labels, change));
        }
    };
    tokio::select! {
        _ = watch.run() => None,
        () = follow => None,
    }
}

/// Takes a change in; whether it makes a difference.
fn take(labels: &mut Option<Arc<Labels>>, change: Change<Labelled>) -> bool {
    let mut new = match (&labels, &change) {
        (Some(known), Change::Applied(_) | Change::Deleted(_)) => (**known).clone(),
        _ => Labels::default(),
    };
    match change {
        Change::Listed { objects, .. } => {
            new.extend(objects.into_iter().map(|Labelled(name, labels)| (name, labels)));
        }
        Change::Applied(object) => {
            let Labelled(name, labels) = *object;
            new.insert(name, labels);
        }
        Change::Deleted(key) => {
            new.remove(&key.name);
        }
    }
    let changed = labels.as_deref() != Some(&new);
    if changed {
        *labels = Some(Arc::new(new));
    }
    changed
}
