//! From the objects of the API server to what shall run, and a verdict for each object.
//!
//! Pure: no API server, no engine, no clock. The one memory is [`Translator`]: what an object ran
//! last and what its Secrets held then, who holds which address, and which ports were allocated. The
//! outcome does not depend on the order of the objects.

mod admission;
mod allocated;
pub(crate) mod holders;
mod judged;
mod part;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::claim::{Ledger, digest_of_port};
use super::expose::{Allocation, Slot};
use super::object::{Key, Object};
use super::policy::quota::{Beyond, Counts};
use super::policy::{Class, Labels, Policy, Selected};
use crate::base::{ListenAddr, Reason, ServiceKey};
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::config::lower::References;
use crate::config::model::{ExposeConfig, ServiceConfig};
use crate::config::secrets::{Kept, Secrets};
use crate::config::services::Services;
use crate::engine::{Claim, Desired, ServiceState, Snapshot};
use admission::Rules;
use holders::Holders;
use judged::{Judged, Sight};

/// `spec.drain.timeout` when it is not set.
const DRAIN: Duration = Duration::from_secs(60);

/// How long what is open may go on when a service loses a Secret that it needs.
const CLOSED: Duration = Duration::from_secs(30);

/// What shall become of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Another installation holds it: nothing is run and nothing is written.
    Foreign,
    /// It is being deleted, and somebody's finalizer keeps it.
    Deleting,
    /// It runs as its spec says.
    Valid(Arc<Good>),
    /// `spec.suspend`: nothing runs.
    Suspended {
        /// The errors that it would have otherwise, if any.
        errors: Option<ConfigErrors>,
        /// What it would run: its ports and Services stay.
        kept: Option<Arc<Good>>,
    },
    /// Its spec has errors, or its class does not allow it; what it ran before goes on.
    Rejected {
        /// What is wrong.
        errors: ConfigErrors,
        /// What goes on running: what this process ran before, as far as its class still allows it,
        /// or else what is valid by itself of the spec.
        previous: Option<Arc<Good>>,
    },
}

/// A spec that was found valid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Good {
    /// The services in the spec's order, each with the digest of its claim.
    pub(crate) services: Vec<(Arc<ServiceConfig>, Arc<str>)>,
    /// Those that must not serve yet, as they would be without what they refer to.
    pub(crate) outlines: Vec<ServiceConfig>,
    /// Which of all of them a Service leads to, by name.
    pub(crate) exposures: BTreeMap<Arc<str>, ExposeConfig>,
    /// The generation of the spec that this is.
    pub(crate) generation: i64,
    /// What is known of references, by service.
    pub(crate) references: BTreeMap<Arc<str>, References>,
    /// The services of the spec that are not among these, since they are wrong; the others are valid
    /// by themselves, and nothing ran before.
    pub(crate) left_out: Vec<Arc<str>>,
    /// What is allowed but worth a word.
    pub(crate) warnings: Vec<String>,
    /// How long tunnels may go on when a service goes.
    drain: Duration,
}

/// What is said of a service that must not serve, besides what is missing.
pub(crate) const NOT_RESOLVED: &str =
    "it serves nobody until what it refers to is there; see condition ResolvedRefs";

/// What is said of an exposed service that has no port yet.
pub(crate) const ALLOCATING: &str = "its port is being allocated";

/// What is said of a service that is wrong, where others of its object run.
pub(crate) const LEFT_OUT: &str = "it is not valid; see condition Accepted";

impl Good {
    /// Only a part of a spec that is refused.
    pub(crate) fn is_part(&self) -> bool {
        !self.left_out.is_empty()
    }

    /// The services that must not serve, since something that they refer to is missing.
    pub(crate) fn closed(&self) -> impl Iterator<Item = (&Arc<str>, &References)> + Clone {
        self.references.iter().filter(|(_, references)| !references.missing.is_empty())
    }
}

impl Verdict {
    /// Nobody here has its class: another installation may, and then says so.
    pub(crate) fn is_classless(&self) -> bool {
        matches!(self, Self::Rejected { errors, previous: None } if errors.reason() == Reason::NoClass)
    }

    /// What runs of the object.
    pub(crate) fn running(&self) -> Option<&Arc<Good>> {
        match self {
            Self::Valid(good) | Self::Rejected { previous: Some(good), .. } => Some(good),
            Self::Foreign
            | Self::Deleting
            | Self::Suspended { .. }
            | Self::Rejected { previous: None, .. } => None,
        }
    }

    /// What has Services of the object, also while it is suspended.
    pub(crate) fn exposing(&self) -> Option<&Arc<Good>> {
        match self {
            Self::Suspended { kept, .. } => kept.as_ref(),
            other => other.running(),
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
    /// The namespace of the release, where the Secrets are that classes name.
    release: Arc<str>,
    policy: Arc<Policy>,
    labels: Arc<Labels>,
    /// Which other installations hold objects.
    holders: Holders,
    /// By uid: validating again what did not change would make each event cost as much as all.
    seen: HashMap<Arc<str>, Seen>,
    /// Who holds what.
    pub(crate) ledger: Ledger,
    /// Which port is whose.
    pub(crate) ports: Allocation,
}

#[derive(Debug)]
struct Seen {
    namespace: Arc<str>,
    generation: i64,
    current: Judged,
    /// The last valid spec, if that is another one.
    last: Option<Judged>,
    /// What is valid of a spec that is not, once that was looked for.
    part: Option<Option<Judged>>,
    /// What TLS Secrets, and the class's, held when they were last used.
    kept: Kept,
    /// What services ran as, and the digest of their claims: one that is closed keeps its address.
    ran: Ran,
}

/// Services with the digests of their claims, by name.
type Ran = BTreeMap<Arc<str>, (Arc<ServiceConfig>, Arc<str>)>;

impl Translator {
    /// A translator without memories, for a process of an instance in the namespace of its release,
    /// with these front ports, and with these of its own besides.
    pub(crate) fn new(
        fronts: Vec<u16>,
        reserved: &[u16],
        (release, instance): (&str, &str),
    ) -> Self {
        let own = fronts.iter().chain(reserved).copied().collect();
        let (policy, ports) = (Arc::new(Policy::built_in()), Allocation::new(own));
        let (labels, seen, ledger) = Default::default();
        let holders = Holders::new(release, instance);
        Self { fronts, release: release.into(), policy, labels, holders, seen, ledger, ports }
    }

    /// The process leads from now on, or does not any more.
    pub(crate) fn lead(&mut self, leads: bool) {
        self.ledger.lead(leads);
        self.ports.forget();
    }

    /// Goes by these classes and these labels of namespaces from the next translation on.
    pub(crate) fn govern(&mut self, policy: Arc<Policy>, labels: Arc<Labels>) {
        (self.policy, self.labels) = (policy, labels);
        self.seen.values_mut().for_each(|seen| seen.part = None);
    }

    /// Whether an object is of one of the classes.
    pub(crate) fn is_ours(&self, object: &Object) -> bool {
        self.class_of(object).is_some()
    }

    /// The class that serves an object; none does where another installation holds it.
    pub(crate) fn class_of(&self, object: &Object) -> Option<&Arc<Class>> {
        self.holders.class(&self.policy, object)
    }

    /// Which installations hold objects.
    pub(crate) fn holders(&self) -> &Holders {
        &self.holders
    }

    /// Takes these for gone, and only these: what they held may be served here.
    pub(crate) fn outlive(&mut self, gone: BTreeSet<holders::Place>) {
        self.holders.gone = gone;
    }

    /// The classes.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The Secret that a class names for its default certificate.
    pub(crate) fn default_certificate(&self, class: &Class) -> Option<Key> {
        let name = class.default_certificate.clone()?;
        Some(Key { namespace: self.release.clone(), name })
    }

    /// The classes that name one, each with it.
    pub(crate) fn named_by_classes(&self) -> impl Iterator<Item = (&str, Key)> {
        let classes = self.policy.classes();
        classes.filter_map(|class| Some((&*class.name, self.default_certificate(class)?)))
    }

    /// Those that all of these classes name.
    pub(crate) fn default_certificates(&self, policy: &Policy) -> BTreeSet<Key> {
        policy.classes().filter_map(|class| self.default_certificate(class)).collect()
    }

    /// The Secrets that an object uses: those that it names, and that of its class if a listener has
    /// nothing else to show.
    pub(crate) fn used_by(&self, object: &Object) -> impl Iterator<Item = Key> {
        let class = self.class_of(object).filter(|_| object.shows_default());
        object.secrets().chain(class.and_then(|class| self.default_certificate(class)))
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
        now: Instant,
    ) -> Translation {
        let mut outcome = Translation::default();
        let policy = self.policy.clone();
        self.follow_ports(objects.clone(), now);
        let beyond = self.judge(objects.clone(), &policy, outside);
        for object in objects.clone() {
            if object.deleting {
                // Gone for traffic; only somebody's finalizer keeps the object.
                self.ledger.keep_services(object, &HashSet::new());
                if self.holders.is_own(object) {
                    outcome.verdicts.insert(object.key.clone(), Verdict::Deleting);
                }
                continue;
            }
            let verdict = match policy.select(object.class.as_deref()) {
                _ if self.holders.have(object) => {
                    self.seen.remove(&object.uid);
                    Verdict::Foreign
                }
                Selected::Foreign | Selected::None => {
                    self.seen.remove(&object.uid);
                    let names = policy.names_for(&object.key.namespace, &self.labels);
                    admission::no_class(object.class.as_deref(), &names)
                }
                Selected::Class(class) => {
                    let beyond = beyond.get(&*object.uid);
                    let verdict = self.verdict(object, class, beyond, outside);
                    self.desire(object, class, &verdict, &mut outcome.services);
                    verdict
                }
            };
            if verdict.running().is_none() {
                self.ledger.keep_services(object, &HashSet::new());
            }
            outcome.verdicts.insert(object.key.clone(), verdict);
        }
        self.allocate(objects.clone(), &outcome.verdicts, now);
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
        let Some(good) = verdict.running() else { return };
        for (config, claim) in &good.services {
            let key = ServiceKey { origin: object.key.origin(), name: config.name.clone() };
            let allocated = good.exposures.contains_key(&config.name);
            let port = self.ports.bound(&Slot::new(object, &config.name)).filter(|_| allocated);
            let of_port = port.map(digest_of_port);
            let claim = of_port.as_deref().unwrap_or(claim);
            match snapshot.services.get(&key) {
                Some(status) if matches!(status.state, ServiceState::Refused { .. }) => {
                    self.ledger.refuse(&object.uid, &config.name);
                }
                Some(_) => self.ledger.grant(&object.uid, &config.name, claim, now),
                None => {}
            }
        }
    }

    /// Brings what is known of the objects up to date, and says which are too many for their class.
    fn judge<'a>(
        &mut self,
        objects: impl Iterator<Item = &'a Object>,
        policy: &Policy,
        outside: Outside<'_>,
    ) -> HashMap<Arc<str>, Beyond> {
        let mut namespaces: BTreeMap<&str, Vec<(&Object, &Class)>> = BTreeMap::new();
        for object in objects.filter(|object| !object.deleting) {
            let Some(class) = self.holders.class(policy, object) else { continue };
            self.look(object, class, outside);
            namespaces.entry(&object.key.namespace).or_default().push((object, class));
        }
        let mut beyond = HashMap::new();
        for (namespace, mut objects) in namespaces {
            objects.sort_by_key(|(object, _)| (object.created, &object.key));
            let (mut counts, all) = (Counts::default(), objects.len());
            for (object, class) in objects {
                let rules = Rules { class, namespace, labels: &self.labels, fronts: &self.fronts };
                let Some(seen) = self.seen.get(&object.uid) else { continue };
                let found = seen.count(object, &rules, all, &mut counts);
                beyond.extend(found.map(|found| (object.uid.clone(), found)));
            }
        }
        beyond
    }

    fn look(&mut self, object: &Object, class: &Class, outside: Outside<'_>) {
        let sight = Sight::new(object, class, outside, (&self.release, &self.fronts));
        let seen = self.seen.entry(object.uid.clone()).or_insert_with(|| Seen::new(object));
        seen.look(object, &sight);
    }

    fn verdict(
        &mut self,
        object: &Object,
        class: &Class,
        beyond: Option<&Beyond>,
        outside: Outside<'_>,
    ) -> Verdict {
        let namespace = &*object.key.namespace;
        let seen = self.seen.entry(object.uid.clone()).or_insert_with(|| Seen::new(object));
        let rules = Rules { class, namespace, labels: &self.labels, fronts: &self.fronts };
        let outcome = seen.admit(&rules, beyond);
        // The class has the last word, also on what ran before it was narrowed.
        let previous = || {
            let previous = seen.last.as_ref().filter(|_| beyond.is_none_or(|found| !found.whole));
            previous.and_then(|last| rules.allow(last, &seen.ran).ok())
        };
        if object.spec.as_ref().is_ok_and(|spec| spec.suspend) {
            let kept = outcome.as_ref().ok().cloned().or_else(previous);
            return Verdict::Suspended { errors: outcome.err(), kept };
        }
        match outcome {
            Ok(good) => Verdict::Valid(good),
            Err(errors) => {
                // What was suspended did not run, and a mistake does not start it.
                let ran = seen.last.as_ref().is_some_and(|last| !last.is_suspended());
                let mut previous = ran.then(previous).flatten();
                if seen.last.is_none() && beyond.is_none() {
                    let sight = Sight::new(object, class, outside, (&self.release, &self.fronts));
                    previous = seen.valid_part(&sight, &rules);
                }
                Verdict::Rejected { errors, previous }
            }
        }
    }

    fn desire(
        &mut self,
        object: &Object,
        class: &Class,
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
        let whole = good.drain.min(class.limits.max_drain);
        let terms = || Some(class.terms.clone());
        let Some(seen) = self.seen.get_mut(&object.uid) else { return };
        for (name, references) in closed {
            let Some((config, claim)) = seen.ran.get(name) else { continue };
            let key = ServiceKey { origin: object.key.origin(), name: name.clone() };
            let held_since = self.ledger.since(object, name, claim);
            let claim = Claim { held_since, created: object.created };
            // Who uses a Service that is gone proved who they are.
            let of_service = |d: &Diagnostic| d.reason == Reason::ServiceNotFound;
            let drain = match references.missing.iter().all(of_service) {
                true => whole,
                false => whole.min(CLOSED),
            };
            let config = class.narrowed(config);
            let desired = Desired { config, claim, drain, closed: true, terms: terms() };
            services.insert(key, desired);
        }
        for (config, digest) in open {
            let key = ServiceKey { origin: object.key.origin(), name: config.name.clone() };
            let config = &class.narrowed(config);
            let (config, digest) = if good.exposures.contains_key(&config.name) {
                // Until the status says where, nobody binds anything.
                let slot = Slot::new(object, &config.name);
                let Some(port) = self.ports.bound(&slot) else { continue };
                let listen = ListenAddr::port(port);
                let config = ServiceConfig { listen, ..(**config).clone() };
                (Arc::new(config), digest_of_port(port).into())
            } else {
                (config.clone(), digest.clone())
            };
            let held_since = self.ledger.since(object, &config.name, &digest);
            let claim = Claim { held_since, created: object.created };
            seen.ran.insert(config.name.clone(), (config.clone(), digest));
            let desired = Desired { config, claim, drain: whole, closed: false, terms: terms() };
            services.insert(key, desired);
        }
    }
}
