//! What services want of each other's addresses: the engine's plan, asked before anything runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::cluster::{ADMIN, FRONTS};
use super::{DRAIN, For, Part};
use crate::base::{ListenAddr, Origin, Reason, ServiceKey};
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::config::lower::Lowered;
use crate::config::model::ServiceConfig;
use crate::engine::{Claim, Desired, DesiredSet, Front, Plan, Ports};

/// Refuses the parts that the plan has no place for: two services of one address, of one host and path.
/// The first one keeps it.
pub(super) fn refuse(parts: &mut [Part<'_>], who: For<'_>) {
    let refused = match who {
        For::Here => refused(parts.iter(), &Ports::default()),
        // A cluster runs the WsTunnels; the rest is for a process of its own.
        For::Cluster(_) => {
            let of =
                |tunnels: bool| parts.iter().filter(move |part| part.tunnel.is_some() == tunnels);
            let mut all = refused(of(false), &Ports::default());
            all.append(&mut refused(of(true), &of_cluster()));
            all
        }
    };
    for part in parts {
        let origin = origin(part);
        let Ok(lowered) = &part.outcome else { continue };
        let of_part = refused.iter().filter(|(key, _)| key.origin == origin);
        let errors: Vec<_> =
            of_part.map(|(key, why)| diagnostic(part, lowered, key, why)).collect();
        if !errors.is_empty() {
            part.outcome = Err(ConfigErrors(errors));
        }
    }
}

/// The ports that the chart gives a controller.
fn of_cluster() -> Ports {
    let [http, https] = FRONTS;
    let front = |port, tls| Front { addr: ListenAddr::port(port), tls };
    Ports {
        fronts: vec![front(http, false), front(https, true)],
        reserved: ADMIN.into_iter().collect(),
        ..Ports::default()
    }
}

fn origin(part: &Part<'_>) -> Origin {
    part.tunnel.map_or(Origin::Files, |tunnel| Origin::tunnel(&tunnel.namespace, &tunnel.name))
}

type Refused = BTreeMap<ServiceKey, (Reason, String)>;

fn refused<'a, 'p: 'a>(parts: impl Iterator<Item = &'a Part<'p>>, ports: &Ports) -> Refused {
    let mut desired = DesiredSet::default();
    let running = |part: &&Part<'_>| !part.tunnel.is_some_and(|tunnel| tunnel.spec.suspend);
    for part in parts.filter(running) {
        let (origin, Ok(lowered)) = (origin(part), &part.outcome) else { continue };
        // An exposed service gets another port.
        let own = |config: &&ServiceConfig| !lowered.exposures.contains_key(&config.name);
        let services = part.config.services.iter().filter_map(|service| {
            all(lowered).filter(own).find(|config| *config.name == *service.name)
        });
        let unnamed = lowered.services.iter().filter(|config| {
            part.config.services.iter().all(|service| *service.name != *config.name)
        });
        for config in services.chain(unnamed) {
            let key = ServiceKey::new(origin.clone(), &config.name);
            // Their order stands for the objects' age.
            let order = i64::try_from(desired.services.len()).unwrap_or(i64::MAX);
            let created = Timestamp::from_second(order).ok();
            let config = Arc::new(config.clone());
            let claim = Claim { held_since: None, created };
            let service = Desired { config, claim, drain: DRAIN, closed: false, terms: None };
            desired.services.insert(key, service);
        }
    }
    Plan::build(&desired, ports).refused
}

fn all(lowered: &Lowered) -> impl Iterator<Item = &ServiceConfig> {
    lowered.services.iter().chain(&lowered.outlines)
}

fn diagnostic(
    part: &Part<'_>,
    lowered: &Lowered,
    key: &ServiceKey,
    (reason, message): &(Reason, String),
) -> Diagnostic {
    let named = part.config.services.iter().position(|service| *service.name == *key.name);
    let unnamed = || lowered.services.iter().position(|config| config.name == key.name);
    let at = named.or_else(unnamed).unwrap_or_default();
    let field = if *reason == Reason::HostConflict { "" } else { ".addr" };
    Diagnostic::new(format!("services[{at}]{field}"), *reason, message.clone())
}
