//! Who has held which address since when: the memory behind the planner's rule that the
//! incumbent keeps what it has.
//!
//! The API server keeps the memory: `status.listeners[].claimedAt`, valid while `claim` beside it is
//! the digest of what the spec asks for now. An object that was edited after it got its claim
//! therefore counts as new, however old it is.
//!
//! Only the leader grants. Its own memory decides while it leads, since a status may be late or
//! lost; the others follow what it wrote. So all replicas come to one plan, in whatever order they
//! saw the objects: the plan depends on objects alone, and what each is given is in its status. What
//! a leader remembers outlives its term until the object is written again: an API server that is
//! away changes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_lc_rs::digest;
use jiff::Timestamp;

use super::object::Object;
use crate::config::model::{HostPattern, ListenerConfig, ServiceConfig};

/// The digest of what a service claims: address, host names in any order, and path.
pub(crate) fn digest_of(config: &ServiceConfig) -> String {
    let mut text = config.listen.to_string();
    if let ListenerConfig::Ws(ws) = &config.listener {
        let mut hosts: Vec<_> = ws
            .hostnames
            .iter()
            .map(|host| match host {
                HostPattern::Exact(name) => name.clone(),
                HostPattern::Wildcard(name) => format!("*.{name}"),
            })
            .collect();
        hosts.sort();
        // A line each: neither a host nor a path has a line break.
        for part in hosts.iter().chain([&ws.path.0]) {
            text.push('\n');
            text.push_str(part);
        }
    }
    hex(&text)
}

/// The digest of an allocated port: host names and path are nobody else's business there.
pub(crate) fn digest_of_port(port: u16) -> String {
    hex(&format!("allocated:{port}"))
}

/// SHA-256 of a text, in hexadecimal.
pub(super) fn hex(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The claims of every object that the process has seen, by the object's uid and service name.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Whether this process grants, or follows the statuses.
    leads: bool,
    /// An entry exists from the first plan on; `None` is a claim that was not granted.
    held: HashMap<Arc<str>, HashMap<Arc<str>, Option<Held>>>,
}

/// A claim that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// [`digest_of`] the configuration.
    pub(crate) claim: Arc<str>,
    /// Since when, in whole seconds, as the status keeps it.
    pub(crate) since: Timestamp,
}

impl Ledger {
    /// The process leads from now on, or does not any more.
    pub(crate) fn lead(&mut self, leads: bool) {
        self.leads = leads;
    }

    /// Whether it does.
    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    /// The object was written. Who follows believes that more than its own memory.
    pub(crate) fn written(&mut self, object: &Object) {
        if !self.leads {
            self.held.remove(&object.uid);
        }
    }

    /// Since when the service has held exactly what `claim` is the digest of.
    pub(crate) fn since(
        &mut self,
        object: &Object,
        service: &str,
        claim: &str,
    ) -> Option<Timestamp> {
        let held = match self.held.get(&object.uid).and_then(|services| services.get(service)) {
            Some(known) => known.clone(),
            None => {
                let stored = stored(object, service);
                if self.leads {
                    self.set(&object.uid, service, stored.clone());
                }
                stored
            }
        };
        held.filter(|held| &*held.claim == claim).map(|held| held.since)
    }

    /// The plan gave the service what it claims. What it held before is let go.
    pub(crate) fn grant(&mut self, uid: &Arc<str>, service: &str, claim: &str, now: Timestamp) {
        if !self.leads {
            return;
        }
        let held = self.get(uid, service).filter(|held| &*held.claim == claim).cloned();
        // The status keeps seconds: a finer time here would change its meaning at a restart.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let held = held.unwrap_or_else(|| Held { claim: claim.into(), since: now });
        self.set(uid, service, Some(held));
    }

    /// The plan gave it to another.
    pub(crate) fn refuse(&mut self, uid: &Arc<str>, service: &str) {
        if self.leads {
            self.set(uid, service, None);
        }
    }

    /// What the service holds.
    pub(crate) fn get(&self, uid: &str, service: &str) -> Option<&Held> {
        self.held.get(uid)?.get(service)?.as_ref()
    }

    /// Lets go what services of the object held that are not among `services` now, also what the
    /// object's status still says of them: another may have it by the time that they come back.
    pub(crate) fn keep_services(&mut self, object: &Object, services: &HashSet<&str>) {
        if !self.leads {
            return;
        }
        let entry = self.held.entry(object.uid.clone()).or_default();
        for (name, held) in entry.iter_mut() {
            if !services.contains(&**name) {
                *held = None;
            }
        }
        for listener in &object.status.listeners {
            if !services.contains(listener.name.as_str()) {
                entry.entry(listener.name.as_str().into()).or_insert(None);
            }
        }
    }

    /// Forgets objects that are gone.
    pub(crate) fn keep_objects(&mut self, uids: &HashSet<&str>) {
        self.held.retain(|uid, _| uids.contains(&**uid));
    }

    fn set(&mut self, uid: &Arc<str>, service: &str, held: Option<Held>) {
        self.held.entry(uid.clone()).or_default().insert(service.into(), held);
    }
}

/// What the object's status says, from before this process.
fn stored(object: &Object, service: &str) -> Option<Held> {
    let listener = object.status.listener(service)?;
    let claim = listener.claim.as_deref()?.into();
    let since = listener.claimed_at.as_deref()?.parse().ok()?;
    Some(Held { claim, since })
}
