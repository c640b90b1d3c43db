//! The controller: `WsTunnel` objects in, a desired set to the engine, statuses and Events out.
//!
//! Floor 9. `watch -> store -> translate -> engine` and back `snapshot -> status -> writer`. Nothing
//! here serves traffic: when the API server is gone, or all of this is stuck, tunnels go on.
//!
//! Every replica serves the same plan, each by itself, and keeps a `report`. The one that holds the
//! `lease` folds the reports of the `fleet` into statuses, and is the only one that writes them.
//!
//! Everything runs as one task, so nothing is shared and a part that ends ends the whole
//! ([`run`] returns, and the process with it): a controller that stopped following its objects
//! without a word is worse than one that restarts.

mod certificates;
mod claim;
mod client;
mod events;
mod expose;
mod fleet;
mod lease;
mod namespaces;
mod object;
mod outage;
pub mod policy;
mod queue;
mod reconcile;
mod report;
mod secrets;
mod services;
mod status;
mod store;
mod surroundings;
mod translate;
mod tunnels;
mod watch;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{mpsc, watch as channel};

pub use client::Connection;
pub(crate) use object::Object;
pub(crate) use status::{Condition, Listener};
pub use tunnels::{TunnelError, Tunnels};

use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use reconcile::{Parts, Reconciler};

/// Changes on their way from the watches to the loop.
const CHANGES: usize = 1024;

/// What the controller is told.
#[derive(Clone, Debug)]
pub struct ControlOptions {
    /// `--instance`: the field manager is `adit-<instance>`.
    pub instance: String,
    /// `--namespace`: what to watch; empty is all namespaces.
    pub namespaces: Vec<String>,
    /// `--secret-name`: the only Secrets to watch and read; empty is those that tunnels can use.
    pub secret_names: Vec<String>,
    /// `--lease-namespace`: where Lease, reports and Pods are.
    pub lease_namespace: String,
    /// `--pod-name`: who Events and reports are from.
    pub pod_name: Option<String>,
    /// `--pod-namespace`: a Pod elsewhere cannot own a report.
    pub pod_namespace: Option<String>,
    /// The classes, now and from now on.
    pub policy: channel::Receiver<Arc<policy::Policy>>,
    /// The ports of the front sockets: the only ones that a Service of the chart leads to.
    pub fronts: Vec<u16>,
    /// Other ports of the process, which are never allocated.
    pub reserved: Vec<u16>,
}

/// Why there is no controller (any more).
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no usable kubeconfig.
    #[error("cannot find out how to reach the API server")]
    Config {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A part that must run as long as the process has ended.
    #[error("the controller's {task} ended, which is a bug; the process ends with it")]
    Ended {
        /// Which part.
        task: &'static str,
    },
}

/// What the watches tell the loop.
#[derive(Debug)]
enum News {
    /// Of `WsTunnel`s.
    Tunnels(watch::Change<object::Object>),
    /// Of Secrets: names and versions.
    Secrets(watch::Change<secrets::Meta>),
    /// The same of those that classes name.
    Certificates(watch::Change<secrets::Meta>),
    /// Of Services.
    Services(watch::Change<services::Front>),
    /// Of EndpointSlices.
    Slices(watch::Change<services::Slice>),
    /// Of what leads to exposed services.
    Child(expose::ChildNews),
}

/// Runs the controller until the process is asked to end.
///
/// `listed` becomes true when all that is watched was listed once and given to the engine. Without
/// an API server that does not happen, and is no error.
///
/// # Errors
/// [`ControlError::Ended`] if a part ends by itself: the process must not go on without it.
pub async fn run(
    connection: Connection,
    options: ControlOptions,
    engine: Engine,
    listed: channel::Sender<bool>,
    metrics: Metrics,
    shutdown: Shutdown,
) -> Result<(), ControlError> {
    let ControlOptions { instance, namespaces, fronts, .. } = &options;
    let client = connection.client;
    let scopes: Vec<Option<String>> = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.iter().cloned().map(Some).collect()
    };
    let outage = outage::Outage::new(&connection.server);
    let freshness = watch::Freshness::new(outage.clone());
    let (changes, mut incoming) = mpsc::channel(CHANGES);
    let (news, mut heard) = mpsc::channel(CHANGES);
    let (notes, mut noted) = mpsc::channel(events::WAITING);
    let (fleet, mut known) = channel::channel(Default::default());
    let (reports, mut reported) = channel::channel(None);
    let (labels, labelled) = channel::channel(None);
    let (withdrawal, withdraws) = channel::channel(false);
    let (withdrawn, mut gone) = channel::channel(false);
    let mut successors = fleet.subscribe();

    let names = options.names();
    let namespace = &*options.lease_namespace;
    // A process that restarts in its Pod is another candidate than the one before it.
    let identity = format!("{}_{}", names.replica, random());
    tracing::info!(replica = %names.replica, identity, namespace, "standing for election");
    let (mut candidate, leadership) =
        lease::Candidate::new(client.clone(), namespace, instance, identity, metrics.clone());
    candidate.meets(outage);
    let mut reporter = report::Reporter::new(client.clone(), names.clone(), metrics.clone());

    let (services_wanted, _) = channel::channel(false);
    let sink = Sink { changes, freshness: freshness.clone(), metrics: metrics.clone() };
    let mut watches: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    for (scope, namespace) in scopes.iter().enumerate() {
        let (client, namespace) = (|| client.clone(), namespace.as_deref());
        let tunnels = sink.watch(watch::tunnels(client(), namespace), scope, News::Tunnels);
        watches.push(Box::pin(tunnels.run().map(drop)));
        let (wanted, own) = (services_wanted.subscribe(), sink.clone());
        let kind = services::services(client(), namespace);
        let services = when_wanted(wanted, move || own.watch(kind, scope, News::Services));
        watches.push(Box::pin(services));
        let (wanted, own) = (services_wanted.subscribe(), sink.clone());
        let kind = services::slices(client(), namespace);
        let slices = when_wanted(wanted, move || own.watch(kind, scope, News::Slices));
        watches.push(Box::pin(slices));
    }
    for (scope, namespace) in scopes.iter().enumerate() {
        let (client, namespace) = (client.clone(), namespace.as_deref());
        let kind = expose::watched_services(client.clone(), namespace, instance);
        let news = |change| News::Child(expose::ChildNews::Service(change));
        watches.push(Box::pin(sink.watch(kind, scope, news).run().map(drop)));
        let kind = expose::watched_slices(client, namespace, instance);
        let news = |change| News::Child(expose::ChildNews::Slice(change));
        watches.push(Box::pin(sink.watch(kind, scope, news).run().map(drop)));
    }
    let of_secrets = secrets::Scope::all(&scopes, &options.secret_names);
    for (number, scope) in of_secrets.iter().enumerate() {
        let kind = secrets::watched(client.clone(), scope);
        watches.push(Box::pin(sink.watch(kind, number, News::Secrets).run().map(drop)));
    }
    let certificates = certificates::run(
        client.clone(),
        options.policy.clone(),
        namespace,
        of_secrets.clone(),
        sink,
    );
    let pods = watch::Watch::new(
        watch::pods(client.clone(), namespace),
        0,
        fleet::News::Pod,
        news.clone(),
        freshness.clone(),
        metrics.clone(),
    );
    let others = watch::Watch::new(
        watch::reports(client.clone(), namespace, instance),
        0,
        fleet::News::Report,
        news,
        freshness.clone(),
        metrics.clone(),
    );
    let surroundings = surroundings::run(surroundings::Surroundings {
        client: client.clone(),
        scopes: scopes.clone(),
        engine: engine.clone(),
        fronts: fronts.clone(),
        fleet: known.clone(),
        freshness: freshness.clone(),
        metrics: metrics.clone(),
    });
    let keeper =
        expose::Keeper::new(client.clone(), instance, &scopes, leadership.clone(), metrics.clone());
    let reconciler = Reconciler::new(Parts {
        secrets: secrets::Reader::new(secrets::reads(client.clone()), of_secrets, metrics.clone()),
        services: services::Directory::new(scopes.clone()),
        services_wanted: services_wanted.clone(),
        store: store::Store::new(scopes),
        translator: translate::Translator::new(
            fronts.clone(),
            &options.reserved,
            (namespace, instance),
        ),
        policy: options.policy.clone(),
        labels: labelled,
        keeper,
        writer: writer::Writer::new(client.clone(), instance, leadership.clone(), metrics.clone()),
        engine,
        fronts: fronts.clone(),
        leadership: leadership.clone(),
        fleet: known.clone(),
        replica: names.replica.clone(),
        reports,
        withdrawal: withdraws,
        withdrawn,
        listed,
        events: notes,
        metrics: metrics.clone(),
    });
    let namespaces = namespaces::run(
        client.clone(),
        options.policy.clone(),
        &labels,
        freshness.clone(),
        metrics.clone(),
    );
    let pod = options.pod_name.clone();
    let events = events::run(client, instance, pod, leadership, metrics.clone(), &mut noted);

    let _up = ["watch", "reconcile", "events", "lease", "report", "fleet"]
        .map(|task| Up::new(&metrics, task));
    let task = {
        let parts = async {
            tokio::select! {
                _ = watches.next() => "watch",
                _ = pods.run() => "watch",
                _ = others.run() => "watch",
                _ = namespaces => "watch",
                () = certificates => "watch",
                _ = surroundings => "surroundings",
                () = reconciler.run(&mut incoming) => "reconcile",
                _ = events => "events",
                _ = reporter.run(&mut reported, &mut known) => "report",
                _ = fleet::run(names, &mut heard, &fleet) => "fleet",
                () = show_age(&freshness, &metrics) => "watch",
            }
        };
        let mut parts = std::pin::pin!(parts);
        let task = tokio::select! {
            () = shutdown.begin().cancelled() => None,
            task = &mut parts => Some(task),
            _ = candidate.run() => Some("lease"),
        };
        if task.is_none() {
            tokio::select! {
                _ = &mut parts => {}
                () = leave(&mut candidate, &mut successors, &withdrawal, &mut gone) => {}
                () = shutdown.now().cancelled() => {}
            }
        }
        task
    };
    match task {
        Some(task) => Err(ControlError::Ended { task }),
        None => {
            // All that writes has ended: the next leader need not wait.
            tokio::select! {
                _ = async { tokio::join!(candidate.release(), reporter.farewell()) } => {}
                () = shutdown.now().cancelled() => {}
            }
            Ok(())
        }
    }
}

/// How long the last replica has to withdraw what leads to it.
const WITHDRAWAL: Duration = Duration::from_secs(5);
/// How long a process that ends looks whether the others end too: Pods of one Deployment are not
/// deleted at one instant.
const TOGETHER: Duration = Duration::from_secs(2);

/// Ends this process's part in the installation. Where others stay they lead at once. The last one
/// says first that nobody serves any more, so that no EndpointSlice goes on naming the address of a
/// Pod that is gone.
async fn leave(
    candidate: &mut lease::Candidate,
    fleet: &mut channel::Receiver<Arc<fleet::Fleet>>,
    withdrawal: &channel::Sender<bool>,
    withdrawn: &mut channel::Receiver<bool>,
) {
    let known = fleet.borrow().clone();
    // Who could not look does not know whether it is the last, and no endpoint is one without a Pod.
    if known.members.is_none() || known.pod.is_none() {
        return;
    }
    if known.successors > 0 {
        candidate.release().await;
        let alone = fleet.wait_for(|fleet| fleet.successors == 0);
        if !matches!(tokio::time::timeout(TOGETHER, alone).await, Ok(Ok(_))) {
            return;
        }
    }
    tracing::info!("the last replica ends: endpoints are withdrawn");
    withdrawal.send_replace(true);
    let done = tokio::select! {
        _ = candidate.run() => false,
        withdrawn = tokio::time::timeout(WITHDRAWAL, withdrawn.wait_for(|done| *done)) => {
            matches!(withdrawn, Ok(Ok(_)))
        }
    };
    // Another one that ends too may have done it.
    if !done && candidate.leads() {
        tracing::warn!(
            "not all endpoints of exposed services were withdrawn: EndpointSlices with the label \
             {}={} may name addresses of Pods that are gone; delete them",
            expose::LABEL,
            candidate.instance(),
        );
    }
}

impl ControlOptions {
    /// What this process is called.
    fn names(&self) -> report::Names {
        let here = self.pod_namespace.as_ref().is_some_and(|ns| *ns == self.lease_namespace);
        let pod = self.pod_name.as_deref();
        report::Names {
            instance: self.instance.clone(),
            namespace: self.lease_namespace.clone(),
            pod: pod.filter(|_| here).map(Into::into),
            replica: pod.map_or_else(|| random().into(), Into::into),
        }
    }
}

/// A word that no other process has.
fn random() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// What all watches have.
#[derive(Clone)]
struct Sink {
    changes: mpsc::Sender<News>,
    freshness: watch::Freshness,
    metrics: Metrics,
}

impl Sink {
    /// A watch that tells the loop.
    fn watch<S: watch::Source, O>(
        &self,
        kind: watch::Kind<S, O>,
        scope: usize,
        news: fn(watch::Change<O>) -> News,
    ) -> watch::Watch<S, O, News> {
        let (changes, freshness) = (self.changes.clone(), self.freshness.clone());
        watch::Watch::new(kind, scope, news, changes, freshness, self.metrics.clone())
    }
}

/// Runs a watch from the moment that somebody wants it; its clock starts then.
async fn when_wanted<S: watch::Source, O>(
    mut wanted: channel::Receiver<bool>,
    watch: impl FnOnce() -> watch::Watch<S, O, News>,
) {
    match wanted.wait_for(|wanted| *wanted).await {
        Ok(_) => {}
        // Whoever could want it is gone, and the controller with it.
        Err(_) => return,
    }
    let _ = watch().run().await;
}

/// Keeps `adit_kube_watch_stale_seconds` current. On a quiet cluster it is a saw-tooth of up to a
/// minute: that is how often the API server says that nothing happened.
async fn show_age(freshness: &watch::Freshness, metrics: &Metrics) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        for (kind, age) in freshness.ages() {
            let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
            metrics.kube_watch_stale.with_label_values(&[kind]).set(age);
        }
    }
}

/// `adit_task_up{task}`, 1 as long as this lives.
struct Up<'a>(&'a Metrics, &'static str);

impl<'a> Up<'a> {
    fn new(metrics: &'a Metrics, task: &'static str) -> Self {
        metrics.task_up.with_label_values(&[task]).set(1);
        Self(metrics, task)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.task_up.with_label_values(&[self.1]).set(0);
    }
}

/// An error and its cause. One level: kube's errors have the rest in their text.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", words(source)),
        None => words(error),
    }
}

/// The text of an error; of the API server's refusal its own sentence.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) if !status.message.is_empty() => status.message.clone(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
