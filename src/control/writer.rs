//! Writes statuses: a few at a time, one an object, each object with a back-off of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::lease::{Fenced, Leadership};
use super::object::{Key, Object};
use super::queue::{BackOff, Lane, Queue};
use super::status::Status;
use super::watch::resource;
use crate::metrics::Metrics;

/// Writes at the same time. More would only queue up in the API server.
const AT_ONCE: usize = 8;
/// For one write.
const TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed write of one object.
const BACK_OFF: BackOff =
    BackOff { first: Duration::from_secs(1), most: Duration::from_secs(300), spread: 0.0 };

/// A status to write.
#[derive(Clone, Debug)]
pub(super) struct Write {
    key: Key,
    uid: Arc<str>,
    /// The version that the object has to have: nobody holds it yet, and another installation may
    /// be faster.
    version: Option<String>,
    /// Only the field by which an installation asks another one whether it is there.
    asks: bool,
    status: Status,
    /// What it was before, for the Events that follow.
    before: Status,
    /// In place of one that was refused.
    short: bool,
}

impl Write {
    /// The write that turns the object's status from `before` into `status`.
    pub(super) fn new(object: &Object, before: Status, status: Status) -> Self {
        let same = status.controller.is_none() || status.controller == before.controller;
        let held = before.controller.is_some() && same;
        let version = (!held).then(|| object.resource_version.clone());
        Self {
            key: object.key.clone(),
            uid: object.uid.clone(),
            version: version.filter(|version| !version.is_empty()),
            asks: false,
            status,
            before,
            short: false,
        }
    }

    /// The question of an installation to the one that holds an object.
    pub(super) fn question(object: &Object, installation: &str) -> Self {
        let before = object.status.clone();
        let status = Status { contender: Some(installation.into()), ..before.clone() };
        Self { asks: true, version: None, ..Self::new(object, before, status) }
    }
}

/// A write that the API server took.
#[derive(Debug)]
pub(super) struct Written {
    /// The object.
    pub(super) key: Key,
    /// Its uid.
    pub(super) uid: Arc<str>,
    /// It was a question to another installation.
    pub(super) asks: bool,
    /// Its status before.
    pub(super) before: Status,
    /// Its status now.
    pub(super) status: Status,
}

impl PartialEq for Write {
    /// Of one object: what it was before counts for Events only.
    fn eq(&self, other: &Self) -> bool {
        self.status == other.status && self.version == other.version && self.asks == other.asks
    }
}

/// The writer. Drive it with [`Writer::next`].
pub(super) struct Writer {
    metrics: Metrics,
    /// By the uid of the object.
    writes: Queue<Arc<str>, Arc<Write>, Result<String, WriteError>>,
    /// What was written and has not come back through the watch yet, with its version.
    written: HashMap<Arc<str>, (Status, String)>,
    /// What the API server does not take, in whose place a short status was written.
    refused: HashMap<Arc<str>, Status>,
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
    /// Whether the object was written by another, or is another one.
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(kube::Error::Api(status)) if status.is_conflict())
    }

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
    /// A writer with the field manager `adit-<instance>`.
    ///
    /// It patches the whole status and does not apply it: an apply leaves what another release name
    /// once wrote, and only the holder of an object writes its status.
    pub(super) fn new(
        client: kube::Client,
        instance: &str,
        leadership: Leadership,
        metrics: Metrics,
    ) -> Self {
        let params =
            PatchParams { field_manager: Some(format!("adit-{instance}")), ..Default::default() };
        let seconds = metrics.status_patch_seconds.clone();
        let perform = move |_, write: Arc<Write>| -> BoxFuture<'static, _> {
            let (client, params) = (client.clone(), params.clone());
            let (leadership, seconds) = (leadership.clone(), seconds.clone());
            Box::pin(async move {
                let began = Instant::now();
                let patched = leadership.fenced(TIMEOUT, patch(client, params, &write)).await;
                seconds.observe(began.elapsed().as_secs_f64());
                patched.map_err(WriteError::Fenced).and_then(|outcome| outcome)
            })
        };
        let (written, refused) = Default::default();
        Self { metrics, writes: Queue::new(AT_ONCE, Box::new(perform)), written, refused }
    }

    /// The status that the object has, or will have when what is under way is done.
    pub(super) fn intended<'a>(&'a self, object: &'a Object) -> &'a Status {
        if let Some(refused) = self.refused.get(&object.uid) {
            return refused;
        }
        let newest = self.writes.newest(&object.uid).map(|write| &write.status);
        let written = || self.written.get(&object.uid).map(|(status, _)| status);
        newest.or_else(written).unwrap_or(&object.status)
    }

    /// The watch has shown the object in this version.
    pub(super) fn seen(&mut self, object: &Object) {
        // An older event that is still on its way must not undo what we know.
        let written = self.written.get(&object.uid);
        if written.is_some_and(|(_, version)| not_older(&object.resource_version, version)) {
            self.written.remove(&object.uid);
        }
    }

    /// Everything was listed: what the watch shows now is newer than any write.
    pub(super) fn listed(&mut self) {
        self.written.clear();
    }

    /// Forgets objects that are gone.
    pub(super) fn keep_objects(&mut self, uids: &HashSet<&str>) {
        self.writes.retain(|uid| uids.contains(&**uid));
        self.written.retain(|uid, _| uids.contains(&**uid));
        self.refused.retain(|uid, _| uids.contains(&**uid));
    }

    /// Drops everything that waits or is under way: another process writes from now on, or this one
    /// begins with what is stored.
    pub(super) fn forget(&mut self) {
        self.writes.clear();
        self.written.clear();
        self.refused.clear();
    }

    /// Whether nothing waits and nothing is under way, but for what failed.
    pub(super) fn is_idle(&self) -> bool {
        self.writes.is_idle()
    }

    /// Asks for a write; a newer one of the same object replaces one that waits. A change begins
    /// anew; the same again waits for the end of its back-off, or is not written where the API server
    /// refused it.
    pub(super) fn put(&mut self, write: Write) {
        if self.refused.get(&write.uid) == Some(&write.status) {
            return;
        }
        self.refused.remove(&write.uid);
        let mut write = write;
        // A claim of ours is under way: if it fails, what waits behind it goes with it.
        let claims = |before: &Status| before.controller == write.status.controller;
        let under_way = self.writes.under_way(&write.uid).is_some_and(|w| claims(&w.status));
        if under_way || self.written.get(&write.uid).is_some_and(|(status, _)| claims(status)) {
            write.version = None;
        }
        let lane = Lane::Of(write.key.namespace.clone());
        self.writes.put(write.uid.clone(), lane, Arc::new(write));
    }

    /// When a failed write may be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.writes.retry_at()
    }

    /// Starts the writes whose back-off is over.
    pub(super) fn retry(&mut self) {
        self.writes.retry();
    }

    /// Waits for a write to end; for ever if none runs. `None`: it failed and will be tried again.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Written> {
        let (uid, write, outcome) = self.writes.next().await;
        self.ended(uid, write, outcome)
    }

    /// Whether no newer status of the object waits.
    fn is_newest(&self, uid: &Arc<str>) -> bool {
        self.writes.waiting(uid).is_none()
    }

    fn ended(
        &mut self,
        uid: Arc<str>,
        write: Arc<Write>,
        outcome: Result<String, WriteError>,
    ) -> Option<Written> {
        let result = outcome.as_ref().map_or_else(WriteError::label, |_| "ok");
        self.metrics.status_patches.with_label_values(&[result]).inc();
        if result == "forbidden" {
            self.metrics.kube_denied.with_label_values(&["patch", "wstunnels/status"]).inc();
        }
        match outcome {
            Ok(version) => {
                self.writes.succeeded(&uid);
                self.written.insert(uid.clone(), (write.status.clone(), version));
                let Write { key, before, status, asks, .. } = Arc::unwrap_or_clone(write);
                Some(Written { key, uid, before, status, asks })
            }
            Err(WriteError::Fenced(Fenced::NotLeader)) => {
                // Whoever leads says it, or this process when it leads again.
                self.writes.forget(&uid);
                self.written.remove(&uid);
                self.refused.remove(&uid);
                None
            }
            Err(error) if error.is_conflict() && write.version.is_some() => {
                // Another wrote first, an installation perhaps; the watch says what.
                self.writes.forget(&uid);
                self.written.remove(&uid);
                None
            }
            Err(error) if error.is_of_status() && !write.short && self.is_newest(&uid) => {
                let why = super::chain(&error);
                tracing::warn!(
                    object = %write.key, error = why,
                    "the API server does not take the status of a WsTunnel: a short one is written"
                );
                self.refused.insert(uid.clone(), write.status.clone());
                self.writes.succeeded(&uid);
                let lane = Lane::Of(write.key.namespace.clone());
                let (write, status) =
                    (Arc::unwrap_or_clone(write.clone()), write.status.minimal(&why));
                self.writes.put(uid, lane, Arc::new(Write { short: true, status, ..write }));
                None
            }
            Err(error) => {
                let key = write.key.clone();
                let retry_in = self.writes.failed(&uid, write, BACK_OFF).unwrap_or_default();
                tracing::warn!(
                    object = %key, error = %super::chain(&error), ?retry_in,
                    "cannot write the status of a WsTunnel"
                );
                None
            }
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
    let status = match write.asks {
        true => json!({"contender": write.status.contender}),
        false => write.status.patch(),
    };
    // With the uid an object that was deleted and made anew is a conflict, not a mistake.
    let mut body = json!({"metadata": {"uid": &*write.uid}, "status": status});
    if let (Some(version), Some(metadata)) = (&write.version, body.pointer_mut("/metadata"))
        && let Some(metadata) = metadata.as_object_mut()
    {
        metadata.insert("resourceVersion".into(), json!(version));
    }
    let patched = api.patch_status(&write.key.name, &params, &Patch::Merge(&body)).await;
    let object = patched.map_err(WriteError::Refused)?;
    Ok(object.metadata.resource_version.unwrap_or_default())
}

#[cfg(test)]
mod tests;
