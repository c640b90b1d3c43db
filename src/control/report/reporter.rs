//! Keeps this replica's report as it should be.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, DeleteParams, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::{KEY, LABEL, Left, Pod, Report, Tunnels};
use crate::base::Bound;
use crate::control::fleet::Fleet;
use crate::metrics::Metrics;

/// Between writes: edits in a row become one.
const BETWEEN: Duration = Duration::from_secs(1);
/// A report without a Pod says that its process lives this often; readers wait three times as long.
pub(in crate::control) const RENEW: Duration = Duration::from_secs(15);
/// For one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed write, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// For the removal of the report when the process ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the process and its report are called.
#[derive(Clone, Debug)]
pub(in crate::control) struct Names {
    /// `--instance`.
    pub(in crate::control) instance: String,
    /// The namespace of Lease, reports and Pods.
    pub(in crate::control) namespace: String,
    /// `--pod-name`, where the Pod is in that namespace.
    pub(in crate::control) pod: Option<Arc<str>>,
    /// The replica in messages and names: the Pod's name, or a random one.
    pub(in crate::control) replica: Arc<str>,
}

impl Names {
    /// The name of a replica's report.
    pub(in crate::control) fn report(&self, replica: &str) -> String {
        format!("{}-report-{replica}", self.instance)
    }

    /// The replica whose report has this name.
    pub(in crate::control) fn replica<'a>(&self, report: &'a str) -> &'a str {
        report
            .strip_prefix(&*self.instance)
            .and_then(|rest| rest.strip_prefix("-report-"))
            .unwrap_or(report)
    }
}

/// The writer of this replica's report.
pub(in crate::control) struct Reporter {
    api: Api<ConfigMap>,
    names: Names,
    /// What was written last.
    written: Option<Report>,
    written_at: Instant,
    /// How often the report was seen to be gone when it was written last.
    losses: u64,
    /// Whether the ConfigMap is known to be there.
    exists: bool,
    /// Whether it may be there without a Pod that takes it with it.
    orphan: bool,
    delay: Duration,
    failing: bool,
    /// The last report had no room for all.
    full: bool,
    metrics: Metrics,
}

impl Reporter {
    /// A reporter that has written nothing.
    pub(in crate::control) fn new(client: kube::Client, names: Names, metrics: Metrics) -> Self {
        Self {
            api: Api::namespaced(client, &names.namespace),
            names,
            written: None,
            written_at: Instant::now(),
            losses: 0,
            exists: false,
            orphan: false,
            delay: BACK_OFF.0,
            failing: false,
            full: false,
            metrics,
        }
    }

    /// Writes what is to be said whenever it changes, as long as the process runs. It begins when it
    /// is known whether the process has a Pod.
    pub(in crate::control) async fn run(
        &mut self,
        tunnels: &mut watch::Receiver<Option<Arc<Tunnels>>>,
        fleet: &mut watch::Receiver<Arc<Fleet>>,
    ) -> Infallible {
        loop {
            let said = tunnels.borrow_and_update().clone();
            let known = fleet.borrow_and_update().clone();
            let mut wake = None;
            if let (Some(said), true) = (said, known.listed) {
                let report = self.report(said, known.pod.clone());
                let due = report.renewed.is_some().then(|| self.written_at + RENEW);
                if self.differs(&report, &known) || due.is_some_and(|due| due <= Instant::now()) {
                    self.losses = known.losses;
                    wake = Some(Instant::now() + self.write(report).await);
                    sleep_until(Instant::now() + BETWEEN).await;
                } else {
                    wake = due;
                }
            }
            let wait = async {
                match wake {
                    Some(wake) => sleep_until(wake).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Ok(()) = tunnels.changed() => {}
                Ok(()) = fleet.changed() => {}
                () = wait => {}
                else => std::future::pending().await,
            }
        }
    }

    fn report(&self, tunnels: Arc<Tunnels>, pod: Option<Pod>) -> Report {
        let renewed = pod.is_none().then(|| Timestamp::now().to_string());
        Report::new(pod, renewed, tunnels)
    }

    fn differs(&self, report: &Report, fleet: &Fleet) -> bool {
        self.losses != fleet.losses || self.written.as_ref().is_none_or(|old| !old.same(report))
    }

    /// Writes a report; how long to wait before the next look at it.
    async fn write(&mut self, report: Report) -> Duration {
        let written = self.put(&report).await;
        self.metrics
            .report_writes
            .with_label_values(&[if written.is_ok() { "ok" } else { "error" }])
            .inc();
        match written {
            Ok(()) => {
                let next = if report.renewed.is_some() { RENEW } else { Duration::MAX };
                self.written = Some(report);
                self.written_at = Instant::now();
                self.delay = BACK_OFF.0;
                self.exists = true;
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the report of this replica is written again");
                }
                next.min(Duration::from_secs(3600))
            }
            Err(error) => {
                self.written = None;
                self.failed(&error);
                let delay = self.delay;
                self.delay = (delay * 2).min(BACK_OFF.1);
                delay
            }
        }
    }

    /// Replaces the ConfigMap, or makes it. Nobody else writes it.
    async fn put(&mut self, report: &Report) -> Result<(), ReportError> {
        let name = self.names.report(&self.names.replica);
        self.orphan = report.pod.is_none();
        let (text, left) = report.encode()?;
        self.bounded(left);
        let map = self.config_map(&name, report, text);
        let params = PostParams::default();
        if self.exists {
            match timeout(TIMEOUT, self.api.replace(&name, &params, &map)).await {
                Ok(Err(kube::Error::Api(status))) if status.is_not_found() => self.exists = false,
                Ok(replaced) => {
                    return replaced.map(drop).map_err(|e| ReportError::Write("update", e));
                }
                Err(_) => return Err(ReportError::Silent),
            }
        }
        match timeout(TIMEOUT, self.api.create(&params, &map)).await {
            Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => {
                // Of the process before this one, in the same Pod.
                self.exists = true;
                let replaced = timeout(TIMEOUT, self.api.replace(&name, &params, &map)).await;
                let replaced = replaced.map_err(|_| ReportError::Silent)?;
                replaced.map(drop).map_err(|e| ReportError::Write("update", e))
            }
            Ok(created) => created.map(drop).map_err(|e| ReportError::Write("create", e)),
            Err(_) => Err(ReportError::Silent),
        }
    }

    fn config_map(&self, name: &str, report: &Report, text: String) -> ConfigMap {
        let owner = report.pod.as_ref().map(|pod| OwnerReference {
            api_version: "v1".into(),
            kind: "Pod".into(),
            name: pod.name.to_string(),
            uid: pod.uid.to_string(),
            ..OwnerReference::default()
        });
        let labels = [
            (LABEL.to_string(), self.names.instance.clone()),
            ("app.kubernetes.io/managed-by".to_string(), "adit.dev".to_string()),
        ];
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some(self.names.namespace.clone()),
                labels: Some(labels.into()),
                owner_references: owner.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            data: Some([(KEY.to_string(), text)].into()),
            ..ConfigMap::default()
        }
    }

    /// Counts a report that has no room for all, and says so when that begins.
    fn bounded(&mut self, left: Left) {
        let full = left != Left::default();
        if full {
            self.metrics.bound_reached(Bound::ReportBytes);
        }
        if full && !std::mem::replace(&mut self.full, full) {
            let Left { objects, reasons } = left;
            tracing::warn!(
                objects,
                reasons,
                "the report of this replica has no room for all: {objects} objects count as not \
                 running here, and for {reasons} services it is not said why they do not serve"
            );
        }
        self.full = full;
    }

    /// Removes a report that no Pod takes with it: this process serves no new clients any more.
    pub(in crate::control) async fn farewell(&mut self) {
        if !self.orphan {
            return;
        }
        let name = self.names.report(&self.names.replica);
        let deleted = timeout(FAREWELL, self.api.delete(&name, &DeleteParams::default())).await;
        match deleted {
            Ok(Ok(_)) => {}
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => {}
            Ok(Err(error)) => self.failed(&ReportError::Write("delete", error)),
            Err(_) => self.failed(&ReportError::Silent),
        }
    }

    fn failed(&mut self, error: &ReportError) {
        if let ReportError::Write(verb, kube::Error::Api(status)) = error
            && status.is_forbidden()
        {
            self.metrics.kube_denied.with_label_values(&[verb, "configmaps"]).inc();
        }
        if std::mem::replace(&mut self.failing, true) {
            tracing::debug!(error = %crate::control::chain(error), "still no report");
        } else {
            tracing::warn!(
                error = %crate::control::chain(error),
                "cannot write the report of this replica: objects do not count it in REPLICAS; trying again"
            );
        }
    }
}

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("the API server refused")]
    Write(&'static str, #[source] kube::Error),
    #[error("the API server did not answer")]
    Silent,
    #[error("the report cannot be encoded")]
    Encode(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests;
