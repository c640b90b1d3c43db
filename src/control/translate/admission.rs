//! Whether an object's class lets it run.

use std::sync::Arc;

use super::judged::Judged;
use super::{Good, Ran, Seen, Verdict};
use crate::base::Reason;
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::control::object::Object;
use crate::control::policy::quota::{Asks, Beyond, Counts};
use crate::control::policy::{Class, Labels, Reserved, refusals};

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
    /// Counts what the object asks for: what its spec says, and what goes on if that is refused.
    pub(super) fn count(
        &self,
        object: &Object,
        rules: &Rules<'_>,
        all: usize,
        counts: &mut Counts,
    ) -> Option<Beyond> {
        let of = |judged: &Judged| {
            let spec = judged.spec.as_ref();
            spec.map(|spec| Asks::of(&object.key.name, &spec.config, rules.fronts))
        };
        let beyond = counts.admit(rules.class, of(&self.current).unwrap_or_default(), all);
        if beyond.is_some() || rules.allow(&self.current, &self.ran).is_err() {
            counts.add(self.last.as_ref().and_then(of).unwrap_or_default());
        }
        beyond
    }

    /// What the newest spec comes to under the rules; `beyond`: what the namespace has too many of.
    pub(super) fn admit(
        &mut self,
        rules: &Rules<'_>,
        beyond: Option<&Beyond>,
    ) -> Result<Arc<Good>, ConfigErrors> {
        let outcome = rules.serves().and_then(|()| match beyond {
            Some(Beyond { whole: true, error }) => Err(ConfigErrors::one(error.clone())),
            _ => rules.allow(&self.current, &self.ran),
        });
        let outcome = outcome.and_then(|good| match beyond {
            Some(beyond) => Err(ConfigErrors::one(beyond.error.clone())),
            None => Ok(good),
        });
        self.current.allowed = outcome.is_ok();
        if self.current.allowed {
            self.last = None;
        }
        outcome
    }
}

fn refuse<T>(reason: Reason, message: String) -> Result<T, ConfigErrors> {
    Err(ConfigErrors::one(Diagnostic::new("spec.className", reason, message)))
}

/// Of an object that no class here is for; `names`: those that are for its namespace.
pub(super) fn no_class(class: Option<&str>, names: &[&str]) -> Verdict {
    let set = match names {
        [] => "ask who installed adit which class serves this namespace".to_string(),
        [name] => format!("set className to {name}"),
        names => format!("set className to one of: {}", names.join(", ")),
    };
    let message = match class {
        Some(class) => format!("no installation has class {class:?}; {set}"),
        None => format!("no class is the default; {set}"),
    };
    let found = Diagnostic::new("spec.className", Reason::NoClass, message);
    Verdict::Rejected { errors: ConfigErrors::one(found), previous: None }
}
