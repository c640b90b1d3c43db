//! Sees to it that there is what there shall be of Services and EndpointSlices, and nothing more.
//!
//! Level-triggered: what is wanted is compared with what was seen, and each difference is one write,
//! with a back-off of its own. A Service that is not known to be ours is asked for by name first:
//! one that is somebody else's is never written to.

mod task;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::PatchParams;
use tokio::time::Instant;

use super::children;
use super::observed::{ChildNews, Observed};
use super::wish::{Wish, Wishes};
use crate::control::fleet::Member;
use crate::control::lease::{Fenced, Leadership};
use crate::control::object::Key;
use crate::control::queue::{BackOff, Lane, Queue};
use crate::metrics::Metrics;
use task::{Child, Done, KeepError, Task, What, body, perform};

/// Writes at the same time.
const AT_ONCE: usize = 8;
/// For one write.
const TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed write of one child.
const BACK_OFF: BackOff =
    BackOff { first: Duration::from_secs(1), most: Duration::from_secs(300), spread: 0.0 };
/// The same for a name that somebody else has: who frees it is not told to us.
const TAKEN: BackOff = BackOff { most: Duration::from_secs(60), ..BACK_OFF };

/// How the Service of an object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is there and the object's.
    Ours,
    /// It is somebody else's.
    Taken,
    /// It could not be written; why.
    Failed(String),
    /// The API server refuses it; its words.
    Refused(String),
}

/// By the object's uid and the Service's name. What is not in it is still to be made.
pub(crate) type Standings = HashMap<(Arc<str>, Arc<str>), Standing>;

/// Where Services are reached from outside of the cluster, likewise.
pub(crate) type Balancers = HashMap<(Arc<str>, Arc<str>), Vec<(&'static str, String)>>;

/// The keeper. Drive it with [`Keeper::next`].
pub(in crate::control) struct Keeper {
    instance: String,
    metrics: Metrics,
    services: Observed<Box<Service>>,
    slices: Observed<Box<EndpointSlice>>,
    standings: Standings,
    balancers: Balancers,
    tasks: Queue<Child, Arc<Task>, Result<Done, KeepError>>,
}

impl Keeper {
    /// A keeper that has seen nothing; it owns the fields of `adit-<instance>`.
    pub(in crate::control) fn new(
        client: kube::Client,
        instance: &str,
        scopes: &[Option<String>],
        leadership: Leadership,
        metrics: Metrics,
    ) -> Self {
        let params = PatchParams::apply(&format!("adit-{instance}")).force();
        let perform = move |child: Child, task: Arc<Task>| -> BoxFuture<'static, _> {
            let (client, params, leadership) = (client.clone(), params.clone(), leadership.clone());
            Box::pin(async move {
                let done = leadership.fenced(TIMEOUT, perform(client, params, &child, &task)).await;
                done.map_err(KeepError::Fenced).and_then(|done| done)
            })
        };
        Self {
            instance: instance.into(),
            metrics,
            services: Observed::new(scopes.to_vec()),
            slices: Observed::new(scopes.to_vec()),
            standings: Standings::new(),
            balancers: Balancers::new(),
            tasks: Queue::new(AT_ONCE, Box::new(perform)),
        }
    }

    /// The instance that children are labelled with.
    pub(in crate::control) fn instance(&self) -> &str {
        &self.instance
    }

    /// Takes a change in.
    pub(in crate::control) fn change(&mut self, news: ChildNews) {
        match news {
            ChildNews::Service(change) => self.services.change(change),
            ChildNews::Slice(change) => self.slices.change(change),
        }
    }

    /// How the Services stand.
    pub(in crate::control) fn standings(&self) -> &Standings {
        &self.standings
    }

    /// Where they are reached from outside of the cluster, as their load balancers say.
    pub(in crate::control) fn balancers(&self) -> &Balancers {
        &self.balancers
    }

    /// Drops what is under way: another process writes from now on, or this one begins anew.
    pub(in crate::control) fn forget(&mut self) {
        self.tasks.clear();
        self.standings.clear();
    }

    /// Starts what turns what is there into what is wanted, by the objects' namespace and uid.
    /// Children of objects that are not among these are left to the garbage collector. Whether all is
    /// there already.
    pub(in crate::control) fn keep(&mut self, wishes: &Wishes, members: &[Member]) -> bool {
        if !self.services.complete() || !self.slices.complete() {
            return false;
        }
        self.balancers.clear();
        let mut tasks: Vec<(Child, Task)> = Vec::new();
        let mut wanted: HashSet<Child> = HashSet::new();
        let mut spared: HashSet<Child> = HashSet::new();
        let mut known: HashSet<(Arc<str>, Arc<str>)> = HashSet::new();
        let mut exact: HashSet<&str> = HashSet::new();
        let mut renewed: HashSet<&str> = HashSet::new();
        for ((key, uid), wish) in wishes {
            let children = match wish {
                Wish::Exactly(children) => {
                    exact.insert(uid);
                    children
                }
                Wish::AtLeast(children) => {
                    renewed.insert(uid);
                    children
                }
                Wish::AsItIs => {
                    renewed.insert(uid);
                    continue;
                }
            };
            let at = |name: &Arc<str>| Key { namespace: key.namespace.clone(), name: name.clone() };
            for name in &children.spared {
                spared.insert((What::Service, at(name)));
            }
            for (name, service) in &children.services {
                let child = (What::Service, at(name));
                known.insert((uid.clone(), name.clone()));
                if self.owns(&child.1, uid)
                    && let Some(places) = self.services.get(&child.1).map(children::balancer)
                    && !places.is_empty()
                {
                    self.balancers.insert((uid.clone(), name.clone()), places);
                }
                tasks.extend(self.service(&child, uid, service).map(|task| (child.clone(), task)));
                wanted.insert(child);
            }
            for (name, (service, slice)) in &children.slices {
                // Beside somebody else's Service it would send that one's clients here.
                if !self.owns(&at(service), uid) {
                    continue;
                }
                let child = (What::Slice, at(name));
                if self.slices.get(&child.1).is_none_or(|there| !children::slice_is(there, slice)) {
                    tasks.push((child.clone(), Task::Slice { body: body(slice, None) }));
                }
                wanted.insert(child);
            }
        }
        self.renew(&renewed, &wanted, members, &mut tasks);
        self.standings.retain(|standing, _| known.contains(standing));
        // What leads to a Service that was taken over is that one's object's too.
        let orphans = self
            .slices
            .iter()
            .filter(|(_, slice)| children::is_orphan(&slice.metadata, &self.instance));
        let taken_over = |key: &Key, slice: &EndpointSlice| {
            let name = children::service_of(slice)?.into();
            let service = Key { namespace: key.namespace.clone(), name };
            let of_ours = wanted.contains(&(What::Service, service));
            let uid = slice.metadata.uid.clone().filter(|_| of_ours)?;
            Some(((What::Slice, key.clone()), Task::Delete { uid }))
        };
        let orphans: Vec<_> = orphans.filter_map(|(key, slice)| taken_over(key, slice)).collect();
        tasks.extend(orphans.into_iter().filter(|(child, _)| !wanted.contains(child)));
        let services = self.services.iter().map(|(key, s)| (What::Service, key, &s.metadata));
        let slices = self.slices.iter().map(|(key, s)| (What::Slice, key, &s.metadata));
        for (what, key, metadata) in slices.chain(services) {
            let ours = children::owner(metadata).is_some_and(|owner| exact.contains(owner));
            let child = (what, key.clone());
            if let (true, false, Some(uid)) =
                (ours, wanted.contains(&child) || spared.contains(&child), &metadata.uid)
                && metadata.deletion_timestamp.is_none()
            {
                tasks.push((child, Task::Delete { uid: uid.clone() }));
            }
        }
        let doing: HashSet<&Child> = tasks.iter().map(|(child, _)| child).collect();
        self.tasks.retain_waiting(|child| doing.contains(child));
        let settled = tasks.is_empty() && self.tasks.is_idle();
        for (child, task) in tasks {
            let lane = Lane::Of(child.1.namespace.clone());
            self.tasks.put(child, lane, Arc::new(task));
        }
        settled
    }

    /// When what failed may be tried again.
    pub(in crate::control) fn retry_at(&self) -> Option<Instant> {
        self.tasks.retry_at()
    }

    /// Tries again what has waited long enough.
    pub(in crate::control) fn retry(&mut self) {
        self.tasks.retry();
    }

    /// Waits until something was done, or could not be; for ever if nothing is under way.
    ///
    /// Cancel safe.
    pub(in crate::control) async fn next(&mut self) {
        let (child, task, outcome) = self.tasks.next().await;
        self.ended(child, task, outcome);
    }

    /// Whether the Service is there and this object's.
    fn owns(&self, service: &Key, uid: &str) -> bool {
        let there = self.services.get(service);
        there.is_some_and(|service| children::owner(&service.metadata) == Some(uid))
    }

    /// What is to be done about a Service; notes how it stands.
    fn service(&mut self, child: &Child, owner: &Arc<str>, wanted: &Service) -> Option<Task> {
        let standing = (owner.clone(), child.1.name.clone());
        let there = self.services.get(&child.1);
        let known = match there {
            Some(service)
                if !self.owns(&child.1, owner)
                    && !children::is_orphan(&service.metadata, &self.instance) =>
            {
                self.standings.insert(standing, Standing::Taken);
                return None;
            }
            Some(service) => {
                let is = children::service_is(service, wanted);
                let uid = service.metadata.uid.clone();
                let fails = matches!(
                    self.standings.get(&standing),
                    Some(Standing::Failed(_) | Standing::Refused(_))
                );
                if !fails || is {
                    self.standings.insert(standing, Standing::Ours);
                }
                if is {
                    return None;
                }
                uid
            }
            None => {
                if self.standings.get(&standing) == Some(&Standing::Ours) {
                    self.standings.remove(&standing);
                }
                None
            }
        };
        let body = body(wanted, known.as_deref());
        Some(Task::Service { owner: owner.clone(), known, body })
    }

    /// Keeps the endpoints of what is there of these objects true.
    fn renew(
        &self,
        uids: &HashSet<&str>,
        wanted: &HashSet<Child>,
        members: &[Member],
        tasks: &mut Vec<(Child, Task)>,
    ) {
        for (key, slice) in self.slices.iter() {
            if wanted.contains(&(What::Slice, key.clone())) {
                continue;
            }
            let owner = children::owner(&slice.metadata).filter(|owner| uids.contains(owner));
            let Some(uid) = owner else { continue };
            let Some(renewed) = children::renewed(slice, uid, members) else { continue };
            if renewed.endpoints != slice.endpoints {
                let mut renewed = renewed;
                renewed.metadata.resource_version = None;
                let task = Task::Slice { body: body(&renewed, None) };
                tasks.push(((What::Slice, key.clone()), task));
            }
        }
    }

    fn ended(&mut self, child: Child, task: Arc<Task>, outcome: Result<Done, KeepError>) {
        let owner = match &*task {
            Task::Service { owner, .. } => Some((owner.clone(), child.1.name.clone())),
            _ => None,
        };
        match outcome {
            Ok(Done::Service(service)) => {
                self.services.answered(service);
                self.standings.extend(owner.map(|owner| (owner, Standing::Ours)));
                self.tasks.succeeded(&child);
            }
            Ok(Done::Slice(slice)) => {
                self.slices.answered(slice);
                self.tasks.succeeded(&child);
            }
            Ok(Done::Gone) => {
                match child.0 {
                    What::Service => self.services.remove(&child.1),
                    What::Slice => self.slices.remove(&child.1),
                }
                self.tasks.succeeded(&child);
            }
            Ok(Done::Taken) => {
                self.standings.extend(owner.map(|owner| (owner, Standing::Taken)));
                self.tasks.failed(&child, task, TAKEN);
            }
            Err(KeepError::Fenced(Fenced::NotLeader)) => self.tasks.forget(&child),
            Err(error) => {
                let standing = match error.refusal() {
                    Some(words) => Standing::Refused(words.into()),
                    None => Standing::Failed(crate::control::chain(&error)),
                };
                self.failed(&child, &error);
                self.standings.extend(owner.map(|owner| (owner, standing)));
                self.tasks.failed(&child, task, BACK_OFF);
            }
        }
        if self.tasks.is_idle() {
            self.services.no_answer_is_due();
            self.slices.no_answer_is_due();
        }
    }

    fn failed(&self, (what, key): &Child, error: &KeepError) {
        let resource = match what {
            What::Service => "services",
            What::Slice => "endpointslices",
        };
        if let KeepError::Refused(verb, kube::Error::Api(status)) = error
            && status.is_forbidden()
        {
            self.metrics.kube_denied.with_label_values(&[verb, resource]).inc();
        }
        tracing::warn!(
            resource, object = %key, error = %crate::control::chain(error),
            "cannot write what leads to an exposed service; trying again"
        );
    }
}

#[cfg(test)]
mod tests;
