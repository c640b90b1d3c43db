//! What this replica has to say of itself.

use std::sync::Arc;

use super::{Entry, Exception, Tunnels};
use crate::base::ServiceKey;
use crate::control::object::Key;
use crate::control::store::Store;
use crate::control::translate::{Translation, Verdict};
use crate::engine::{ServiceState, Snapshot};

/// An entry for each object that runs, from the engine's picture of just that translation.
pub(in crate::control) fn tunnels(
    translation: &Translation,
    store: &Store,
    snapshot: &Snapshot,
) -> Tunnels {
    let entry = |(key, verdict): (&Key, &Verdict)| {
        let (object, good) = (store.get(key)?, verdict.running()?);
        let names = good.services.iter().map(|(config, _)| &config.name);
        let exceptions = names.filter_map(|name| exception(key, name, snapshot)).collect();
        let entry = Entry { generation: good.generation, secrets: None, exceptions };
        Some((object.uid.clone(), entry))
    };
    translation.verdicts.iter().filter_map(entry).collect()
}

fn exception(key: &Key, name: &Arc<str>, snapshot: &Snapshot) -> Option<(Arc<str>, Exception)> {
    let key = ServiceKey { origin: key.origin(), name: name.clone() };
    match &snapshot.services.get(&key)?.state {
        ServiceState::Serving { .. } => None,
        ServiceState::Refused { reason, message } | ServiceState::Failed { reason, message } => {
            Some((name.clone(), Exception::new(*reason, message)))
        }
    }
}
