//! What an object's status shall say: a pure function of the object, its verdict and the engine.
//!
//! Times are carried over from the status before, so that the outcome differs from what is stored
//! exactly when there is something new to say.

mod condition;
mod model;

use jiff::Timestamp;

pub(crate) use condition::{ACCEPTED, READY};
pub(crate) use model::{Condition, Status};

use super::claim::Ledger;
use super::object::Object;
use super::translate::{Good, Verdict};
use crate::base::{Reason, ServiceKey};
use crate::config::error::ConfigErrors;
use crate::config::model::{HostPattern, ListenerConfig, ServiceConfig};
use crate::engine::{ServiceState, Snapshot};
use condition::{Finding, conditions, truncate};
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
}

impl Facts<'_> {
    /// The status that the object shall have, after `before`. `None`: it is not ours to write.
    pub(crate) fn status(&self, before: &Status, now: Timestamp) -> Option<Status> {
        if matches!(self.verdict, Verdict::Foreign) {
            return None;
        }
        let generation = self.object.generation;
        let good = self.verdict.running();
        let services = good.into_iter().flat_map(|good| &good.services);
        let reports: Vec<_> = services.map(|(config, _)| self.report(config)).collect();
        let serving = reports.iter().filter(|report| report.serving).count();

        let listeners = reports.iter().map(|report| {
            let name = &*report.config.name;
            let known = before.listener(name).map(|l| l.conditions.as_slice()).unwrap_or_default();
            let held = self.ledger.get(&self.object.uid, name);
            Listener {
                name: name.into(),
                address: report.port.map(|port| address(report.config, port)),
                port: report.port,
                replicas: if report.serving { "1/1" } else { "0/1" }.into(),
                conditions: conditions(&report.findings, known, generation, now),
                claimed_at: held.map(|held| held.since.to_string()),
                claim: held.map(|held| held.claim.to_string()),
            }
        });
        let of = if good.is_some() { reports.len() } else { self.declared() };
        Some(Status {
            observed_generation: Some(generation),
            listeners: listeners.collect(),
            summary: Some(Summary {
                listeners: format!("{serving}/{of}"),
                replicas: if serving > 0 { "1/1" } else { "0/1" }.into(),
            }),
            conditions: conditions(&self.findings(&reports), &before.conditions, generation, now),
        })
    }

    /// How many services the spec has, valid or not.
    fn declared(&self) -> usize {
        self.object.spec.as_ref().map_or(0, |spec| spec.config.services.len())
    }

    /// The object's own conditions.
    fn findings(&self, reports: &[Report<'_>]) -> [Finding; 3] {
        let programmed = Finding::not(
            Reason::Pending,
            "nothing runs until the spec is valid; see condition Accepted",
        );
        match self.verdict {
            Verdict::Valid(good) => [
                accepted(good, reports),
                Finding::is(Reason::ResolvedRefs, ""),
                self.programmed(reports),
            ],
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
            Verdict::Rejected { errors, previous: Some(_) } => {
                [rejected(errors), Finding::unknown(), using_previous()]
            }
            Verdict::Rejected { errors, previous: None } => {
                [rejected(errors), Finding::unknown(), programmed]
            }
            Verdict::Foreign => [Finding::unknown(), Finding::unknown(), Finding::unknown()],
        }
    }

    fn programmed(&self, reports: &[Report<'_>]) -> Finding {
        let failed = reports.iter().filter(|report| !report.serving);
        let messages = failed.clone().map(|report| {
            let [accepted, _, programmed] = &report.findings;
            let message = if accepted.good() { &programmed.message } else { &accepted.message };
            format!("service {}: {message}", report.config.name)
        });
        let messages = messages.collect::<Vec<_>>().join("; ");
        let first = failed.clone().next().map(|report| report.findings[2].reason);
        match first {
            None => {
                let notes = reports.iter().filter_map(|report| self.unrouted(report));
                Finding::is(Reason::Programmed, notes.collect::<Vec<_>>().join("; "))
            }
            Some(reason) if failed.count() == reports.len() => Finding::not(reason, messages),
            Some(_) => Finding::not(Reason::Partial, messages),
        }
    }

    /// A word on a port that no Service leads to.
    fn unrouted(&self, report: &Report<'_>) -> Option<String> {
        let port = report.port.filter(|port| !self.fronts.contains(port))?;
        Some(format!(
            "service {}: port {port} is open in the controller's pods, and no Service of the chart \
             leads there; use a front port ({}) or make a Service for it",
            report.config.name,
            self.fronts.iter().map(|port| format!(":{port}")).collect::<Vec<_>>().join(", ")
        ))
    }

    /// How one service does.
    fn report<'b>(&self, config: &'b ServiceConfig) -> Report<'b> {
        let key = ServiceKey { origin: self.object.key.origin(), name: config.name.clone() };
        let status = self.snapshot.services.get(&key);
        let accepted = Finding::is(Reason::Accepted, "");
        let wanted = Some(config.listen.port).filter(|port| *port != 0);
        let (accepted, programmed, port) = match status.map(|status| &status.state) {
            None => (accepted, Finding::not(Reason::Pending, "it is being started"), wanted),
            Some(ServiceState::Serving { local }) => {
                (accepted, Finding::is(Reason::Programmed, ""), Some(local.port()))
            }
            Some(ServiceState::Refused { reason, message }) => (
                Finding::not(*reason, message.clone()),
                Finding::not(Reason::Pending, "it waits for its address; see condition Accepted"),
                None,
            ),
            Some(ServiceState::Failed { reason, message }) => {
                (accepted, Finding::not(*reason, message.clone()), wanted)
            }
        };
        let serving = programmed.good();
        let findings = match self.verdict {
            // The service runs, but not as the spec says now.
            Verdict::Rejected { errors, .. } => {
                [rejected(errors), Finding::unknown(), using_previous()]
            }
            _ => [accepted, Finding::is(Reason::ResolvedRefs, ""), programmed],
        };
        Report { config, serving, port, findings }
    }
}

struct Report<'a> {
    config: &'a ServiceConfig,
    serving: bool,
    port: Option<u16>,
    /// Accepted, ResolvedRefs, Programmed.
    findings: [Finding; 3],
}

fn accepted(good: &Good, reports: &[Report<'_>]) -> Finding {
    let refused = reports.iter().filter(|report| !report.findings[0].good());
    let Some(first) = refused.clone().next() else {
        return Finding::is(Reason::Accepted, truncate(&good.warnings.join("; ")));
    };
    let messages = refused
        .map(|report| format!("service {}: {}", report.config.name, report.findings[0].message));
    Finding::not(first.findings[0].reason, messages.collect::<Vec<_>>().join("; "))
}

fn rejected(errors: &ConfigErrors) -> Finding {
    let messages = errors.0.iter().map(ToString::to_string).collect::<Vec<_>>();
    Finding::not(errors.reason(), messages.join("; "))
}

fn using_previous() -> Finding {
    Finding::not(
        Reason::UsingPreviousConfig,
        "the last valid version goes on running until the controller restarts; correct the spec, \
         see condition Accepted",
    )
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
