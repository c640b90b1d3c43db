//! What this replica has to say of itself.

use std::sync::Arc;

use super::{Entry, Exception, Tunnels};
use crate::base::{Reason, ServiceKey};
use crate::control::object::{Key, Object};
use crate::control::store::Store;
use crate::control::translate::{ALLOCATING, Good, LEFT_OUT, NOT_RESOLVED, Translation, Verdict};
use crate::engine::{ServiceState, Snapshot};

/// An entry for each object that runs, from the engine's picture of just that translation. `secrets`
/// is a digest of those that an object names.
pub(in crate::control) fn tunnels(
    translation: &Translation,
    store: &Store,
    snapshot: &Snapshot,
    secrets: impl Fn(&Object) -> Option<String>,
) -> Tunnels {
    let entry = |(key, verdict): (&Key, &Verdict)| {
        let (object, good) = (store.get(key)?, verdict.running()?);
        let names = || good.services.iter().map(|(config, _)| &config.name);
        let exceptions = names().filter_map(|name| exception(key, name, good, snapshot));
        let closed = good
            .closed()
            .map(|(name, _)| (name.clone(), Exception::new(Reason::Pending, NOT_RESOLVED)));
        let left_out = good.left_out.iter();
        let left_out =
            left_out.map(|name| (name.clone(), Exception::new(Reason::Invalid, LEFT_OUT)));
        let exceptions = exceptions.chain(closed).chain(left_out).collect();
        let allocated = names().filter(|name| good.exposures.contains_key(*name));
        let ports = allocated.filter_map(|name| port(key, name, snapshot)).collect();
        let (generation, secrets) = (good.generation, secrets(object));
        let namespace = key.namespace.clone();
        let entry = Entry { namespace, generation, secrets, ports, exceptions, unsaid: 0 };
        Some((object.uid.clone(), entry))
    };
    translation.verdicts.iter().filter_map(entry).collect()
}

/// The port that an exposed service has here.
fn port(key: &Key, name: &Arc<str>, snapshot: &Snapshot) -> Option<(Arc<str>, u16)> {
    let key = ServiceKey { origin: key.origin(), name: name.clone() };
    match snapshot.services.get(&key)?.state {
        ServiceState::Serving { local } => Some((name.clone(), local.port())),
        ServiceState::Refused { .. } | ServiceState::Failed { .. } => None,
    }
}

fn exception(
    key: &Key,
    name: &Arc<str>,
    good: &Good,
    snapshot: &Snapshot,
) -> Option<(Arc<str>, Exception)> {
    let key = ServiceKey { origin: key.origin(), name: name.clone() };
    let Some(service) = snapshot.services.get(&key) else {
        let waits = good.exposures.contains_key(name);
        let exception = Exception::new(Reason::Pending, ALLOCATING);
        return waits.then(|| (name.clone(), exception));
    };
    match &service.state {
        ServiceState::Serving { .. } => None,
        ServiceState::Refused { reason, message } | ServiceState::Failed { reason, message } => {
            Some((name.clone(), Exception::new(*reason, message)))
        }
    }
}
