//! Which replicas there are and what they say: Pods and reports, folded into who counts.
//!
//! A report counts while its Pod, of the same uid, is ready and is not being deleted. A report
//! without a Pod, of a process outside of the cluster, counts while the process renews it, seen by
//! our own clock: one that we have only ever seen unchanged does not count yet. So neither a Pod
//! that is gone nor a process that was killed is ever counted for long.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::object::Key;
use super::report::{self, Names, Report};
use super::watch::Change;

/// Silence after a change before it is told, and the longest wait: reports come in bunches.
const QUIET: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));
/// How long to wait for the first lists. Without rights to them this replica counts alone.
const PATIENCE: Duration = Duration::from_secs(10);
/// For how long a report without a Pod counts after it was renewed.
const EXPIRY: Duration = report::RENEW.saturating_mul(3);

/// What happened to a Pod or a report.
#[derive(Debug)]
pub(super) enum News {
    /// A Pod of the namespace.
    Pod(Change<PodView>),
    /// A report of the instance.
    Report(Change<Stored>),
}

/// What is kept of a Pod.
#[derive(Clone, Debug)]
pub(super) struct PodView {
    key: Key,
    uid: Arc<str>,
    ready: bool,
    deleting: bool,
    /// Of which application, by the recommended labels.
    app: Option<[Arc<str>; 2]>,
    /// Its containers ended and will not start again.
    over: bool,
    /// The Node that it runs on.
    node: Option<Arc<str>>,
    /// Its own addresses.
    ips: Vec<IpAddr>,
    /// Those of its host.
    hosts: Vec<IpAddr>,
}

impl PodView {
    /// Takes a Pod apart.
    pub(super) fn read(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_ref());
        let phase = status.and_then(|status| status.phase.as_deref());
        let pod_ips = status.into_iter().flat_map(|status| status.pod_ips.iter().flatten());
        let host_ips = status.into_iter().flat_map(|status| status.host_ips.iter().flatten());
        let pod_ip = status.and_then(|status| status.pod_ip.as_ref());
        let host_ip = status.and_then(|status| status.host_ip.as_ref());
        Self {
            key: Key::of(pod),
            uid: pod.metadata.uid.as_deref().unwrap_or_default().into(),
            ready: conditions
                .into_iter()
                .flatten()
                .any(|c| c.type_ == "Ready" && c.status == "True"),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            app: app(pod),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).map(Into::into),
            over: matches!(phase, Some("Succeeded" | "Failed")),
            ips: parsed(pod_ips.map(|ip| &ip.ip).chain(pod_ip)),
            hosts: parsed(host_ips.map(|ip| &ip.ip).chain(host_ip)),
        }
    }
}

fn app(pod: &Pod) -> Option<[Arc<str>; 2]> {
    let labels = pod.metadata.labels.as_ref()?;
    let label = |name: &str| labels.get(&format!("app.kubernetes.io/{name}")).map(|v| v.as_str());
    Some([label("name")?.into(), label("instance")?.into()])
}

fn parsed<'a>(ips: impl Iterator<Item = &'a String>) -> Vec<IpAddr> {
    let ips: BTreeSet<IpAddr> = ips.filter_map(|ip| ip.parse().ok()).collect();
    ips.into_iter().collect()
}

/// A report as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    key: Key,
    report: Arc<Report>,
}

impl Stored {
    /// Reads a ConfigMap.
    pub(super) fn read(map: &ConfigMap) -> Self {
        let text = map.data.as_ref().and_then(|data| data.get(report::KEY));
        let report = Report::decode(text.map(String::as_str).unwrap_or_default());
        Self { key: Key::of(map), report: Arc::new(report) }
    }
}

/// The replicas.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fleet {
    /// Pods and reports are known, or cannot be.
    pub(crate) listed: bool,
    /// The other replicas that count, by name.
    pub(crate) others: Vec<Replica>,
    /// This process counts: its Pod is ready, or it has none.
    pub(crate) own: bool,
    /// This process's Pod.
    pub(crate) pod: Option<report::Pod>,
    /// How often this process's own report was seen to be gone.
    pub(crate) losses: u64,
    /// Other processes that may lead when this one has ended: Pods of the installation that are not
    /// being deleted, ready or not, and those without a Pod that count.
    pub(crate) successors: usize,
    /// Of all Pods of the installation and their hosts, ready or not.
    pub(crate) addresses: Vec<IpAddr>,
    /// Every Pod with a report, this process's too, by name. `None`: nobody could look.
    pub(crate) members: Option<Vec<Member>>,
}

/// A Pod of the controller, whether it counts or not: clients are sent there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    /// The Pod.
    pub(crate) pod: report::Pod,
    /// The Node that it runs on: kube-proxy goes by it.
    pub(crate) node: Option<Arc<str>>,
    /// The Pod's namespace.
    pub(crate) namespace: Arc<str>,
    /// Its addresses.
    pub(crate) ips: Vec<IpAddr>,
    /// The kubelet says that it is ready.
    pub(crate) ready: bool,
    /// It is being deleted.
    pub(crate) terminating: bool,
    /// What it says.
    pub(crate) report: Arc<Report>,
}

/// Another replica.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Replica {
    /// Its Pod's name.
    pub(crate) name: Arc<str>,
    /// What it says.
    pub(crate) report: Arc<Report>,
}

/// Everything that was seen.
struct Roster {
    names: Names,
    pods: BTreeMap<Arc<str>, PodView>,
    /// With the time at which a report was last seen to be renewed.
    reports: BTreeMap<Arc<str>, (Arc<Report>, Option<Instant>)>,
    pods_listed: bool,
    reports_listed: bool,
    /// Once a process has a Pod, it lives and dies with it.
    pod: Option<report::Pod>,
    losses: u64,
    began: Instant,
}

/// Follows the news and publishes who counts, as long as somebody may send.
pub(super) async fn run(
    names: Names,
    incoming: &mut mpsc::Receiver<News>,
    fleet: &watch::Sender<Arc<Fleet>>,
) -> Option<Infallible> {
    let mut roster = Roster::new(names);
    let mut told: Option<(Instant, Instant)> = None;
    loop {
        let tell = told.map(|(first, last)| (last + QUIET.0).min(first + QUIET.1));
        let wake = tell.into_iter().chain(roster.expiry(Instant::now())).min();
        tokio::select! {
            news = incoming.recv() => {
                let now = Instant::now();
                roster.take(news?, now);
                told = Some((told.map_or(now, |(first, _)| first), now));
            }
            () = async {
                match wake {
                    Some(wake) => sleep_until(wake).await,
                    None => std::future::pending().await,
                }
            } => {
                told = None;
                let now = roster.fleet(Instant::now());
                fleet.send_if_modified(|before| {
                    let changed = **before != now;
                    *before = Arc::new(now);
                    changed
                });
            }
        }
    }
}

impl Roster {
    fn new(names: Names) -> Self {
        Self {
            names,
            pods: BTreeMap::new(),
            reports: BTreeMap::new(),
            pods_listed: false,
            reports_listed: false,
            pod: None,
            losses: 0,
            began: Instant::now(),
        }
    }

    fn take(&mut self, news: News, now: Instant) {
        match news {
            News::Pod(Change::Listed { objects, .. }) => {
                self.pods = objects.into_iter().map(|pod| (pod.key.name.clone(), pod)).collect();
                self.pods_listed = true;
            }
            News::Pod(Change::Applied(pod)) => {
                self.pods.insert(pod.key.name.clone(), *pod);
            }
            News::Pod(Change::Deleted(key)) => {
                self.pods.remove(&key.name);
            }
            News::Report(Change::Listed { objects, .. }) => {
                let before = std::mem::take(&mut self.reports);
                for stored in objects {
                    let old = before.get(&stored.key.name);
                    self.put(stored, old, false, now);
                }
                let own = self.own_report();
                if before.contains_key(&own) && !self.reports.contains_key(&own) {
                    self.losses += 1;
                }
                self.reports_listed = true;
            }
            News::Report(Change::Applied(stored)) => {
                let old = self.reports.remove(&stored.key.name);
                self.put(*stored, old.as_ref(), true, now);
            }
            News::Report(Change::Deleted(key)) => {
                self.reports.remove(&key.name);
                self.losses += u64::from(*key.name == *self.own_report());
            }
        }
        if self.pod.is_none()
            && let Some(pod) = self.names.pod.as_ref().and_then(|name| self.pods.get(name))
        {
            self.pod = Some(report::Pod { name: pod.key.name.clone(), uid: pod.uid.clone() });
        }
    }

    /// `fresh`: the report was written just now, it is not from a list.
    fn put(
        &mut self,
        stored: Stored,
        old: Option<&(Arc<Report>, Option<Instant>)>,
        fresh: bool,
        now: Instant,
    ) {
        let renewed = match old {
            Some((before, at)) if before.renewed == stored.report.renewed => *at,
            Some(_) => Some(now),
            None => fresh.then_some(now),
        };
        self.reports.insert(stored.key.name, (stored.report, renewed));
    }

    fn own_report(&self) -> Arc<str> {
        self.names.report(&self.names.replica).into()
    }

    fn listed(&self, now: Instant) -> bool {
        self.pods_listed && self.reports_listed || now >= self.began + PATIENCE
    }

    fn fleet(&self, now: Instant) -> Fleet {
        let own = self.own_report();
        let others = self.reports.iter().filter(|(name, _)| **name != own);
        let others = others.filter(|(_, (report, renewed))| self.counts(report, *renewed, now));
        Fleet {
            listed: self.listed(now),
            others: others
                .map(|(name, (report, _))| Replica {
                    name: self.names.replica(name).into(),
                    report: report.clone(),
                })
                .collect(),
            own: self.pod.as_ref().is_none_or(|pod| self.is_ready(pod)),
            pod: self.pod.clone(),
            losses: self.losses,
            successors: self.successors(now),
            addresses: self.addresses(),
            members: (self.pods_listed && self.reports_listed).then(|| self.members()),
        }
    }

    fn successors(&self, now: Instant) -> usize {
        let own = self.names.pod.as_ref().and_then(|name| self.pods.get(name));
        let pods = self.ours(own);
        let pods = pods.filter(|pod| !pod.over && !pod.deleting);
        let pods = pods.filter(|pod| own.is_none_or(|own| own.uid != pod.uid));
        let own = self.own_report();
        let without = self.reports.iter().filter(|(name, (report, renewed))| {
            **name != own && report.pod.is_none() && self.counts(report, *renewed, now)
        });
        pods.count() + without.count()
    }

    /// A Pod is one of ours if it is this process's, if a report is from it, or if it is of the same
    /// application: one that starts has no report yet.
    fn ours<'a>(&'a self, own: Option<&'a PodView>) -> impl Iterator<Item = &'a PodView> {
        let app = own.and_then(|pod| pod.app.as_ref());
        let reports = self.reports.values();
        let reported: HashSet<&str> =
            reports.filter_map(|(report, _)| Some(&*report.pod.as_ref()?.uid)).collect();
        self.pods.values().filter(move |pod| {
            own.is_some_and(|own| own.uid == pod.uid)
                || reported.contains(&*pod.uid)
                || app.is_some() && pod.app.as_ref() == app
        })
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let own = self.names.pod.as_ref().and_then(|name| self.pods.get(name));
        let ours = self.ours(own);
        // Another may have by now what a Pod had that is over.
        let addresses =
            ours.filter(|pod| !pod.over).flat_map(|pod| pod.ips.iter().chain(&pod.hosts));
        let addresses: BTreeSet<IpAddr> = addresses.copied().collect();
        addresses.into_iter().collect()
    }

    fn members(&self) -> Vec<Member> {
        let member = |(report, _): &(Arc<Report>, Option<Instant>)| {
            let pod = report.pod.as_ref()?;
            let seen = self.pods.get(&pod.name).filter(|p| p.uid == pod.uid && !p.over)?;
            Some(Member {
                pod: pod.clone(),
                node: seen.node.clone(),
                namespace: seen.key.namespace.clone(),
                ips: seen.ips.clone(),
                ready: seen.ready,
                terminating: seen.deleting,
                report: report.clone(),
            })
        };
        self.reports.values().filter_map(member).collect()
    }

    fn counts(&self, report: &Report, renewed: Option<Instant>, now: Instant) -> bool {
        match &report.pod {
            Some(pod) => self.is_ready(pod),
            None => {
                report.renewed.is_some() && renewed.is_some_and(|renewed| now < renewed + EXPIRY)
            }
        }
    }

    fn is_ready(&self, pod: &report::Pod) -> bool {
        self.pods.get(&pod.name).is_some_and(|p| p.uid == pod.uid && p.ready && !p.deleting)
    }

    /// When somebody stops to count by himself, or the first lists are waited for no more.
    fn expiry(&self, now: Instant) -> Option<Instant> {
        let without = self.reports.values().filter(|(report, _)| report.pod.is_none());
        let expiries = without.filter_map(|(_, renewed)| Some((*renewed)? + EXPIRY));
        let patience = (!self.listed(now)).then(|| self.began + PATIENCE);
        expiries.chain(patience).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests;
