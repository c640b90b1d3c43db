//! The watch over `WsTunnel`s: what the API server has, as a stream of changes.
//!
//! Not kube's `watcher`: it hides bookmarks and the server's regular end of a watch, which are what
//! tells a quiet cluster from a dead connection, and puts no bound on a list or on the start of a
//! watch that is never answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::object::{Key, Object};
use crate::crd;
use crate::metrics::Metrics;

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
pub(super) enum Change {
    /// These are all there are: the answer to a list.
    Listed {
        /// Which watch says so.
        scope: usize,
        /// Everything in its scope.
        objects: Vec<Object>,
    },
    /// An object was made or written to.
    Applied(Box<Object>),
    /// An object is gone.
    Deleted(Key),
}

/// When the API server last answered, for each scope.
#[derive(Clone)]
pub(super) struct Freshness(Arc<Mutex<Vec<Instant>>>);

impl Freshness {
    /// The clock starts now.
    pub(super) fn new(scopes: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![Instant::now(); scopes])))
    }

    fn answered(&self, scope: usize) {
        if let Some(last) = self.0.lock().get_mut(scope) {
            *last = Instant::now();
        }
    }

    /// The age of the stalest scope.
    pub(super) fn age(&self) -> Duration {
        self.0.lock().iter().map(Instant::elapsed).max().unwrap_or_default()
    }
}

/// Why a list or a watch came to nothing.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error("cannot list WsTunnels")]
    List(#[source] kube::Error),
    #[error("cannot watch WsTunnels")]
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

    fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::List(kube::Error::Api(status))
            | Self::Start(kube::Error::Api(status))
            | Self::Broken(kube::Error::Api(status)) => Some(status),
            _ => None,
        }
    }

    /// What to do about it, when we know.
    fn advice(&self) -> &'static str {
        match self.status() {
            Some(status) if status.is_forbidden() => {
                "the ServiceAccount needs list and watch on wstunnels.adit.dev: see deploy/rbac.yaml"
            }
            Some(status) if status.code == 404 => {
                "the CRD is not installed: see deploy/install.yaml"
            }
            Some(status) if status.code == 401 => "the token is not accepted",
            _ => "tunnels go on; trying again",
        }
    }
}

/// A watch of one scope: all namespaces, or one of them.
pub(super) struct Watch {
    api: Api<DynamicObject>,
    scope: usize,
    changes: mpsc::Sender<Change>,
    freshness: Freshness,
    metrics: Metrics,
}

impl Watch {
    /// A watch that reports to `changes`.
    pub(super) fn new(
        client: kube::Client,
        namespace: Option<&str>,
        scope: usize,
        changes: mpsc::Sender<Change>,
        freshness: Freshness,
        metrics: Metrics,
    ) -> Self {
        let kind = kind();
        let api = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &kind),
            None => Api::all_with(client, &kind),
        };
        Self { api, scope, changes, freshness, metrics }
    }

    /// Follows the objects as long as somebody listens to the changes.
    pub(super) async fn run(self) -> Result<Infallible, mpsc::error::SendError<Change>> {
        let mut delay = BACK_OFF.0;
        let mut version: Option<String> = None;
        let mut failing = false;
        loop {
            let outcome = match version.take() {
                None => match self.list().await {
                    Ok((objects, listed)) => {
                        let change = Change::Listed { scope: self.scope, objects };
                        self.changes.send(change).await?;
                        version = Some(listed);
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Some(from) => {
                    let mut from = from;
                    let outcome = self.follow(&mut from).await?;
                    if !matches!(outcome, Err(WatchError::Gone)) {
                        version = Some(from);
                    }
                    outcome
                }
            };
            match outcome {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the API server answers again");
                    }
                    delay = BACK_OFF.0;
                }
                Err(WatchError::Gone) => {
                    self.count("gone");
                    tokio::time::sleep(BACK_OFF.0).await;
                }
                Err(error) => {
                    self.failed(&error, !std::mem::replace(&mut failing, true));
                    tokio::time::sleep(delay.mul_f64(0.8 + 0.4 * rand::random::<f64>())).await;
                    delay = (delay * 2).min(BACK_OFF.1);
                }
            }
        }
    }

    /// Every object, and the version to watch from.
    async fn list(&self) -> Result<(Vec<Object>, String), WatchError> {
        let mut objects = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = timeout(LIST, self.api.list(&params)).await;
            let page = page.map_err(|_| WatchError::Silent)?.map_err(WatchError::List)?;
            self.freshness.answered(self.scope);
            objects.extend(page.items.iter().map(Object::read));
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
    ) -> Result<Result<(), WatchError>, mpsc::error::SendError<Change>> {
        let params = WatchParams::default().timeout(WATCH.as_secs().try_into().unwrap_or(60));
        let stream = match timeout(START, self.api.watch(&params, version)).await {
            Err(_) => return Ok(Err(WatchError::Silent)),
            Ok(Err(kube::Error::Api(status))) if status.code == 410 => {
                return Ok(Err(WatchError::Gone));
            }
            Ok(Err(error)) => return Ok(Err(WatchError::Start(error))),
            Ok(Ok(stream)) => stream,
        };
        self.freshness.answered(self.scope);
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
            self.freshness.answered(self.scope);
            let (verb, change, seen) = match event {
                WatchEvent::Added(object) => {
                    ("added", Some(applied(&object)), object.metadata.resource_version)
                }
                WatchEvent::Modified(object) => {
                    ("modified", Some(applied(&object)), object.metadata.resource_version)
                }
                WatchEvent::Deleted(object) => {
                    let key = Object::read(&object).key;
                    ("deleted", Some(Change::Deleted(key)), object.metadata.resource_version)
                }
                WatchEvent::Bookmark(mark) => {
                    ("bookmark", None, Some(mark.metadata.resource_version))
                }
                WatchEvent::Error(status) if status.code == 410 => {
                    return Ok(Err(WatchError::Gone));
                }
                WatchEvent::Error(status) => return Ok(Err(WatchError::Ended(status.message))),
            };
            self.metrics.kube_watch_events.with_label_values(&[verb]).inc();
            if let Some(change) = change {
                self.changes.send(change).await?;
            }
            if let Some(seen) = seen {
                *version = seen;
            }
        }
    }

    fn failed(&self, error: &WatchError, first: bool) {
        self.count(error.label());
        if error.status().is_some_and(kube::core::Status::is_forbidden) {
            let verb = if matches!(error, WatchError::List(_)) { "list" } else { "watch" };
            self.metrics.kube_denied.with_label_values(&[verb, "wstunnels"]).inc();
        }
        // One line for an outage, not one for each attempt.
        if first {
            tracing::warn!(error = %super::chain(error), "{}", error.advice());
        } else {
            tracing::debug!(error = %super::chain(error), "the API server still does not answer");
        }
    }

    fn count(&self, error: &'static str) {
        self.metrics.kube_watch_errors.with_label_values(&[error]).inc();
    }
}

/// The resource that is watched and patched.
pub(super) fn kind() -> ApiResource {
    ApiResource {
        group: crd::GROUP.into(),
        version: crd::VERSION.into(),
        api_version: format!("{}/{}", crd::GROUP, crd::VERSION),
        kind: crd::KIND.into(),
        plural: crd::PLURAL.into(),
    }
}

fn applied(object: &DynamicObject) -> Change {
    Change::Applied(Box::new(Object::read(object)))
}
