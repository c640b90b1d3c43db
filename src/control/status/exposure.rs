//! What is said of exposed services: where they are reached, and how their Service stands.

use super::condition::Finding;
use super::model::{Address, Listener};
use super::{Facts, Report};
use crate::base::Reason;
use crate::config::model::{ExposeConfig, HostPattern, ListenerConfig, ServiceConfig};
use crate::control::expose::{Slot, Standing};
use crate::control::policy::Ports;
use crate::control::translate::Verdict;

impl Facts<'_> {
    /// Whether a service that does not run here goes on having its port: the object is suspended, or
    /// its spec is invalid and nobody knows what it was before.
    pub(super) fn keeps_port(&self, old: &Listener) -> bool {
        let exposed = match self.verdict {
            Verdict::Suspended { kept: Some(good), .. } => {
                good.exposures.contains_key(old.name.as_str())
            }
            _ => true,
        };
        exposed && old.target_port.is_some()
    }

    /// Whether it is not known yet how a Service stands that the status says should be there.
    pub(crate) fn asks_for_services(&self) -> bool {
        let mut exposures = self.verdict.running().into_iter().flat_map(|good| &good.exposures);
        exposures.any(|(name, expose)| {
            let standing = (self.object.uid.clone(), expose.service.clone());
            !self.standings.contains_key(&standing)
                && self.ports.bound(&Slot::new(self.object, name)).is_some()
        })
    }

    /// Host, port and path to reach a service by.
    pub(super) fn address(
        &self,
        config: &ServiceConfig,
        expose: Option<&ExposeConfig>,
        port: u16,
    ) -> String {
        let host = expose.map(|expose| self.name_of(expose));
        let bound = || config.listen.host.as_ref().map(ToString::to_string);
        match &config.listener {
            ListenerConfig::Ws(ws) => {
                let named = || {
                    ws.hostnames.first().map(|host| match host {
                        HostPattern::Exact(name) => name.clone(),
                        HostPattern::Wildcard(name) => format!("*.{name}"),
                    })
                };
                let host = host.or_else(named).or_else(bound).unwrap_or_default();
                format!("{host}:{port}{}", ws.path.0)
            }
            _ => format!("{}:{port}", host.or_else(bound).unwrap_or_default()),
        }
    }

    /// Where an exposed service is reached: in the cluster by the Service's name, from outside as its
    /// load balancer says.
    pub(super) fn reached_at(&self, report: &Report<'_>) -> Vec<Address> {
        let Some(expose) = report.expose.filter(|_| report.led_to) else { return Vec::new() };
        let inside = ("Hostname", self.name_of(expose));
        let outside = self.balancers.get(&(self.object.uid.clone(), expose.service.clone()));
        let all = std::iter::once(inside).chain(outside.into_iter().flatten().cloned());
        let port = expose.port;
        all.map(|(kind, value)| Address { kind: kind.into(), value, port }).collect()
    }

    fn name_of(&self, expose: &ExposeConfig) -> String {
        format!("{}.{}.svc", expose.service, self.object.key.namespace)
    }
}

/// What is said of a service for which there is no port.
pub(super) fn exhausted(range: Ports) -> String {
    format!(
        "every port of {range} is in use; remove expose somewhere, or wait a minute for one that was \
         let go"
    )
}

/// What is to be said of the Service of an exposed listener: of Accepted, and of Programmed if that
/// is not good.
pub(super) fn service(
    expose: &ExposeConfig,
    standing: Option<&Standing>,
) -> (Finding, Option<Finding>) {
    let name = &expose.service;
    let accepted = Finding::is(Reason::Accepted, "");
    let pending = |text: String| Some(Finding::not(Reason::Pending, text));
    match standing {
        Some(Standing::Ours) => (accepted, None),
        None => (accepted, Some(Finding::not_yet(format!("Service {name:?} is being made")))),
        Some(Standing::Failed(error)) => {
            (accepted, pending(format!("cannot write Service {name:?}: {error}")))
        }
        Some(Standing::Refused(words)) => {
            let text = format!("the API server refuses Service {name:?}: {words}");
            (accepted, Some(Finding::not(Reason::ServiceRefused, text)))
        }
        Some(Standing::Taken) => {
            let text = format!(
                "Service {name:?} is there and is not this tunnel's, so it stays as it is: set \
                 expose.name, or delete that Service"
            );
            let waits = "it waits for the name of its Service; see condition Accepted";
            (Finding::not(Reason::ServiceNameTaken, text), pending(waits.into()))
        }
    }
}
