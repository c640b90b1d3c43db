//! What an object's status shall say: a pure function of the object, its verdict, the engine, and
//! what the other replicas report.
//!
//! Times are carried over from the status before, so that the outcome differs from what is stored
//! exactly when there is something new to say.

mod bounded;
mod condition;
mod exposure;
mod fold;
mod guarded;
mod model;
mod report;
mod resolved;

use jiff::Timestamp;

pub(crate) use condition::{ACCEPTED, READY};
pub(crate) use model::{Condition, Listener, Status};

use super::claim::Ledger;
use super::expose::{Allocation, Balancers, Slot, Standings};
use super::fleet::{Fleet, Replica};
use super::object::Object;
use super::report::Entry;
use super::translate::{LEFT_OUT, Verdict};
use crate::base::{Reason, ServiceKey};
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::engine::{ServiceState, Snapshot};
use condition::{Finding, conditions, truncate};
use fold::{Doing, Fold, Seen, Wanted};
use model::Summary;
use report::Report;

/// The most conditions of an object, as the schema has it.
const MOST_CONDITIONS: usize = 8;

/// What a status is made of.
pub(crate) struct Facts<'a> {
    /// The object.
    pub(crate) object: &'a Object,
    /// What translation made of it.
    pub(crate) verdict: &'a Verdict,
    /// What runs.
    pub(crate) snapshot: &'a Snapshot,
    /// Who holds what.
    pub(crate) ledger: &'a Ledger,
    /// Which port is whose.
    pub(crate) ports: &'a Allocation,
    /// How Services stand.
    pub(crate) standings: &'a Standings,
    /// Where Services are reached from outside of the cluster.
    pub(crate) balancers: &'a Balancers,
    /// Which targets the guard refuses.
    pub(crate) denies: &'a guarded::Denies<'a>,
    /// The ports of the front sockets.
    pub(crate) fronts: &'a [u16],
    /// The other replicas.
    pub(crate) fleet: &'a Fleet,
    /// What this replica is called.
    pub(crate) replica: &'a str,
    /// The installation, as [`Status::controller`](model::Status) has it.
    pub(crate) installation: &'a str,
    /// The class that serves the object.
    pub(crate) class: Option<&'a str>,
    /// A digest of the Secrets that the object names, as this replica has read them.
    pub(crate) secrets: Option<&'a str>,
}

impl<'a> Facts<'a> {
    /// The status that the object shall have, after `before`. `None`: it is not ours to write.
    pub(crate) fn status(&self, before: &Status, now: Timestamp) -> Option<Status> {
        if matches!(self.verdict, Verdict::Foreign) {
            return None;
        }
        let generation = self.object.generation;
        let good = self.verdict.running();
        let reports = good.map(|good| self.reports(good, now)).unwrap_or_default();
        let serving = reports.iter().filter(|report| report.reachable()).count();
        let running = self.running(&reports);

        let mut listeners: Vec<_> = reports
            .iter()
            .map(|report| {
                let name = report.name;
                let known = before.listener(name).map(|l| &*l.conditions).unwrap_or_default();
                let held = self.ledger.get(&self.object.uid, name);
                Listener {
                    name: name.into(),
                    address: report.address.clone(),
                    port: report.port,
                    target_port: report.target,
                    replicas: report.fold.text(),
                    conditions: conditions(&report.findings, known, generation, now),
                    claimed_at: held.map(|held| held.since.to_string()),
                    claim: held.map(|held| held.claim.to_string()),
                }
            })
            .collect();
        if good.is_none() && !matches!(self.verdict, Verdict::Deleting) {
            let kept = before.listeners.iter().filter(|old| running > 0 || self.keeps_port(old));
            listeners.extend(kept.map(|old| self.elsewhere(old, now)));
        }
        if let Verdict::Rejected { errors, .. } = self.verdict {
            let known: Vec<String> = listeners.iter().map(|l| l.name.clone()).collect();
            let more = self.left_out(errors, &known, before, now);
            listeners.extend(more);
        }
        let of =
            if good.is_some_and(|good| !good.is_part()) { reports.len() } else { self.declared() };
        let mut own =
            conditions(&self.findings(&reports, running), &before.conditions, generation, now);
        // Types that somebody else may add stay, as the API conventions have it.
        let known = own.iter().map(|c| c.kind.clone()).collect::<Vec<_>>();
        let others = before.conditions.iter().filter(|c| !known.contains(&c.kind));
        own.extend(others.cloned());
        own.truncate(MOST_CONDITIONS);
        let status = Status {
            observed_generation: Some(generation),
            listeners,
            addresses: reports.iter().flat_map(|report| self.reached_at(report)).collect(),
            summary: Some(Summary {
                listeners: format!("{serving}/{of}"),
                replicas: format!("{running}/{}", self.replicas()),
            }),
            conditions: own,
            class_name: self.class.map(Into::into),
            controller: self.class.map(|_| self.installation.into()),
            contender: None,
        };
        Some(status.bounded())
    }

    /// Whether a replica that counts has not taken over what this one has: it is given some time
    /// before that is said of it.
    pub(crate) fn waits_for_others(&self) -> bool {
        let Verdict::Valid(_) = self.verdict else { return false };
        let newest = Wanted::Newest(self.object.generation);
        let mut others = self.fleet.others.iter().map(|replica| self.seen(replica));
        let same = |e: &Entry| newest.is(e.generation) && e.secrets.as_deref() == self.secrets;
        others.any(|seen| !seen.truncated && !seen.entry.is_some_and(same)) || self.waits_for_own()
    }

    /// Whether this replica serves an exposed service and its report, by which clients are sent here,
    /// has not said so yet.
    fn waits_for_own(&self) -> bool {
        let mut exposures = self.verdict.running().into_iter().flat_map(|good| &good.exposures);
        exposures.any(|(name, _)| {
            let key = ServiceKey { origin: self.object.key.origin(), name: name.clone() };
            let state = self.snapshot.services.get(&key).map(|status| &status.state);
            let port = self.ports.bound(&Slot::new(self.object, name));
            matches!(state, Some(ServiceState::Serving { .. }))
                && port.is_some_and(|port| self.is_unsaid(name, port))
        })
    }

    /// Whether this replica's own report, as it is stored, does not say that a port is open here: then
    /// no EndpointSlice leads here. A process without a Pod has no endpoint anyway.
    fn is_unsaid(&self, service: &str, port: u16) -> bool {
        let (Some(pod), Some(members)) = (&self.fleet.pod, &self.fleet.members) else {
            return false;
        };
        let own = members.iter().find(|member| member.pod == *pod);
        let entry = own.and_then(|member| member.report.tunnels.get(&self.object.uid));
        entry.and_then(|entry| entry.ports.get(service)) != Some(&port)
    }

    /// How many replicas count.
    fn replicas(&self) -> usize {
        self.fleet.others.len() + usize::from(self.fleet.own)
    }

    fn wanted(&self) -> Wanted {
        match self.verdict {
            Verdict::Rejected { .. } => Wanted::UpTo(self.object.generation),
            _ => Wanted::Newest(self.object.generation),
        }
    }

    fn seen(&self, replica: &'a Replica) -> Seen<'a> {
        Seen {
            name: &replica.name,
            entry: replica.report.tunnels.get(&self.object.uid),
            truncated: replica.report.truncated,
        }
    }

    /// On how many replicas every service serves that the plan does not refuse.
    fn running(&self, reports: &[Report<'_>]) -> usize {
        if matches!(self.verdict, Verdict::Suspended { .. }) {
            return 0;
        }
        let wanted = self.wanted();
        let others = self.fleet.others.iter().map(|replica| self.seen(replica));
        if self.verdict.running().is_none() {
            // Only the others may still have what ran before.
            let has = |seen: &Seen<'_>| seen.entry.is_some_and(|e| wanted.is(e.generation));
            return others.filter(has).count();
        }
        let granted: Vec<_> = reports.iter().filter(|report| !report.refused).collect();
        let all_serve = |seen: &Seen<'_>| {
            let serves = |r: &&Report<'_>| seen.doing_on(r.name, r.bound, wanted) == Doing::Serving;
            !granted.is_empty() && granted.iter().all(serves)
        };
        let own = self.fleet.own
            && !granted.is_empty()
            && granted.iter().all(|report| report.own == Doing::Serving);
        others.filter(all_serve).count() + usize::from(own)
    }

    /// A service of the version before the invalid one, which only other replicas still have, or one
    /// of a suspended object. It holds no claim any more but that on a port that was allocated: this
    /// replica's plan does not know what it is about.
    fn elsewhere(&self, old: &Listener, now: Timestamp) -> Listener {
        let findings = match self.verdict {
            Verdict::Rejected { errors, .. } => {
                [rejected(errors), Finding::unknown(), self.using_previous(0)]
            }
            Verdict::Suspended { errors, .. } => suspended(errors.as_ref()),
            _ => [Finding::unknown(), Finding::unknown(), Finding::unknown()],
        };
        let keeps = old.target_port.is_some();
        let fold = self.fold(&old.name, None, Doing::Behind("it does not run this object".into()));
        Listener {
            replicas: fold.text(),
            conditions: conditions(&findings, &old.conditions, self.object.generation, now),
            claimed_at: old.claimed_at.clone().filter(|_| keeps),
            claim: old.claim.clone().filter(|_| keeps),
            ..old.clone()
        }
    }

    /// The services of a refused spec of which nothing else is said: each with its own mistakes.
    fn left_out(
        &self,
        errors: &ConfigErrors,
        known: &[String],
        before: &Status,
        now: Timestamp,
    ) -> Vec<Listener> {
        let services = self.object.spec.as_ref().map_or(&[][..], |spec| &spec.config.services);
        let unknown = services.iter().enumerate().filter(|(_, s)| !known.contains(&s.name));
        let listener = |(i, service): (usize, &crate::config::raw::Service)| {
            let own = errors.about(&format!("services[{i}]"));
            let accepted = match own.as_slice() {
                [] => rejected(errors),
                [first, ..] => Finding::not(first.reason, all(&own)),
            };
            let programmed = Finding::not(Reason::Pending, LEFT_OUT);
            let findings = [accepted, Finding::unknown(), programmed];
            let old = before.listener(&service.name);
            // Its Service stays, and so does the port of the Pods.
            let kept = old.filter(|old| self.keeps_port(old)).cloned().unwrap_or_default();
            let old = old.map(|l| &*l.conditions).unwrap_or_default();
            let fold =
                self.fold(&service.name, None, Doing::Behind("it does not run this object".into()));
            Listener {
                name: service.name.clone(),
                replicas: fold.text(),
                conditions: conditions(&findings, old, self.object.generation, now),
                ..kept
            }
        };
        unknown.map(listener).collect()
    }

    /// How a service does everywhere; `port`: the one that its EndpointSlices lead to.
    fn fold(&self, service: &str, port: Option<u16>, own: Doing) -> Fold {
        let others = self.fleet.others.iter().map(|replica| {
            let seen = self.seen(replica);
            (seen.name.into(), seen.doing_on(service, port, self.wanted()))
        });
        Fold::of(self.fleet.own.then(|| (self.replica.into(), own)).into_iter().chain(others))
    }

    /// How many services the spec has, valid or not.
    fn declared(&self) -> usize {
        self.object.spec.as_ref().map_or(0, |spec| spec.config.services.len())
    }

    /// The object's own conditions.
    fn findings(&self, reports: &[Report<'_>], running: usize) -> [Finding; 3] {
        let programmed = Finding::not(
            Reason::Pending,
            "nothing runs until the spec is valid; see condition Accepted",
        );
        match self.verdict {
            Verdict::Valid(good) => {
                let mut notes = guarded::notes(good, self.denies);
                notes.extend(good.warnings.iter().cloned());
                [accepted(&notes, reports), resolved::of_object(reports), self.programmed(reports)]
            }
            Verdict::Suspended { errors, .. } => suspended(errors.as_ref()),
            Verdict::Rejected { errors, previous: Some(good) } if good.is_part() => {
                let names = good.left_out.iter().map(|name| &**name).collect::<Vec<_>>();
                let words = format!(
                    "of the spec runs what is valid by itself, without {}; see condition Accepted",
                    names.join(", ")
                );
                let partial = Finding::not(Reason::Partial, words);
                [rejected(errors), resolved::of_object(reports), partial]
            }
            Verdict::Rejected { errors, previous } if previous.is_some() || running > 0 => {
                [rejected(errors), Finding::unknown(), self.using_previous(running)]
            }
            Verdict::Rejected { errors, .. } => [rejected(errors), Finding::unknown(), programmed],
            Verdict::Foreign => [Finding::unknown(), Finding::unknown(), Finding::unknown()],
            Verdict::Deleting => {
                let words = "it is being deleted and serves nobody; a finalizer of somebody else keeps \
                             the object: see metadata.finalizers";
                let deleting = Finding::not(Reason::Deleting, words);
                [Finding::is(Reason::Accepted, ""), Finding::is(Reason::ResolvedRefs, ""), deleting]
            }
        }
    }

    fn programmed(&self, reports: &[Report<'_>]) -> Finding {
        let failed = reports.iter().filter(|report| !report.good());
        let messages = failed.clone().map(|report| {
            let [accepted, _, programmed] = &report.findings;
            let message = if accepted.good() { &programmed.message } else { &accepted.message };
            format!("service {}: {message}", report.name)
        });
        let messages = messages.collect::<Vec<_>>().join("; ");
        let first = failed.clone().next().map(|report| report.findings[2].reason);
        if first.is_some() && failed.clone().all(|report| report.findings[2].is_not_yet()) {
            return Finding::not_yet(messages);
        }
        match first {
            None => {
                let notes = reports.iter().filter_map(|report| self.unrouted(report));
                Finding::is(Reason::Programmed, notes.collect::<Vec<_>>().join("; "))
            }
            Some(reason) if !reports.iter().any(Report::reachable) => {
                Finding::not(reason, messages)
            }
            Some(_) => Finding::not(Reason::Partial, messages),
        }
    }

    fn using_previous(&self, running: usize) -> Finding {
        let of = self.replicas();
        let places = if running == 0 || running == of {
            "until the controller restarts".into()
        } else {
            format!("on {running} of {of} replicas, until they restart")
        };
        Finding::not(
            Reason::UsingPreviousConfig,
            format!(
                "the last valid version goes on running {places}; correct the spec, see condition \
                 Accepted"
            ),
        )
    }

    /// A word on a port that no Service leads to.
    fn unrouted(&self, report: &Report<'_>) -> Option<String> {
        let unexposed = report.port.filter(|_| report.expose.is_none());
        let port = unexposed.filter(|port| !self.fronts.contains(port))?;
        Some(format!(
            "service {}: port {port} is open in the controller's pods, and no Service of the chart \
             leads there; use a front port ({}) or add expose",
            report.name,
            self.fronts.iter().map(|port| format!(":{port}")).collect::<Vec<_>>().join(", ")
        ))
    }
}

/// The findings of a suspended object.
fn suspended(errors: Option<&ConfigErrors>) -> [Finding; 3] {
    let suspended =
        Finding::not(Reason::Suspended, "spec.suspend is true; remove it to serve again");
    match errors {
        None => {
            [Finding::is(Reason::Accepted, ""), Finding::is(Reason::ResolvedRefs, ""), suspended]
        }
        Some(errors) => [rejected(errors), Finding::unknown(), suspended],
    }
}

fn accepted(notes: &[String], reports: &[Report<'_>]) -> Finding {
    let refused = reports.iter().filter(|report| !report.findings[0].good());
    let Some(first) = refused.clone().next() else {
        return Finding::is(Reason::Accepted, truncate(&notes.join("; ")));
    };
    let messages =
        refused.map(|report| format!("service {}: {}", report.name, report.findings[0].message));
    Finding::not(first.findings[0].reason, messages.collect::<Vec<_>>().join("; "))
}

/// The first error, and how many more there are: the services have all of them.
fn rejected(errors: &ConfigErrors) -> Finding {
    let first = errors.0.first().map(ToString::to_string).unwrap_or_default();
    let message = match errors.0.len() {
        0 | 1 => first,
        all => format!("{first} (+{} more)", all - 1),
    };
    Finding::not(errors.reason(), message)
}

fn all(errors: &[&Diagnostic]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
