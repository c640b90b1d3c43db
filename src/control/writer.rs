//! Writes statuses: a few at a time, one an object, each object with a back-off of its own.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::lease::{Fenced, Leadership};
use super::object::{Key, Object};
use super::status::Status;
use super::watch::resource;
use crate::metrics::Metrics;

/// Writes at the same time. More would only queue up in the API server.
const AT_ONCE: usize = 8;
/// For one write.
const TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed write of one object, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// A status to write.
#[derive(Clone, Debug)]
pub(super) struct Write {
    key: Key,
    uid: Arc<str>,
    /// An object that does not decode has no types that a server-side apply could merge by.
    merge: bool,
    status: Status,
    /// What it was before, for the Events that follow.
    before: Status,
    /// In place of one that was refused.
    short: bool,
}

impl Write {
    /// The write that turns the object's status from `before` into `status`.
    pub(super) fn new(object: &Object, before: Status, status: Status) -> Self {
        Self {
            key: object.key.clone(),
            uid: object.uid.clone(),
            merge: object.spec.is_err(),
            status,
            before,
            short: false,
        }
    }
}

/// A write that the API server took.
#[derive(Debug)]
pub(super) struct Written {
    /// The object.
    pub(super) key: Key,
    /// Its uid.
    pub(super) uid: Arc<str>,
    /// Its status before.
    pub(super) before: Status,
    /// Its status now.
    pub(super) status: Status,
}

/// What is known of one object's writes.
#[derive(Default)]
struct Progress {
    in_flight: Option<Status>,
    /// The newest one that waits.
    waiting: Option<Write>,
    /// Whether `waiting` stands in the queue.
    queued: bool,
    /// What was written and has not come back through the watch yet, with its version.
    written: Option<(Status, String)>,
    failed: Option<Failed>,
    /// What the API server does not take, in whose place a short status was written.
    refused: Option<Status>,
}

struct Failed {
    status: Status,
    delay: Duration,
    until: Instant,
}

type Outcome = (Write, Result<String, WriteError>);

/// The writer. Drive it with [`Writer::next`].
pub(super) struct Writer {
    client: kube::Client,
    params: PatchParams,
    leadership: Leadership,
    metrics: Metrics,
    objects: HashMap<Arc<str>, Progress>,
    queue: VecDeque<Arc<str>>,
    running: FuturesUnordered<BoxFuture<'static, Outcome>>,
}

/// Why a write came to nothing.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("the API server refused the status")]
    Refused(#[source] kube::Error),
    #[error(transparent)]
    Fenced(#[from] Fenced),
}

impl WriteError {
    /// Whether another status of the object may be taken: this one is too large, or does not fit.
    fn is_of_status(&self) -> bool {
        matches!(self, Self::Refused(kube::Error::Api(status))
            if matches!(status.code, 413 | 422) || status.message.contains("too large"))
    }

    /// The `result` label of `adit_status_patches_total`.
    fn label(&self) -> &'static str {
        match self {
            Self::Fenced(Fenced::Silent) => "timeout",
            Self::Fenced(Fenced::NotLeader) => "not_leader",
            Self::Refused(kube::Error::Api(status)) if status.is_not_found() => "not_found",
            Self::Refused(kube::Error::Api(status)) if status.is_conflict() => "conflict",
            Self::Refused(kube::Error::Api(status)) if status.is_forbidden() => "forbidden",
            Self::Refused(kube::Error::Api(status)) if status.code == 429 => "throttled",
            Self::Refused(kube::Error::Api(status)) if status.code >= 500 => "server_error",
            Self::Refused(kube::Error::Api(_)) => "rejected",
            Self::Refused(_) => "connection",
        }
    }
}

impl Writer {
    /// A writer that owns the fields of `adit-<instance>`.
    pub(super) fn new(
        client: kube::Client,
        instance: &str,
        leadership: Leadership,
        metrics: Metrics,
    ) -> Self {
        Self {
            client,
            params: PatchParams::apply(&format!("adit-{instance}")).force(),
            leadership,
            metrics,
            objects: HashMap::new(),
            queue: VecDeque::new(),
            running: FuturesUnordered::new(),
        }
    }

    /// The status that the object has, or will have when what is under way is done.
    pub(super) fn intended<'a>(&'a self, object: &'a Object) -> &'a Status {
        let Some(progress) = self.objects.get(&object.uid) else { return &object.status };
        if let (Some(refused), None) = (&progress.refused, &progress.failed) {
            return refused;
        }
        let waiting = progress.waiting.as_ref().map(|write| &write.status);
        let written = progress.written.as_ref().map(|(status, _)| status);
        waiting.or(progress.in_flight.as_ref()).or(written).unwrap_or(&object.status)
    }

    /// The watch has shown the object in this version.
    pub(super) fn seen(&mut self, object: &Object) {
        let Some(progress) = self.objects.get_mut(&object.uid) else { return };
        // An older event that is still on its way must not undo what we know.
        let shown = progress
            .written
            .as_ref()
            .is_some_and(|(_, version)| not_older(&object.resource_version, version));
        if shown {
            progress.written = None;
        }
    }

    /// Everything was listed: what the watch shows now is newer than any write.
    pub(super) fn listed(&mut self) {
        for progress in self.objects.values_mut() {
            progress.written = None;
        }
    }

    /// Forgets objects that are gone.
    pub(super) fn keep_objects(&mut self, uids: &HashSet<&str>) {
        self.objects.retain(|uid, _| uids.contains(&**uid));
    }

    /// Drops everything that waits or is under way: another process writes from now on, or this one
    /// begins with what is stored.
    pub(super) fn forget(&mut self) {
        self.running.clear();
        self.queue.clear();
        self.objects.clear();
    }

    /// Whether nothing waits and nothing is under way, but for what failed.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.queue.is_empty()
    }

    /// Asks for a write; a newer one of the same object replaces one that waits.
    pub(super) fn put(&mut self, write: Write) {
        let uid = write.uid.clone();
        let progress = self.objects.entry(uid.clone()).or_default();
        if progress.refused.as_ref() == Some(&write.status) {
            return;
        }
        progress.refused = None;
        // A change begins anew; the same again waits for the end of its back-off.
        if progress.failed.as_ref().is_some_and(|failed| failed.status != write.status) {
            progress.failed = None;
        }
        progress.waiting = Some(write);
        if progress.in_flight.is_none() && progress.failed.is_none() && !progress.queued {
            progress.queued = true;
            self.queue.push_back(uid);
        }
        self.start();
    }

    /// When a failed write may be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        let waits = self.objects.values().filter(|p| p.waiting.is_some() && !p.queued);
        waits.filter_map(|progress| progress.failed.as_ref()).map(|failed| failed.until).min()
    }

    /// Starts the writes whose back-off is over.
    pub(super) fn retry(&mut self) {
        let now = Instant::now();
        for (uid, progress) in &mut self.objects {
            let due = progress.failed.as_ref().is_some_and(|failed| failed.until <= now);
            if due && progress.waiting.is_some() && !progress.queued {
                progress.queued = true;
                self.queue.push_back(uid.clone());
            }
        }
        self.start();
    }

    /// Waits for a write to end; for ever if none runs. `None`: it failed and will be tried again.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Written> {
        let (write, outcome) = match self.running.next().await {
            Some(outcome) => outcome,
            None => std::future::pending().await,
        };
        let written = self.ended(write, outcome);
        self.start();
        written
    }

    fn ended(&mut self, write: Write, outcome: Result<String, WriteError>) -> Option<Written> {
        let result = outcome.as_ref().map_or_else(WriteError::label, |_| "ok");
        self.metrics.status_patches.with_label_values(&[result]).inc();
        if result == "forbidden" {
            self.metrics.kube_denied.with_label_values(&["patch", "wstunnels/status"]).inc();
        }
        // The object may have gone in the meantime.
        let progress = self.objects.get_mut(&write.uid)?;
        progress.in_flight = None;
        if result == "not_leader" {
            // Whoever leads says it, or this process when it leads again.
            self.objects.remove(&write.uid);
            return None;
        }
        if progress.waiting.is_some() && !progress.queued {
            progress.queued = true;
            self.queue.push_back(write.uid.clone());
        }
        match outcome {
            Ok(version) => {
                progress.failed = None;
                progress.written = Some((write.status.clone(), version));
                let Write { key, uid, before, status, .. } = write;
                Some(Written { key, uid, before, status })
            }
            Err(error) if error.is_of_status() && !write.short && progress.waiting.is_none() => {
                let why = super::chain(&error);
                tracing::warn!(
                    object = %write.key, error = why,
                    "the API server does not take the status of a WsTunnel: a short one is written"
                );
                progress.refused = Some(write.status.clone());
                let status = write.status.minimal(&why);
                progress.waiting = Some(Write { short: true, status, ..write.clone() });
                progress.failed = None;
                progress.queued = true;
                self.queue.push_back(write.uid);
                None
            }
            Err(error) => {
                let last = progress.failed.take().map(|failed| failed.delay);
                let delay = last.map_or(BACK_OFF.0, |delay| (delay * 2).min(BACK_OFF.1));
                tracing::warn!(
                    object = %write.key, error = %super::chain(&error), retry_in = ?delay,
                    "cannot write the status of a WsTunnel"
                );
                if progress.waiting.is_none() {
                    let until = Instant::now() + delay;
                    progress.failed = Some(Failed { status: write.status.clone(), delay, until });
                    progress.waiting = Some(write);
                }
                None
            }
        }
    }

    fn start(&mut self) {
        while self.running.len() < AT_ONCE {
            let Some(uid) = self.queue.pop_front() else { return };
            let Some(progress) = self.objects.get_mut(&uid) else { continue };
            progress.queued = false;
            let Some(write) = progress.waiting.take() else { continue };
            progress.in_flight = Some(write.status.clone());
            let (client, params) = (self.client.clone(), self.params.clone());
            let leadership = self.leadership.clone();
            let seconds = self.metrics.status_patch_seconds.clone();
            self.running.push(Box::pin(async move {
                let began = Instant::now();
                let patched = leadership.fenced(TIMEOUT, patch(client, params, &write)).await;
                seconds.observe(began.elapsed().as_secs_f64());
                let outcome = patched.map_err(WriteError::Fenced).and_then(|outcome| outcome);
                (write, outcome)
            }));
        }
    }
}

/// Whether version `a` is `b` or newer. Versions are numbers that grow, wherever they can be read.
fn not_older(a: &str, b: &str) -> bool {
    match (a.parse::<u128>(), b.parse::<u128>()) {
        (Ok(a), Ok(b)) => a >= b,
        _ => a == b,
    }
}

/// Writes one status; returns the version that the object has then.
async fn patch(
    client: kube::Client,
    params: PatchParams,
    write: &Write,
) -> Result<String, WriteError> {
    let kind = resource();
    let api = Api::<DynamicObject>::namespaced_with(client, &write.key.namespace, &kind);
    let mut body = json!({
        // With the uid an object that was deleted and made anew is a conflict, not a mistake.
        "metadata": {"uid": &*write.uid},
        "status": write.status,
    });
    let patched = if write.merge {
        let params = PatchParams { force: false, ..params };
        api.patch_status(&write.key.name, &params, &Patch::Merge(&body)).await
    } else {
        if let Some(body) = body.as_object_mut() {
            body.insert("apiVersion".into(), kind.api_version.as_str().into());
            body.insert("kind".into(), kind.kind.as_str().into());
        }
        api.patch_status(&write.key.name, &params, &Patch::Apply(&body)).await
    };
    let object = patched.map_err(WriteError::Refused)?;
    Ok(object.metadata.resource_version.unwrap_or_default())
}

#[cfg(test)]
mod tests;
