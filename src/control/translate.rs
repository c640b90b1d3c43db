//! From the objects of the API server to what shall run, and a verdict for each object.
//!
//! Pure: no API server, no engine, no clock. The one memory is [`Translator`]: what an object ran
//! last, and who holds which address. The outcome does not depend on the order of the objects.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::claim::{Ledger, digest_of};
use super::object::{Key, Object};
use crate::base::{Reason, ServiceKey};
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::config::lower::{LowerContext, lower_tunnel};
use crate::config::model::ServiceConfig;
use crate::config::secrets::Secrets;
use crate::engine::{Claim, Desired, ServiceState, Snapshot};

/// The class that is served without a class file.
pub const BUILT_IN_CLASS: &str = "adit";

/// `spec.drain.timeout` when it is not set.
const DRAIN: Duration = Duration::from_secs(60);
/// The longest `spec.drain.timeout` that counts (`limits.maxDrain` of the built-in class).
const MAX_DRAIN: Duration = Duration::from_secs(600);

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
    /// What is allowed but worth a word.
    pub(crate) warnings: Vec<String>,
    /// How long tunnels may go on when a service goes.
    drain: Duration,
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

/// Translates, and remembers what ran.
#[derive(Debug)]
pub(crate) struct Translator {
    fronts: Vec<u16>,
    secrets: Secrets,
    /// By uid: validating again what did not change would make each event cost as much as all.
    seen: HashMap<Arc<str>, Seen>,
    /// Who holds what.
    pub(crate) ledger: Ledger,
}

#[derive(Debug)]
struct Seen {
    generation: i64,
    outcome: Result<Arc<Good>, ConfigErrors>,
    last_good: Option<Arc<Good>>,
}

impl Translator {
    /// A translator without memories, for a process with these front ports.
    pub(crate) fn new(fronts: Vec<u16>) -> Self {
        let secrets = Secrets::default();
        Self { fronts, secrets, seen: HashMap::new(), ledger: Ledger::default() }
    }

    /// Translates the whole set of objects.
    pub(crate) fn translate<'a>(
        &mut self,
        objects: impl Iterator<Item = &'a Object> + Clone,
    ) -> Translation {
        let mut outcome = Translation::default();
        for object in objects.clone() {
            if object.deleting {
                // Gone for traffic; only somebody's finalizer keeps the object.
                self.ledger.keep_services(object, &HashSet::new());
                continue;
            }
            let verdict = self.verdict(object);
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

    fn verdict(&mut self, object: &Object) -> Verdict {
        if object.class.as_deref().is_some_and(|class| class != BUILT_IN_CLASS) {
            return Verdict::Foreign;
        }
        let seen = self.seen.get(&object.uid);
        if seen.is_none_or(|seen| seen.generation != object.generation) {
            let outcome = self.judge(object).map(Arc::new);
            let before = self.seen.remove(&object.uid).and_then(|seen| seen.last_good);
            let last_good = outcome.as_ref().ok().cloned().or(before);
            let seen = Seen { generation: object.generation, outcome, last_good };
            self.seen.insert(object.uid.clone(), seen);
        }
        let Some(seen) = self.seen.get(&object.uid) else { return Verdict::Foreign };
        if object.spec.as_ref().is_ok_and(|spec| spec.suspend) {
            return Verdict::Suspended(seen.outcome.as_ref().err().cloned());
        }
        match &seen.outcome {
            Ok(good) => Verdict::Valid(good.clone()),
            Err(errors) => {
                Verdict::Rejected { errors: errors.clone(), previous: seen.last_good.clone() }
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
        let names = running.into_iter().flat_map(|good| &good.services);
        let names: HashSet<&str> = names.map(|(config, _)| &*config.name).collect();
        self.ledger.keep_services(object, &names);
        let Some(good) = running else { return };
        for (config, claim) in &good.services {
            let key = ServiceKey { origin: object.key.origin(), name: config.name.clone() };
            let held_since = self.ledger.since(object, &config.name, claim);
            let claim = Claim { held_since, created: object.created };
            services.insert(key, Desired { config: config.clone(), claim, drain: good.drain });
        }
    }

    /// Validates an object's spec, whatever ran before.
    fn judge(&self, object: &Object) -> Result<Good, ConfigErrors> {
        let spec = object.spec.as_ref().map_err(|error| {
            ConfigErrors::one(Diagnostic::new(
                "spec",
                Reason::Undecodable,
                format!("the stored object does not fit the CRD ({error}); apply it anew"),
            ))
        })?;
        let namespace = &object.key.namespace;
        let context = LowerContext::controller(namespace, &self.secrets, &self.fronts);
        let lowered = lower_tunnel(spec, &context)?;
        let services = lowered.services.into_iter().map(|config| {
            let claim = digest_of(&config).into();
            (Arc::new(config), claim)
        });
        Ok(Good {
            services: services.collect(),
            generation: object.generation,
            warnings: lowered.warnings.iter().map(ToString::to_string).collect(),
            drain: lowered.drain.unwrap_or(DRAIN).min(MAX_DRAIN),
        })
    }
}
