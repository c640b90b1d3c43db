//! Which replica writes: the Lease `<instance>-leader`, by client-go's algorithm.
//!
//! Every replica serves; only the holder of the Lease writes statuses, Events and children. The
//! task never ends by an error: an API server that is away costs the leadership, nothing else. The
//! client tries nothing again by itself, so that no request outlives the time that it was made for.

mod election;
mod leadership;

use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::outage::Outage;
use crate::metrics::Metrics;
use election::{DEADLINE, Election, RETRY, Record};
pub(super) use leadership::{Fenced, Leadership};

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For giving the Lease back when the process ends.
const RELEASE: Duration = Duration::from_secs(2);

/// One who wants to lead.
pub(super) struct Candidate {
    api: Api<Lease>,
    namespace: String,
    name: String,
    election: Election,
    /// What else the Lease had when it was last read: labels of others stay.
    meta: ObjectMeta,
    term: watch::Sender<Option<Instant>>,
    /// The number of the term that was told last.
    told: u64,
    failing: bool,
    outage: Outage,
    metrics: Metrics,
}

impl Candidate {
    /// A candidate named `identity`, which no other process has, for the Lease of an instance.
    pub(super) fn new(
        client: kube::Client,
        namespace: &str,
        instance: &str,
        identity: String,
        metrics: Metrics,
    ) -> (Self, Leadership) {
        let (term, leadership) = watch::channel(None);
        let candidate = Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.into(),
            name: format!("{instance}-leader"),
            election: Election::new(identity),
            meta: ObjectMeta::default(),
            term,
            told: 0,
            failing: false,
            outage: Outage::new(""),
            metrics,
        };
        (candidate, Leadership::new(leadership))
    }

    /// Shares what it knows of the API server with others.
    pub(super) fn meets(&mut self, outage: Outage) {
        self.outage = outage;
    }

    /// Whether it holds the Lease now.
    pub(super) fn leads(&self) -> bool {
        self.election.term(Instant::now()).is_some()
    }

    /// The instance whose Lease it is.
    pub(super) fn instance(&self) -> &str {
        self.name.strip_suffix("-leader").unwrap_or(&self.name)
    }

    /// Stands for election as long as the process runs.
    pub(super) async fn run(&mut self) -> Infallible {
        let mut again = false;
        loop {
            // Once: somebody who writes it all the time must not make us do so.
            let before = again;
            again = match timeout_at(self.round_ends(), self.round()).await {
                Ok(again) => again,
                Err(_) => {
                    self.failed("get", &LeaseError::Silent);
                    false
                }
            };
            again &= !before;
            self.tell();
            if !again {
                sleep(RETRY.mul_f64(0.9 + 0.2 * rand::random::<f64>())).await;
            }
        }
    }

    /// A leader's round ends with its term, so that its end is told in time.
    fn round_ends(&self) -> Instant {
        let now = Instant::now();
        let end = now + 2 * TIMEOUT;
        self.election.term(now).map_or(end, |renewed| end.min(renewed + DEADLINE))
    }

    /// Reads and writes the Lease once. Whether to go on at once: another wrote in between.
    async fn round(&mut self) -> bool {
        if self.election.must_read(Instant::now())
            && let Err(error) = self.read().await
        {
            self.failed("get", &error);
            return false;
        }
        let Some((record, version)) = self.election.ask(Instant::now(), Timestamp::now()) else {
            self.worked();
            return false;
        };
        let verb = if version.is_some() { "update" } else { "create" };
        // Before the request: from when on it counts is unknown, but not earlier than this.
        let sent = Instant::now();
        match self.write(&record, version).await {
            Ok(version) => {
                if self.election.won(record, version, sent) {
                    self.metrics.lease_transitions.inc();
                }
                self.worked();
                false
            }
            Err(LeaseError::Refused(kube::Error::Api(status)))
                if matches!(status.code, 404 | 409) && self.election.term(sent).is_some() =>
            {
                self.election.forget_version();
                true
            }
            Err(error) => {
                self.election.forget_version();
                // Somebody was faster: no fault.
                if !error.is_race(verb) {
                    self.failed(verb, &error);
                }
                false
            }
        }
    }

    async fn read(&mut self) -> Result<(), LeaseError> {
        let lease = timeout(TIMEOUT, self.api.get_opt(&self.name)).await;
        let lease = lease.map_err(|_| LeaseError::Silent)?.map_err(LeaseError::Refused)?;
        let found = lease.map(|lease| {
            self.meta = lease.metadata.clone();
            let version = lease.metadata.resource_version.unwrap_or_default();
            (Record::read(&lease.spec.unwrap_or_default()), version)
        });
        if self.election.read(found, Instant::now()) {
            self.metrics.lease_transitions.inc();
        }
        Ok(())
    }

    async fn write(
        &mut self,
        record: &Record,
        version: Option<String>,
    ) -> Result<String, LeaseError> {
        let meta = match &version {
            Some(_) => std::mem::take(&mut self.meta),
            None => ObjectMeta::default(),
        };
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                resource_version: version.clone(),
                managed_fields: None,
                ..meta
            },
            spec: Some(record.spec()),
        };
        let params = PostParams::default();
        let written = match version {
            Some(_) => timeout(TIMEOUT, self.api.replace(&self.name, &params, &lease)).await,
            None => timeout(TIMEOUT, self.api.create(&params, &lease)).await,
        };
        let lease = written.map_err(|_| LeaseError::Silent)?.map_err(LeaseError::Refused)?;
        self.meta = lease.metadata.clone();
        Ok(lease.metadata.resource_version.unwrap_or_default())
    }

    /// Gives the Lease back, so that another can lead at once. A failure costs the others 15 s.
    pub(super) async fn release(&mut self) {
        if self.election.term(Instant::now()).is_none() {
            return;
        }
        self.term.send_replace(None);
        self.metrics.leader.set(0);
        let released = async {
            // What was under way when the end came may have changed the version.
            self.read().await?;
            match self.election.release(Timestamp::now()) {
                Some((record, version)) => self.write(&record, Some(version)).await.map(drop),
                None => Ok(()),
            }
        };
        match timeout(RELEASE, released).await {
            Ok(Ok(())) => tracing::info!(lease = self.name, "released the Lease"),
            Ok(Err(error)) => self.failed("update", &error),
            Err(_) => self.failed("update", &LeaseError::Silent),
        }
    }

    /// Publishes what is known: everybody hears of a won or lost term, also of one that was lost and
    /// won again since; renewals are silent.
    fn tell(&mut self) {
        let term = self.election.term(Instant::now());
        let terms = self.election.terms();
        let another = std::mem::replace(&mut self.told, terms) != terms;
        self.term.send_if_modified(|before| {
            let changed = before.is_some() != term.is_some() || another && term.is_some();
            if changed {
                let (lease, leads) = (&self.name, term.is_some());
                tracing::info!(lease, leads, "this replica {}", said(leads));
            }
            *before = term;
            changed
        });
        self.metrics.leader.set(term.is_some().into());
    }

    fn worked(&mut self) {
        self.outage.ends();
        if std::mem::take(&mut self.failing) {
            tracing::info!(lease = self.name, "the Lease can be used again");
        }
    }

    fn failed(&mut self, verb: &'static str, error: &LeaseError) {
        let status = match error {
            LeaseError::Refused(kube::Error::Api(status)) => Some(status),
            _ => None,
        };
        if status.is_some_and(|status| status.is_forbidden()) {
            self.metrics.kube_denied.with_label_values(&[verb, "leases"]).inc();
        }
        // An outage has its line already; who leads is told elsewhere.
        if status.is_none() {
            self.outage.begins(&super::chain(error));
            tracing::debug!(lease = self.name, error = %super::chain(error), "no use of the Lease");
            return;
        }
        let advice = match status.map(|status| status.code) {
            Some(403) => {
                "the ServiceAccount needs get, create and update on leases: see deploy/rbac.yaml"
            }
            Some(404) => "the namespace does not exist: --lease-namespace names another",
            _ => "trying again",
        };
        let (lease, namespace) = (&self.name, &self.namespace);
        if std::mem::replace(&mut self.failing, true) {
            tracing::debug!(lease, namespace, error = %super::chain(error), "still no use of the Lease");
        } else {
            tracing::warn!(
                lease, namespace, error = %super::chain(error),
                "cannot use the Lease; without it this replica serves and says nothing on objects; {advice}"
            );
        }
    }
}

fn said(leads: bool) -> &'static str {
    if leads { "leads: it writes statuses" } else { "does not lead any more" }
}

/// Why a request for the Lease came to nothing.
#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("the API server refused")]
    Refused(#[source] kube::Error),
    #[error("the API server does not answer")]
    Silent,
}

impl LeaseError {
    /// Whether another candidate wrote, or deleted, at the same time.
    fn is_race(&self, verb: &str) -> bool {
        match self {
            Self::Refused(kube::Error::Api(status)) => {
                status.code == 409 || status.code == 404 && verb == "update"
            }
            _ => false,
        }
    }
}

impl Record {
    fn read(spec: &LeaseSpec) -> Self {
        let time = |time: &Option<MicroTime>| time.as_ref().map(|time| time.0);
        let seconds = spec.lease_duration_seconds.unwrap_or_default();
        Self {
            holder: spec.holder_identity.clone().unwrap_or_default(),
            duration: Duration::from_secs(seconds.try_into().unwrap_or_default()),
            acquired: time(&spec.acquire_time),
            renewed: time(&spec.renew_time),
            transitions: spec.lease_transitions.unwrap_or_default(),
        }
    }

    fn spec(&self) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            lease_duration_seconds: self.duration.as_secs().try_into().ok(),
            acquire_time: self.acquired.map(MicroTime),
            renew_time: self.renewed.map(MicroTime),
            lease_transitions: Some(self.transitions),
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests;
