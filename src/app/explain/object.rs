//! What an object says of itself, in words. Pure.

use super::hints::{About, next_of};
use super::limits;
use super::lines::Lines;
use crate::base::Reason;
use crate::control::policy::Policy;
use crate::control::{Condition, Listener, Object};

/// What is to be printed, and whether everything serves as the spec says.
pub(super) fn tell(object: &Object, classes: Option<&Policy>) -> (String, bool) {
    let current = object.status.observed_generation == Some(object.generation);
    let story = Story { object, current, classes };
    let mut lines = Lines::default();
    let services = story.services();
    let ready = object.status.condition("Ready").is_some_and(holds);
    let good = ready && story.current && !object.deleting && services.iter().all(Part::serves);
    story.head(&services, good, &mut lines);
    for part in &services {
        story.service(part, &mut lines);
    }
    (lines.text(), good)
}

struct Story<'a> {
    object: &'a Object,
    /// The status is about the spec as it is now.
    current: bool,
    /// The classes of the installation, if they are known.
    classes: Option<&'a Policy>,
}

/// A service: of the spec, of the status, or of both.
struct Part<'a> {
    name: &'a str,
    /// Its place in the spec, unless it is not there any more.
    at: Option<usize>,
    status: Option<&'a Listener>,
}

impl Part<'_> {
    /// Replicas that serve it, of all.
    fn replicas(&self) -> Option<(u32, u32)> {
        let (serving, of) = self.status?.replicas.split_once('/')?;
        Some((serving.parse().ok()?, of.parse().ok()?))
    }

    fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status?.conditions.iter().find(|c| c.kind == kind)
    }

    fn serves(&self) -> bool {
        self.condition("Programmed").is_some_and(holds)
    }

    /// Whether, and where.
    fn word(&self) -> String {
        let previous = |c: &Condition| c.reason == Reason::UsingPreviousConfig.as_str();
        let previous = self.condition("Programmed").is_some_and(previous);
        match (self.replicas(), self.serves()) {
            (None, _) if self.status.is_none() => "does not serve".into(),
            (Some((serving, of)), _) if serving > 0 && previous => {
                format!("serves as before the last edit, on {serving} of {of} replicas")
            }
            (Some((serving, of)), false) if serving > 0 => {
                format!("serves on {serving} of {of} replicas only")
            }
            (_, false) => "does not serve".into(),
            (_, true) => "serves".into(),
        }
    }
}

impl<'a> Story<'a> {
    fn services(&self) -> Vec<Part<'a>> {
        let status = &self.object.status;
        let declared = self.object.spec.as_deref().map_or(&[][..], |spec| &spec.config.services);
        let of_spec = declared.iter().enumerate().map(|(at, service)| Part {
            name: &service.name,
            at: Some(at),
            status: status.listener(&service.name),
        });
        let gone = status.listeners.iter().filter(|l| declared.iter().all(|s| s.name != l.name));
        let gone = gone.map(|l| Part { name: &l.name, at: None, status: Some(l) });
        of_spec.chain(gone).collect()
    }

    fn about(&self, service: Option<usize>) -> About<'a> {
        let key = &self.object.key;
        About { namespace: &key.namespace, name: &key.name, service }
    }

    fn head(&self, services: &[Part<'_>], good: bool, lines: &mut Lines) {
        let object = self.object;
        let serving = services.iter().filter(|part| part.serves()).count();
        let word = match (object.deleting, good) {
            (true, _) => "is being deleted".to_string(),
            (_, true) => "serves".into(),
            _ if serving == 0 => "does not serve".into(),
            _ if serving == services.len() => "serves, with something to do".into(),
            _ => format!("serves {serving} of {} services", services.len()),
        };
        lines.head(&format!("WsTunnel {}: {word}", object.key));
        let class = object.class.as_deref().unwrap_or("not set, so that of the default class");
        lines.line("Class", class);
        lines.line("Limits", &limits(self.classes, object.class.as_deref()));
        lines.line("Generation", &self.generation());
        let summary = object.status.summary.as_ref();
        lines.line("Replicas", summary.map_or("", |summary| &summary.replicas));
        if object.deleting {
            let next = "it serves nobody; a finalizer of somebody else keeps it: see \
                        metadata.finalizers";
            lines.line("Next", next);
        }
        let own = &object.status.conditions;
        // What a service says, it says itself and better.
        let said = |c: &Condition| {
            let same = |other: &Condition| {
                other.kind == c.kind && other.status == c.status && other.reason == c.reason
            };
            let partial = c.reason == Reason::Partial.as_str();
            services.iter().filter_map(|part| part.status).any(|l| {
                l.conditions.iter().any(|o| same(o) || (partial && o.kind == c.kind && !holds(o)))
            })
        };
        let left: Vec<_> = own.iter().filter(|c| !said(c)).collect();
        self.problems(&left, None, lines);
        let notes = own.iter().filter(|c| holds(c) && c.kind != "Ready");
        notes.for_each(|c| lines.line("Note", &c.message));
    }

    fn generation(&self) -> String {
        let now = self.object.generation;
        match self.object.status.observed_generation {
            Some(seen) if seen == now => format!("{now}, seen by the controller"),
            Some(seen) => format!(
                "{now}; the controller has not seen this generation yet: what follows is about {seen}"
            ),
            None => format!("{now}; the controller has not seen this generation yet"),
        }
    }

    fn service(&self, part: &Part<'_>, lines: &mut Lines) {
        let gone = if part.at.is_none() { " (not in the spec any more)" } else { "" };
        lines.head(&format!("{}: {}{gone}", part.name, part.word()));
        let Some(status) = part.status else {
            let see = match self.current {
                true => "see above: it runs when the object is accepted",
                false => "nothing is known of it yet",
            };
            lines.line("Why", see);
            return;
        };
        lines.line("Address", status.address.as_deref().unwrap_or_default());
        lines.line("Replicas", &status.replicas);
        self.problems(&status.conditions.iter().collect::<Vec<_>>(), part.at, lines);
    }

    /// Conditions that do not hold, each with what to do; one that only waits for another is left out.
    fn problems(&self, conditions: &[&Condition], service: Option<usize>, lines: &mut Lines) {
        let bad = conditions.iter().filter(|c| c.kind != "Ready" && !holds(c));
        let waits = |c: &Condition| c.reason == Reason::Pending.as_str();
        let only = bad.clone().all(|c| waits(c));
        let mut told: Vec<(&str, &str)> = Vec::new();
        for condition in bad.filter(|c| only || !waits(c)) {
            let Condition { kind, reason, message, .. } = *condition;
            if told.contains(&(reason, message)) || (waits(condition) && !told.is_empty()) {
                continue;
            }
            told.push((reason, message));
            lines.line("Reason", &format!("{reason} ({kind})"));
            lines.line("Message", message);
            lines.line("Next", &next_of(reason, &self.about(service)));
        }
    }
}

fn holds(condition: &Condition) -> bool {
    condition.status == "True"
}

#[cfg(test)]
mod tests;
