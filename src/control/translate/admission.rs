//! Whether an object's class lets it run.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::judged::Judged;
use super::{Good, Ran, Seen, Verdict};
use crate::base::Reason;
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::control::object::Object;
use crate::control::policy::{Class, Labels, Policy, Reserved, Selected, refusals};

/// What an object of a namespace is held to.
pub(super) struct Rules<'a> {
    pub(super) class: &'a Class,
    pub(super) namespace: &'a str,
    pub(super) labels: &'a Labels,
    pub(super) fronts: &'a [u16],
}

impl Rules<'_> {
    /// What a spec comes to, if the class serves the namespace and allows all of it. A service that
    /// is closed is held to what it asks for, and to what it ran as: it keeps its address, and its
    /// Service.
    pub(super) fn allow(&self, judged: &Judged, ran: &Ran) -> Result<Arc<Good>, ConfigErrors> {
        self.serves()?;
        let good = judged.outcome.clone()?;
        let reserved = Reserved { fronts: self.fronts, admin: None };
        if let Some(spec) = &judged.spec {
            let closed = good.closed().filter_map(|(name, _)| ran.get(name));
            let services = good.services.iter().chain(closed).map(|(config, _)| &**config);
            let services = services.chain(&good.outlines);
            let services = services.map(|config| (config, good.exposures.get(&config.name)));
            refusals(self.class, self.namespace, &spec.config, services, reserved)?;
        }
        Ok(good)
    }

    fn serves(&self) -> Result<(), ConfigErrors> {
        if self.class.serves(self.namespace, self.labels) {
            return Ok(());
        }
        let message =
            format!("class {:?} does not serve namespace {}", self.class.name, self.namespace);
        refuse(Reason::NotAllowedByClass, message)
    }
}

impl Seen {
    /// What the newest spec comes to under the rules; `beyond`: the object is one too many.
    pub(super) fn admit(
        &mut self,
        rules: &Rules<'_>,
        beyond: bool,
    ) -> Result<Arc<Good>, ConfigErrors> {
        let outcome = rules.serves().and_then(|()| match beyond {
            true => too_many(rules.class),
            false => rules.allow(&self.current, &self.ran),
        });
        self.current.allowed = outcome.is_ok();
        if self.current.allowed {
            self.last = None;
        }
        outcome
    }
}

fn too_many<T>(class: &Class) -> Result<T, ConfigErrors> {
    let message = format!(
        "class {:?} allows {} tunnels a namespace, and this one has more; delete one",
        class.name, class.limits.tunnels_per_namespace
    );
    refuse(Reason::QuotaExceeded, message)
}

fn refuse<T>(reason: Reason, message: String) -> Result<T, ConfigErrors> {
    Err(ConfigErrors::one(Diagnostic::new("spec.className", reason, message)))
}

pub(super) fn no_class() -> Verdict {
    without("no class is the default here: set className to one of the installation's".into())
}

/// Of an object whose class was taken away.
pub(super) fn gone_class(name: &str) -> Verdict {
    without(format!("the installation has no class {name:?} any more; ask who installed it"))
}

fn without(message: String) -> Verdict {
    let found = Diagnostic::new("spec.className", Reason::NoClass, message);
    Verdict::Rejected { errors: ConfigErrors::one(found), previous: None }
}

/// The objects that are too many for their class: of a namespace's, the youngest.
pub(super) fn beyond_quota<'a>(
    policy: &Policy,
    objects: impl Iterator<Item = &'a Object>,
) -> HashSet<&'a str> {
    let mut by_class: BTreeMap<(&str, &str), Vec<&Object>> = BTreeMap::new();
    let mut quotas: BTreeMap<&str, usize> = BTreeMap::new();
    for object in objects.filter(|object| !object.deleting) {
        if let Selected::Class(class) = policy.select(object.class.as_deref()) {
            quotas.insert(&class.name, class.limits.tunnels_per_namespace);
            by_class.entry((&class.name, &object.key.namespace)).or_default().push(object);
        }
    }
    let mut beyond = HashSet::new();
    for ((class, _), mut objects) in by_class {
        let quota = quotas.get(class).copied().unwrap_or_default();
        if objects.len() > quota {
            objects.sort_by_key(|object| (object.created, &object.key));
            beyond.extend(objects.iter().skip(quota).map(|object| &*object.uid));
        }
    }
    beyond
}
