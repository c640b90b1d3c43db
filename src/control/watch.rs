//! Watches: what the API server has of one kind, as a stream of changes.
//!
//! Not kube's `watcher`: it hides bookmarks and the server's regular end of a watch, which are what
//! tells a quiet cluster from a dead connection, and puts no bound on a list or on the start of a
//! watch that is never answered.

mod kind;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::Resource;
use kube::api::{ListParams, WatchEvent, WatchParams};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::object::Key;
use super::outage::Outage;
use crate::metrics::Metrics;
pub(super) use kind::{
    Kind, Metadata, Source, Whole, namespaces, pods, reports, resource, tunnels,
};

/// After this the server ends a watch, and it is renewed: a rotated token takes effect by then.
const WATCH: Duration = Duration::from_secs(60);
/// A watch that has said nothing for this long is stuck: the server should have ended it before.
const STUCK: Duration = Duration::from_secs(75);
/// For the first byte of a watch, which the server sends at once.
const START: Duration = Duration::from_secs(10);
/// For a page of a list.
const LIST: Duration = Duration::from_secs(30);
/// Objects a page.
const PAGE: u32 = 500;
/// Between attempts, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What happened to the objects of one scope.
#[derive(Debug)]
pub(super) enum Change<O> {
    /// These are all there are: the answer to a list.
    Listed {
        /// Which watch of the kind says so.
        scope: usize,
        /// Everything in its scope.
        objects: Vec<O>,
    },
    /// An object was made or written to.
    Applied(Box<O>),
    /// An object is gone.
    Deleted(Key),
}

/// When the API server last answered each watch.
#[derive(Clone)]
pub(super) struct Freshness {
    places: Arc<Mutex<BTreeMap<usize, (&'static str, Instant)>>>,
    outage: Outage,
}

impl Freshness {
    /// No watch has a place yet.
    pub(super) fn new(outage: Outage) -> Self {
        Self { places: Arc::default(), outage }
    }

    /// A place for one more watch, whose clock starts now.
    fn place(&self, kind: &'static str) -> usize {
        let mut places = self.places.lock();
        let place = places.last_key_value().map_or(0, |(last, _)| last + 1);
        places.insert(place, (kind, Instant::now()));
        place
    }

    /// The watch is none any more.
    fn leave(&self, place: usize) {
        self.places.lock().remove(&place);
    }

    fn answered(&self, place: usize) {
        if let Some((_, last)) = self.places.lock().get_mut(&place) {
            *last = Instant::now();
        }
        self.outage.ends();
    }

    /// The age of the stalest watch of each kind.
    pub(super) fn ages(&self) -> Vec<(&'static str, Duration)> {
        let mut ages: Vec<_> =
            self.places.lock().values().map(|(kind, last)| (*kind, last.elapsed())).collect();
        ages.sort();
        ages.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                first.1 = first.1.max(later.1);
            }
            same
        });
        ages
    }
}

/// Why a list or a watch came to nothing.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error("cannot list")]
    List(#[source] kube::Error),
    #[error("cannot watch")]
    Start(#[source] kube::Error),
    #[error("the watch broke off")]
    Broken(#[source] kube::Error),
    #[error("the API server ended the watch: {0}")]
    Ended(String),
    #[error("the resource version is too old, everything is listed again")]
    Gone,
    #[error("the API server does not answer")]
    Silent,
}

impl WatchError {
    /// The `error` label of `adit_kube_watch_errors_total`.
    fn label(&self) -> &'static str {
        match self {
            Self::List(_) => "list",
            Self::Start(_) => "start",
            Self::Broken(_) => "broken",
            Self::Ended(_) => "ended",
            Self::Gone => "gone",
            Self::Silent => "silent",
        }
    }

    /// Nobody answered: it is not about this kind of objects.
    fn is_outage(&self) -> bool {
        match self {
            Self::List(error) | Self::Start(error) | Self::Broken(error) => {
                !matches!(error, kube::Error::Api(_) | kube::Error::SerdeError(_))
            }
            Self::Silent => true,
            Self::Ended(_) | Self::Gone => false,
        }
    }

    fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::List(kube::Error::Api(status))
            | Self::Start(kube::Error::Api(status))
            | Self::Broken(kube::Error::Api(status)) => Some(status),
            _ => None,
        }
    }

    /// What to do about it, when we know.
    fn advice(&self, kind: &str) -> String {
        match self.status() {
            Some(status) if status.is_forbidden() => {
                format!("the ServiceAccount needs list and watch on {kind}: see deploy/rbac.yaml")
            }
            Some(status) if status.code == 404 => {
                format!("the API server has no {kind}: see deploy/install.yaml for the CRD")
            }
            Some(status) if status.code == 401 => "the token is not accepted".into(),
            _ => "tunnels go on; trying again".into(),
        }
    }
}

/// A watch of one kind in one scope: all namespaces, or one of them.
pub(super) struct Watch<S: Source, O, T> {
    kind: Kind<S, O>,
    scope: usize,
    /// What is made of a change for the one who reads them.
    news: fn(Change<O>) -> T,
    sink: mpsc::Sender<T>,
    freshness: Freshness,
    place: usize,
    metrics: Metrics,
}

impl<S: Source, O, T> Watch<S, O, T> {
    /// A watch that reports to `sink`. `scope` is its number among the watches of the kind.
    pub(super) fn new(
        kind: Kind<S, O>,
        scope: usize,
        news: fn(Change<O>) -> T,
        sink: mpsc::Sender<T>,
        freshness: Freshness,
        metrics: Metrics,
    ) -> Self {
        let place = freshness.place(kind.plural);
        Self { kind, scope, news, sink, freshness, place, metrics }
    }

    /// Follows the objects as long as somebody listens to the changes.
    pub(super) async fn run(self) -> Result<Infallible, mpsc::error::SendError<T>> {
        let mut delay = BACK_OFF.0;
        let mut version: Option<String> = None;
        let mut failing = false;
        loop {
            let outcome = match version.take() {
                None => match self.list().await {
                    Ok((objects, listed)) => {
                        let change = Change::Listed { scope: self.scope, objects };
                        self.sink.send((self.news)(change)).await?;
                        version = Some(listed);
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Some(from) => {
                    let mut from = from;
                    let outcome = self.follow(&mut from).await?;
                    // What cannot be read would be sent again: a list begins behind it.
                    let passed = |error: &WatchError| {
                        matches!(error, WatchError::Gone)
                            || matches!(error, WatchError::Broken(kube::Error::SerdeError(_)))
                    };
                    if !outcome.as_ref().is_err_and(passed) {
                        version = Some(from);
                    }
                    outcome
                }
            };
            match outcome {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!(kind = self.kind.plural, "objects can be watched again");
                    }
                    delay = BACK_OFF.0;
                }
                Err(WatchError::Gone) => {
                    self.count("gone");
                    tokio::time::sleep(BACK_OFF.0).await;
                }
                Err(error) => {
                    if error.is_outage() {
                        self.freshness.outage.begins(&super::chain(&error));
                        self.failed(&error, false);
                    } else {
                        self.failed(&error, !std::mem::replace(&mut failing, true));
                    }
                    tokio::time::sleep(delay.mul_f64(0.8 + 0.4 * rand::random::<f64>())).await;
                    delay = (delay * 2).min(BACK_OFF.1);
                }
            }
        }
    }

    /// Every object, and the version to watch from.
    async fn list(&self) -> Result<(Vec<O>, String), WatchError> {
        let mut objects = Vec::new();
        let mut params = ListParams {
            label_selector: self.kind.labels.clone(),
            field_selector: self.kind.fields.clone(),
            limit: Some(PAGE),
            ..ListParams::default()
        };
        loop {
            let page = timeout(LIST, self.kind.source.list(&params)).await;
            let page = page.map_err(|_| WatchError::Silent)?.map_err(WatchError::List)?;
            self.freshness.answered(self.place);
            objects.extend(page.items.iter().map(self.kind.read));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok((objects, page.metadata.resource_version.unwrap_or_default())),
            }
        }
    }

    /// Passes on what changes after `version`, until the server ends the watch.
    async fn follow(
        &self,
        version: &mut String,
    ) -> Result<Result<(), WatchError>, mpsc::error::SendError<T>> {
        let params = WatchParams {
            label_selector: self.kind.labels.clone(),
            field_selector: self.kind.fields.clone(),
            ..WatchParams::default().timeout(WATCH.as_secs().try_into().unwrap_or(60))
        };
        let stream = match timeout(START, self.kind.source.watch(&params, version)).await {
            Err(_) => return Ok(Err(WatchError::Silent)),
            Ok(Err(kube::Error::Api(status))) if status.code == 410 => {
                return Ok(Err(WatchError::Gone));
            }
            Ok(Err(error)) => return Ok(Err(WatchError::Start(error))),
            Ok(Ok(stream)) => stream,
        };
        self.freshness.answered(self.place);
        let started = Instant::now();
        let mut stream = std::pin::pin!(stream);
        loop {
            let event = match timeout(STUCK, stream.next()).await {
                Err(_) => return Ok(Err(WatchError::Silent)),
                // A server on its way out accepts watches and ends them at once.
                Ok(None) if started.elapsed() < Duration::from_secs(1) => {
                    return Ok(Err(WatchError::Ended("at once".into())));
                }
                Ok(None) => return Ok(Ok(())),
                Ok(Some(Err(error))) => return Ok(Err(WatchError::Broken(error))),
                Ok(Some(Ok(event))) => event,
            };
            self.freshness.answered(self.place);
            let (verb, change, seen) = match event {
                WatchEvent::Added(object) => ("added", self.applied(&object), version_of(&object)),
                WatchEvent::Modified(object) => {
                    ("modified", self.applied(&object), version_of(&object))
                }
                WatchEvent::Deleted(object) => {
                    ("deleted", Some(Change::Deleted(Key::of(&object))), version_of(&object))
                }
                WatchEvent::Bookmark(mark) => {
                    ("bookmark", None, Some(mark.metadata.resource_version))
                }
                WatchEvent::Error(status) if status.code == 410 => {
                    return Ok(Err(WatchError::Gone));
                }
                WatchEvent::Error(status) => return Ok(Err(WatchError::Ended(status.message))),
            };
            self.metrics.kube_watch_events.with_label_values(&[self.kind.plural, verb]).inc();
            if let Some(change) = change {
                self.sink.send((self.news)(change)).await?;
            }
            if let Some(seen) = seen {
                *version = seen;
            }
        }
    }

    fn applied(&self, object: &S::Object) -> Option<Change<O>> {
        Some(Change::Applied(Box::new((self.kind.read)(object))))
    }

    fn failed(&self, error: &WatchError, first: bool) {
        let kind = self.kind.plural;
        self.count(error.label());
        if error.status().is_some_and(kube::core::Status::is_forbidden) {
            let verb = if matches!(error, WatchError::List(_)) { "list" } else { "watch" };
            self.metrics.kube_denied.with_label_values(&[verb, kind]).inc();
        }
        // One line for an outage, not one for each attempt.
        if first {
            tracing::warn!(kind, error = %super::chain(error), "{}", error.advice(kind));
        } else {
            tracing::debug!(kind, error = %super::chain(error), "the API server still does not answer");
        }
    }

    fn count(&self, error: &'static str) {
        self.metrics.kube_watch_errors.with_label_values(&[self.kind.plural, error]).inc();
    }
}

impl<S: Source, O, T> Drop for Watch<S, O, T> {
    fn drop(&mut self) {
        self.freshness.leave(self.place);
    }
}

fn version_of<K: Resource>(object: &K) -> Option<String> {
    object.meta().resource_version.clone()
}

#[cfg(test)]
mod tests;
