//! How the services of an object do.

use jiff::Timestamp;

use super::condition::Finding;
use super::fold::{Doing, Fold};
use super::{Facts, exposure, rejected, resolved};
use crate::base::{Reason, ServiceKey};
use crate::config::lower::References;
use crate::config::model::{ExposeConfig, ServiceConfig};
use crate::control::expose::{Slot, Standing};
use crate::control::translate::{ALLOCATING, Good, NOT_RESOLVED, Verdict};
use crate::engine::ServiceState;

/// How one service does.
pub(super) struct Report<'a> {
    pub(super) name: &'a str,
    pub(super) address: Option<String>,
    /// The Service that leads to it.
    pub(super) expose: Option<&'a ExposeConfig>,
    /// The port that was allocated for it.
    pub(super) target: Option<u16>,
    /// The same once its status says so: EndpointSlices lead there.
    pub(super) bound: Option<u16>,
    /// It needs no Service of its own, or has it.
    pub(super) led_to: bool,
    /// How it does on this replica.
    pub(super) own: Doing,
    /// The plan, which is the same everywhere, gives its address to another.
    pub(super) refused: bool,
    /// How it does everywhere.
    pub(super) fold: Fold,
    pub(super) port: Option<u16>,
    /// Accepted, ResolvedRefs, Programmed.
    pub(super) findings: [Finding; 3],
}

impl Report<'_> {
    /// It serves somewhere, and somebody may get there.
    pub(super) fn reachable(&self) -> bool {
        self.fold.serving > 0 && self.led_to
    }

    pub(super) fn good(&self) -> bool {
        let [accepted, _, programmed] = &self.findings;
        accepted.good() && programmed.good()
    }
}

impl Facts<'_> {
    /// How each service does: those that serve, or should, then those that must not.
    pub(super) fn reports<'b>(&self, good: &'b Good, now: Timestamp) -> Vec<Report<'b>> {
        let open = good.services.iter().map(|(config, _)| {
            let resolved = good.references.get(&config.name);
            let resolved = resolved.map_or_else(resolved::all, |r| self.resolved(r, now));
            self.report(config, good.exposures.get(&config.name), resolved)
        });
        let closed = good.closed().map(|(name, references)| {
            let own = Doing::Failing(Reason::Pending, NOT_RESOLVED.into());
            let fold = self.fold(name, None, own.clone());
            let accepted = match self.verdict {
                Verdict::Rejected { errors, .. } if !good.is_part() => rejected(errors),
                _ => Finding::is(Reason::Accepted, ""),
            };
            let findings = [accepted, self.resolved(references, now), fold.finding()];
            let expose = good.exposures.get(name);
            let target = expose.and_then(|_| self.ports.target(&Slot::new(self.object, name)));
            let (address, refused, led_to, bound) = (None, false, true, None);
            let port = expose.map(|expose| expose.port);
            Report {
                name,
                address,
                expose,
                target,
                bound,
                led_to,
                own,
                refused,
                fold,
                port,
                findings,
            }
        });
        open.chain(closed).collect()
    }

    fn resolved(&self, references: &References, now: Timestamp) -> Finding {
        resolved::of_service(references, &self.object.key.namespace, now)
    }

    fn report<'b>(
        &self,
        config: &'b ServiceConfig,
        expose: Option<&'b ExposeConfig>,
        resolved: Finding,
    ) -> Report<'b> {
        let (uid, name) = (&self.object.uid, &config.name);
        let slot = expose.map(|_| Slot::new(self.object, name));
        let target = slot.as_ref().and_then(|slot| self.ports.target(slot));
        let key = ServiceKey { origin: self.object.key.origin(), name: name.clone() };
        let state = self.snapshot.services.get(&key).map(|status| &status.state);
        let (own, listens) = self.own(config, slot.as_ref(), state);
        let bound = slot.as_ref().and_then(|slot| self.ports.bound(slot));
        let fold = self.fold(name, bound, own.clone());
        let standing =
            expose.map(|expose| self.standings.get(&(uid.clone(), expose.service.clone())));
        let led_to = standing.is_none_or(|standing| standing == Some(&Standing::Ours));
        let refusal = match state {
            Some(ServiceState::Refused { reason, message }) => Some((*reason, message)),
            _ => None,
        };
        let findings = match (self.verdict, refusal) {
            // The service runs, but not as the spec says now.
            (Verdict::Rejected { errors, previous: Some(good) }, _) if !good.is_part() => {
                [rejected(errors), Finding::unknown(), self.using_previous(fold.serving)]
            }
            (_, Some((reason, message))) => [
                Finding::not(reason, message.clone()),
                resolved,
                Finding::not(Reason::Pending, "it waits for its address; see condition Accepted"),
            ],
            _ => {
                let (accepted, made) = match (expose, standing) {
                    (Some(expose), Some(standing)) => exposure::service(expose, standing),
                    _ => (Finding::is(Reason::Accepted, ""), None),
                };
                let programmed = Some(fold.finding()).filter(|finding| !finding.good()).or(made);
                let good = || Finding::is(Reason::Programmed, "");
                [accepted, resolved, programmed.unwrap_or_else(good)]
            }
        };
        let refused = refusal.is_some();
        let port = match expose {
            Some(expose) => Some(expose.port),
            None => listens.filter(|_| !refused),
        };
        let address = port.filter(|_| led_to).map(|port| self.address(config, expose, port));
        Report { name, address, expose, target, bound, led_to, own, refused, fold, port, findings }
    }

    /// How a service does on this replica, and the port that it has or should have.
    fn own(
        &self,
        config: &ServiceConfig,
        slot: Option<&Slot>,
        state: Option<&ServiceState>,
    ) -> (Doing, Option<u16>) {
        let wanted = Some(config.listen.port).filter(|port| *port != 0);
        if let Some(range) = slot.and_then(|slot| self.ports.exhausted(slot)) {
            return (Doing::Failing(Reason::PortsExhausted, exposure::exhausted(range)), None);
        }
        match state {
            None if slot.is_some_and(|slot| self.ports.bound(slot).is_none()) => {
                (Doing::Behind(ALLOCATING.into()), None)
            }
            None => (Doing::Behind("it is being started".into()), wanted),
            Some(ServiceState::Serving { local })
                if slot.is_some() && self.is_unsaid(&config.name, local.port()) =>
            {
                let words = "the report of this replica does not say yet that it serves here";
                (Doing::Behind(words.into()), Some(local.port()))
            }
            Some(ServiceState::Serving { local }) => (Doing::Serving, Some(local.port())),
            Some(
                ServiceState::Refused { reason, message }
                | ServiceState::Failed { reason, message },
            ) => (Doing::Failing(*reason, message.clone()), wanted),
        }
    }
}
