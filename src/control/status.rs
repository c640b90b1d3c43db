//! What an object's status shall say: a pure function of the object, its verdict, the engine, and
//! what the other replicas report.
//!
//! Times are carried over from the status before, so that the outcome differs from what is stored
//! exactly when there is something new to say.

mod condition;
mod fold;
mod model;
mod resolved;

use jiff::Timestamp;

pub(crate) use condition::{ACCEPTED, READY};
pub(crate) use model::{Condition, Status};

use super::claim::Ledger;
use super::fleet::{Fleet, Replica};
use super::object::Object;
use super::report::Entry;
use super::translate::{Good, NOT_RESOLVED, Verdict};
use crate::base::{Reason, ServiceKey};
use crate::config::error::ConfigErrors;
use crate::config::model::{HostPattern, ListenerConfig, ServiceConfig};
use crate::engine::{ServiceState, Snapshot};
use condition::{Finding, conditions, truncate};
use fold::{Doing, Fold, Seen, Wanted};
use model::{Listener, Summary};

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
    /// The ports of the front sockets.
    pub(crate) fronts: &'a [u16],
    /// The other replicas.
    pub(crate) fleet: &'a Fleet,
    /// What this replica is called.
    pub(crate) replica: &'a str,
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
        let serving = reports.iter().filter(|report| report.fold.serving > 0).count();
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
                    replicas: report.fold.text(),
                    conditions: conditions(&report.findings, known, generation, now),
                    claimed_at: held.map(|held| held.since.to_string()),
                    claim: held.map(|held| held.claim.to_string()),
                }
            })
            .collect();
        let elsewhere = good.is_none() && running > 0;
        if elsewhere {
            listeners.extend(before.listeners.iter().map(|old| self.elsewhere(old, now)));
        }
        let of = if good.is_some() { reports.len() } else { self.declared() };
        Some(Status {
            observed_generation: Some(generation),
            listeners,
            summary: Some(Summary {
                listeners: format!("{serving}/{of}"),
                replicas: format!("{running}/{}", self.replicas()),
            }),
            conditions: conditions(
                &self.findings(&reports, running),
                &before.conditions,
                generation,
                now,
            ),
        })
    }

    /// Whether a replica that counts has not taken over what this one has: it is given some time
    /// before that is said of it.
    pub(crate) fn waits_for_others(&self) -> bool {
        let Verdict::Valid(_) = self.verdict else { return false };
        let newest = Wanted::Newest(self.object.generation);
        let mut others = self.fleet.others.iter().map(|replica| self.seen(replica));
        let same = |e: &Entry| newest.is(e.generation) && e.secrets.as_deref() == self.secrets;
        others.any(|seen| !seen.truncated && !seen.entry.is_some_and(same))
    }

    /// How many replicas count.
    fn replicas(&self) -> usize {
        self.fleet.others.len() + usize::from(self.fleet.own)
    }

    fn wanted(&self) -> Wanted {
        match self.verdict {
            Verdict::Rejected { .. } => Wanted::Before(self.object.generation),
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
        if matches!(self.verdict, Verdict::Suspended(_)) {
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
            let serves = |r: &&Report<'_>| seen.doing(r.name, wanted) == Doing::Serving;
            !granted.is_empty() && granted.iter().all(serves)
        };
        let own = self.fleet.own
            && !granted.is_empty()
            && granted.iter().all(|report| report.own == Doing::Serving);
        others.filter(all_serve).count() + usize::from(own)
    }

    /// A service of the version before the invalid one, which only other replicas still have. It
    /// holds no claim any more: this replica's plan does not know what it is about.
    fn elsewhere(&self, old: &Listener, now: Timestamp) -> Listener {
        let findings = match self.verdict {
            Verdict::Rejected { errors, .. } => {
                [rejected(errors), Finding::unknown(), self.using_previous(0)]
            }
            _ => [Finding::unknown(), Finding::unknown(), Finding::unknown()],
        };
        let fold = self.fold(&old.name, Doing::Behind("it does not run this object".into()));
        Listener {
            replicas: fold.text(),
            conditions: conditions(&findings, &old.conditions, self.object.generation, now),
            claimed_at: None,
            claim: None,
            ..old.clone()
        }
    }

    fn fold(&self, service: &str, own: Doing) -> Fold {
        let others = self.fleet.others.iter().map(|replica| {
            let seen = self.seen(replica);
            (seen.name.into(), seen.doing(service, self.wanted()))
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
                [accepted(good, reports), resolved::of_object(reports), self.programmed(reports)]
            }
            Verdict::Suspended(errors) => {
                let suspended = Finding::not(
                    Reason::Suspended,
                    "spec.suspend is true; remove it to serve again",
                );
                match errors {
                    None => [
                        Finding::is(Reason::Accepted, ""),
                        Finding::is(Reason::ResolvedRefs, ""),
                        suspended,
                    ],
                    Some(errors) => [rejected(errors), Finding::unknown(), suspended],
                }
            }
            Verdict::Rejected { errors, previous } if previous.is_some() || running > 0 => {
                [rejected(errors), Finding::unknown(), self.using_previous(running)]
            }
            Verdict::Rejected { errors, .. } => [rejected(errors), Finding::unknown(), programmed],
            Verdict::Foreign => [Finding::unknown(), Finding::unknown(), Finding::unknown()],
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
        match first {
            None => {
                let notes = reports.iter().filter_map(|report| self.unrouted(report));
                Finding::is(Reason::Programmed, notes.collect::<Vec<_>>().join("; "))
            }
            Some(reason) if reports.iter().all(|report| report.fold.serving == 0) => {
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
        let port = report.port.filter(|port| !self.fronts.contains(port))?;
        Some(format!(
            "service {}: port {port} is open in the controller's pods, and no Service of the chart \
             leads there; use a front port ({}) or make a Service for it",
            report.name,
            self.fronts.iter().map(|port| format!(":{port}")).collect::<Vec<_>>().join(", ")
        ))
    }

    /// How each service does: those that serve, or should, then those that must not.
    fn reports<'b>(&self, good: &'b Good, now: Timestamp) -> Vec<Report<'b>> {
        let open = good.services.iter().map(|(config, _)| {
            let resolved = good.references.get(&config.name);
            let resolved = resolved.map_or_else(resolved::all, |r| resolved::of_service(r, now));
            self.report(config, resolved)
        });
        let closed = good.closed().map(|(name, references)| {
            let own = Doing::Failing(Reason::Pending, NOT_RESOLVED.into());
            let fold = self.fold(name, own.clone());
            let accepted = match self.verdict {
                Verdict::Rejected { errors, .. } => rejected(errors),
                _ => Finding::is(Reason::Accepted, ""),
            };
            let findings = [accepted, resolved::of_service(references, now), fold.finding()];
            Report { name, address: None, own, refused: false, fold, port: None, findings }
        });
        open.chain(closed).collect()
    }

    /// How one service does.
    fn report<'b>(&self, config: &'b ServiceConfig, resolved: Finding) -> Report<'b> {
        let key = ServiceKey { origin: self.object.key.origin(), name: config.name.clone() };
        let status = self.snapshot.services.get(&key);
        let wanted = Some(config.listen.port).filter(|port| *port != 0);
        let (own, port) = match status.map(|status| &status.state) {
            None => (Doing::Behind("it is being started".into()), wanted),
            Some(ServiceState::Serving { local }) => (Doing::Serving, Some(local.port())),
            Some(
                ServiceState::Refused { reason, message }
                | ServiceState::Failed { reason, message },
            ) => (Doing::Failing(*reason, message.clone()), wanted),
        };
        let fold = self.fold(&config.name, own.clone());
        let refusal = match status.map(|status| &status.state) {
            Some(ServiceState::Refused { reason, message }) => Some((*reason, message)),
            _ => None,
        };
        let findings = match (self.verdict, refusal) {
            // The service runs, but not as the spec says now.
            (Verdict::Rejected { errors, .. }, _) => {
                [rejected(errors), Finding::unknown(), self.using_previous(fold.serving)]
            }
            (_, Some((reason, message))) => [
                Finding::not(reason, message.clone()),
                resolved,
                Finding::not(Reason::Pending, "it waits for its address; see condition Accepted"),
            ],
            _ => [Finding::is(Reason::Accepted, ""), resolved, fold.finding()],
        };
        let port = port.filter(|_| refusal.is_none());
        let address = port.map(|port| address(config, port));
        let refused = refusal.is_some();
        Report { name: &config.name, address, own, refused, fold, port, findings }
    }
}

struct Report<'a> {
    name: &'a str,
    address: Option<String>,
    /// How it does on this replica.
    own: Doing,
    /// The plan, which is the same everywhere, gives its address to another.
    refused: bool,
    /// How it does everywhere.
    fold: Fold,
    port: Option<u16>,
    /// Accepted, ResolvedRefs, Programmed.
    findings: [Finding; 3],
}

impl Report<'_> {
    fn good(&self) -> bool {
        let [accepted, _, programmed] = &self.findings;
        accepted.good() && programmed.good()
    }
}

fn accepted(good: &Good, reports: &[Report<'_>]) -> Finding {
    let refused = reports.iter().filter(|report| !report.findings[0].good());
    let Some(first) = refused.clone().next() else {
        return Finding::is(Reason::Accepted, truncate(&good.warnings.join("; ")));
    };
    let messages =
        refused.map(|report| format!("service {}: {}", report.name, report.findings[0].message));
    Finding::not(first.findings[0].reason, messages.collect::<Vec<_>>().join("; "))
}

fn rejected(errors: &ConfigErrors) -> Finding {
    let messages = errors.0.iter().map(ToString::to_string).collect::<Vec<_>>();
    Finding::not(errors.reason(), messages.join("; "))
}

/// Host, port and path to reach a service by.
fn address(config: &ServiceConfig, port: u16) -> String {
    let bound = config.listen.host.as_ref().map(ToString::to_string);
    match &config.listener {
        ListenerConfig::Ws(ws) => {
            let host = ws.hostnames.first().map(|host| match host {
                HostPattern::Exact(name) => name.clone(),
                HostPattern::Wildcard(name) => format!("*.{name}"),
            });
            format!("{}:{port}{}", host.or(bound).unwrap_or_default(), ws.path.0)
        }
        _ => format!("{}:{port}", bound.unwrap_or_default()),
    }
}
