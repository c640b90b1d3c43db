//! What metrics say of the objects.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Reason, ServiceKey};
use crate::control::object::Key;
use crate::control::status::{READY, Status};
use crate::control::translate::{Translation, Verdict};
use crate::engine::{ServiceState, Snapshot};
use crate::metrics::Metrics;

/// What condition Ready says, in the order of the counts.
const STATES: [&str; 3] = ["True", "False", "Unknown"];

/// Keeps the metrics of objects, and takes away those of objects that are gone.
pub(in crate::control) struct Counted {
    /// The classes whose tunnels are counted.
    classes: BTreeSet<String>,
    /// The objects whose generation is shown.
    objects: BTreeSet<Key>,
    /// Why services did not serve in the last picture.
    obstacles: BTreeMap<ServiceKey, Reason>,
    metrics: Metrics,
}

impl Counted {
    /// Nothing is counted yet.
    pub(in crate::control) fn new(metrics: Metrics) -> Self {
        let (classes, objects, obstacles) = Default::default();
        Self { classes, objects, obstacles, metrics }
    }

    /// There is a new translation; `generation` is an object's newest one.
    pub(in crate::control) fn translated(
        &mut self,
        before: &Translation,
        new: &Translation,
        generation: impl Fn(&Key) -> Option<i64>,
    ) {
        let mut objects = BTreeSet::new();
        for (key, verdict) in &new.verdicts {
            let acted_on = match verdict {
                Verdict::Foreign => continue,
                // A spec that is refused or suspended is acted on by running nothing.
                other => other.running().map(|good| good.generation).or_else(|| generation(key)),
            };
            if let Some(acted_on) = acted_on {
                let labels = [&*key.namespace, &*key.name];
                self.metrics.config_generation_observed.with_label_values(&labels).set(acted_on);
                objects.insert(key.clone());
            }
            if before.verdicts.get(key) != Some(verdict)
                && let Some(reason) = trouble(verdict)
            {
                self.count_error(reason);
            }
        }
        for gone in self.objects.difference(&objects) {
            let labels = [&*gone.namespace, &*gone.name];
            let _ = self.metrics.config_generation_observed.remove_label_values(&labels);
        }
        self.objects = objects;
    }

    /// There is a new picture of the engine.
    pub(in crate::control) fn pictured(&mut self, snapshot: &Snapshot) {
        let obstacle = |state: &ServiceState| match state {
            ServiceState::Serving { .. } => None,
            ServiceState::Refused { reason, .. } | ServiceState::Failed { reason, .. } => {
                // It waits, or what it waits for was counted.
                Some(*reason).filter(|reason| *reason != Reason::Pending)
            }
        };
        let services = snapshot.services.iter();
        let obstacles: BTreeMap<_, _> =
            services.filter_map(|(key, s)| Some((key.clone(), obstacle(&s.state)?))).collect();
        for (key, reason) in &obstacles {
            if self.obstacles.get(key) != Some(reason) {
                self.count_error(*reason);
            }
        }
        self.obstacles = obstacles;
    }

    /// The statuses of all objects were looked at, each with the class that it belongs to.
    pub(in crate::control) fn looked<'a>(
        &mut self,
        classes: impl Iterator<Item = &'a str>,
        looked: impl Iterator<Item = (&'a str, &'a Status)>,
    ) {
        let mut ready: BTreeMap<&str, [i64; 3]> = classes.map(|class| (class, [0; 3])).collect();
        for (class, status) in looked {
            let state = status.condition(READY).map_or("Unknown", |c| c.status.as_str());
            let slot = STATES.iter().position(|known| *known == state).unwrap_or(2);
            if let Some(count) = ready.entry(class).or_default().get_mut(slot) {
                *count += 1;
            }
        }
        for class in self.classes.iter().filter(|class| !ready.contains_key(class.as_str())) {
            for state in STATES {
                let _ = self.metrics.tunnels.remove_label_values(&[class.as_str(), state]);
            }
        }
        for (class, counts) in &ready {
            for (state, count) in STATES.into_iter().zip(*counts) {
                self.metrics.tunnels.with_label_values(&[class, state]).set(count);
            }
        }
        self.classes = ready.into_keys().map(Into::into).collect();
    }

    fn count_error(&self, reason: Reason) {
        self.metrics.reconcile_errors.with_label_values(&[reason.as_str()]).inc();
    }
}

/// What is wrong with an object by itself, or with what it refers to.
fn trouble(verdict: &Verdict) -> Option<Reason> {
    match verdict {
        // Of another installation, perhaps.
        verdict if verdict.is_classless() => None,
        Verdict::Rejected { errors, .. } | Verdict::Suspended { errors: Some(errors), .. } => {
            Some(errors.reason())
        }
        Verdict::Valid(good) => {
            let missing = good.closed().flat_map(|(_, references)| &references.missing);
            missing.map(|found| found.reason).find(|reason| *reason != Reason::Pending)
        }
        Verdict::Foreign | Verdict::Deleting | Verdict::Suspended { errors: None, .. } => None,
    }
}
