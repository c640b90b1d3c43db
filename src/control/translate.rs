//! From the objects of the API server to what shall run, and a verdict for each object.
//!
//! Pure: no API server, no engine, no clock. The one memory is [`Translator`]: what an object ran
//! last and what its Secrets held then, and who holds which address. The outcome does not depend on
//! the order of the objects.

mod judged;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::claim::Ledger;
use super::object::{Key, Object};
use crate::base::{Reason, ServiceKey};
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::config::lower::References;
use crate::config::model::ServiceConfig;
use crate::config::secrets::{Kept, Secrets};
use crate::config::services::Services;
use crate::engine::{Claim, Desired, ServiceState, Snapshot};
use judged::{Judged, Sight};

/// The class that is served without a class file.
pub const BUILT_IN_CLASS: &str = "adit";

/// `spec.drain.timeout` when it is not set.
const DRAIN: Duration = Duration::from_secs(60);
/// The longest `spec.drain.timeout` that counts (`limits.maxDrain` of the built-in class).
const MAX_DRAIN: Duration = Duration::from_secs(600);

/// How long what is open may go on when a service loses a Secret that it needs.
const CLOSED: Duration = Duration::from_secs(30);

/// What shall become of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Another class: nothing is run and nothing is written.
    Foreign,
    /// It runs as its spec says.
    Valid(Arc<Good>),
    /// `spec.suspend`: nothing runs. The errors that it would have otherwise, if any.
    Suspended(Option<ConfigErrors>),
    /// Its spec has errors; what it ran before goes on.
    Rejected {
        /// What is wrong.
        errors: ConfigErrors,
        /// What goes on running, if this process ever ran it.
        previous: Option<Arc<Good>>,
    },
}

/// A spec that was found valid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Good {
    /// The services in the spec's order, each with the digest of its claim.
    pub(crate) services: Vec<(Arc<ServiceConfig>, Arc<str>)>,
    /// The generation of the spec that this is.
    pub(crate) generation: i64,
    /// What is known of references, by service.
    pub(crate) references: BTreeMap<Arc<str>, References>,
    /// What is allowed but worth a word.
    pub(crate) warnings: Vec<String>,
    /// How long tunnels may go on when a service goes.
    drain: Duration,
}

/// What is said of a service that must not serve, besides what is missing.
pub(crate) const NOT_RESOLVED: &str =
    "it serves nobody until what it refers to is there; see condition ResolvedRefs";

impl Good {
    /// The services that must not serve, since something that they refer to is missing.
    pub(crate) fn closed(&self) -> impl Iterator<Item = (&Arc<str>, &References)> + Clone {
        self.references.iter().filter(|(_, references)| !references.missing.is_empty())
    }
}

impl Verdict {
    /// What runs of the object.
    pub(crate) fn running(&self) -> Option<&Arc<Good>> {
        match self {
            Self::Valid(good) | Self::Rejected { previous: Some(good), .. } => Some(good),
            Self::Foreign | Self::Suspended(_) | Self::Rejected { previous: None, .. } => None,
        }
    }
}

/// The outcome of a translation.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Translation {
    /// What shall run.
    pub(crate) services: BTreeMap<ServiceKey, Desired>,
    /// What shall become of each object.
    pub(crate) verdicts: BTreeMap<Key, Verdict>,
}

/// What objects refer to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outside<'a> {
    /// The Secrets.
    pub(crate) secrets: &'a Secrets,
    /// The Services.
    pub(crate) services: &'a Services,
}

/// Translates, and remembers what ran.
#[derive(Debug)]
pub(crate) struct Translator {
    fronts: Vec<u16>,
    /// By uid: validating again what did not change would make each event cost as much as all.
    seen: HashMap<Arc<str>, Seen>,
    /// Who holds what.
    pub(crate) ledger: Ledger,
}

#[derive(Debug)]
struct Seen {
    namespace: Arc<str>,
    generation: i64,
    current: Judged,
    /// The last valid spec, if that is another one.
    last: Option<Judged>,
    /// What TLS Secrets held when they were last used.
    kept: Kept,
    /// What services ran as, and the digest of their claims: one that is closed keeps its address.
    ran: BTreeMap<Arc<str>, (Arc<ServiceConfig>, Arc<str>)>,
}

impl Translator {
    /// A translator without memories, for a process with these front ports.
    pub(crate) fn new(fronts: Vec<u16>) -> Self {
        Self { fronts, seen: HashMap::new(), ledger: Ledger::default() }
    }

    /// The Secrets that running services need, whatever the specs say by now.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = Key> {
        self.seen.values().flat_map(|seen| {
            let last = seen.last.iter().flat_map(Judged::secrets);
            last.map(|name| Key { namespace: seen.namespace.clone(), name: name.into() })
        })
    }

    /// The Services, likewise.
    pub(crate) fn services(&self) -> impl Iterator<Item = Key> {
        self.seen.values().flat_map(|seen| {
            let last = seen.last.iter().flat_map(Judged::services);
            last.map(|name| Key { namespace: seen.namespace.clone(), name: name.into() })
        })
    }

    /// Translates the whole set of objects.
    pub(crate) fn translate<'a>(
        &mut self,
        objects: impl Iterator<Item = &'a Object> + Clone,
        outside: Outside<'_>,
    ) -> Translation {
        let mut outcome = Translation::default();
        for object in objects.clone() {
            if object.deleting {
                // Gone for traffic; only somebody's finalizer keeps the object.
                self.ledger.keep_services(object, &HashSet::new());
                continue;
            }
            let verdict = self.verdict(object, outside);
            self.desire(object, &verdict, &mut outcome.services);
            outcome.verdicts.insert(object.key.clone(), verdict);
        }
        let uids: HashSet<&str> = objects.map(|object| &*object.uid).collect();
        self.seen.retain(|uid, _| uids.contains(&**uid));
        self.ledger.keep_objects(&uids);
        outcome
    }

    /// Notes who was given what by the plan behind `snapshot`.
    pub(crate) fn granted(
        &mut self,
        object: &Object,
        verdict: &Verdict,
        snapshot: &Snapshot,
        now: Timestamp,
    ) {
        for (config, claim) in verdict.running().into_iter().flat_map(|good| &good.services) {
            let key = ServiceKey { origin: object.key.origin(), name: config.name.clone() };
            match snapshot.services.get(&key) {
                Some(status) if matches!(status.state, ServiceState::Refused { .. }) => {
                    self.ledger.refuse(&object.uid, &config.name);
                }
                Some(_) => self.ledger.grant(&object.uid, &config.name, claim, now),
                None => {}
            }
        }
    }

    fn verdict(&mut self, object: &Object, outside: Outside<'_>) -> Verdict {
        if object.class.as_deref().is_some_and(|class| class != BUILT_IN_CLASS) {
            return Verdict::Foreign;
        }
        let seen = self.seen.entry(object.uid.clone()).or_insert_with(|| Seen::new(object));
        let sight = Sight { outside, namespace: &object.key.namespace, fronts: &self.fronts };
        seen.look(object, &sight);
        let outcome = &seen.current.outcome;
        if object.spec.as_ref().is_ok_and(|spec| spec.suspend) {
            return Verdict::Suspended(outcome.as_ref().err().cloned());
        }
        match outcome {
            Ok(good) => Verdict::Valid(good.clone()),
            Err(errors) => {
                let previous = seen.last.as_ref().and_then(|last| last.outcome.as_ref().ok());
                Verdict::Rejected { errors: errors.clone(), previous: previous.cloned() }
            }
        }
    }

    fn desire(
        &mut self,
        object: &Object,
        verdict: &Verdict,
        services: &mut BTreeMap<ServiceKey, Desired>,
    ) {
        let running = verdict.running();
        let open = running.into_iter().flat_map(|good| &good.services);
        let closed = running.into_iter().flat_map(|good| good.closed());
        let names = open
            .clone()
            .map(|(config, _)| &*config.name)
            .chain(closed.clone().map(|(name, _)| &**name));
        self.ledger.keep_services(object, &names.collect());
        let Some(good) = running else { return };
        let Some(seen) = self.seen.get_mut(&object.uid) else { return };
        for (name, references) in closed {
            let Some((config, claim)) = seen.ran.get(name) else { continue };
            let key = ServiceKey { origin: object.key.origin(), name: name.clone() };
            let held_since = self.ledger.since(object, name, claim);
            let claim = Claim { held_since, created: object.created };
            // Who uses a Service that is gone proved who they are.
            let of_service = |d: &Diagnostic| d.reason == Reason::ServiceNotFound;
            let drain = match references.missing.iter().all(of_service) {
                true => good.drain,
                false => good.drain.min(CLOSED),
            };
            services.insert(key, Desired { config: config.clone(), claim, drain, closed: true });
        }
        for (config, digest) in open {
            let key = ServiceKey { origin: object.key.origin(), name: config.name.clone() };
            let held_since = self.ledger.since(object, &config.name, digest);
            let claim = Claim { held_since, created: object.created };
            let (config, drain) = (config.clone(), good.drain);
            seen.ran.insert(config.name.clone(), (config.clone(), digest.clone()));
            services.insert(key, Desired { config, claim, drain, closed: false });
        }
    }
}
