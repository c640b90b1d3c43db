//! Who holds which host and path on a shared socket.
//!
//! Claims of different namespaces stand in each other's way if some request could match both, or if
//! one would change how the other's clients shake hands. Within a namespace the more specific claim
//! simply wins, so only equal ones do.

pub(super) mod cost;
mod paths;
mod policies;

use std::collections::HashMap;

use crate::base::ServiceKey;
use crate::config::model::{HostPattern, WsListenerConfig};
use paths::{Paths, Subtrees};
use policies::Policies;

/// The claims that were granted on one socket. A claim is judged by a few lookups for each of its
/// hosts: a set of thousands of services is planned without comparing each with each.
pub(super) struct Claims<'a> {
    by_pattern: HashMap<Pattern<'a>, Paths<'a>>,
    /// Those of exact names, by all after the first dot.
    below: HashMap<&'a str, Paths<'a>>,
    /// All of them.
    all: Paths<'a>,
    subtrees: Subtrees,
    policies: Policies<'a>,
}

/// What stands in the way of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict<'a> {
    /// A service that has the host and path.
    Path(&'a ServiceKey),
    /// A service whose clients would shake hands otherwise than now.
    Policy(&'a ServiceKey),
}

/// What a claim says of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pattern<'a> {
    Any,
    Exact(&'a str),
    /// One label, a dot and this name.
    Wildcard(&'a str),
}

impl<'a> Pattern<'a> {
    fn all(config: &'a WsListenerConfig) -> impl Iterator<Item = Self> + Clone {
        let any = config.hostnames.is_empty().then_some(Self::Any);
        any.into_iter().chain(config.hostnames.iter().map(|host| match host {
            HostPattern::Exact(name) => Self::Exact(name),
            HostPattern::Wildcard(name) => Self::Wildcard(name),
        }))
    }

    /// The wildcard that an exact name matches.
    fn parent(self) -> Option<Self> {
        match self {
            Self::Exact(name) => Some(Self::Wildcard(name.split_once('.')?.1)),
            Self::Any | Self::Wildcard(_) => None,
        }
    }
}

impl<'a> Claims<'a> {
    /// Of a socket without services, which is a front port or not.
    pub(super) fn new(front: bool) -> Self {
        let (by_pattern, below, all, subtrees) = Default::default();
        Self { by_pattern, below, all, subtrees, policies: Policies::new(front) }
    }

    /// Grants a claim, or gives the service that stands in its way.
    pub(super) fn grant(
        &mut self,
        key: &'a ServiceKey,
        config: &'a WsListenerConfig,
    ) -> Result<(), Conflict<'a>> {
        let path = config.path.0.as_str();
        let patterns = Pattern::all(config);
        let same = |pattern| self.by_pattern.get(&pattern)?.at(path)?.same(key);
        let around = self.subtrees.around(path);
        let foreign = |pattern| self.foreign(pattern, path, &around, key);
        let held = patterns.clone().find_map(same).or_else(|| patterns.clone().find_map(foreign));
        if let Some(holder) = held {
            return Err(Conflict::Path(holder));
        }
        if let Some(tls) = config.tls.as_deref() {
            let conflict = |pattern| self.policies.conflict(pattern, key, tls);
            if let Some(holder) = patterns.clone().find_map(conflict) {
                return Err(Conflict::Policy(holder));
            }
        }
        self.hold(key, config);
        Ok(())
    }

    /// Notes a claim that was granted before.
    pub(super) fn hold(&mut self, key: &'a ServiceKey, config: &'a WsListenerConfig) {
        let path = config.path.0.as_str();
        for pattern in Pattern::all(config) {
            if let Some(tls) = config.tls.as_deref() {
                self.policies.insert(pattern, key, tls);
            }
            self.by_pattern.entry(pattern).or_default().insert(path, key);
            if let Some(Pattern::Wildcard(parent)) = pattern.parent() {
                self.below.entry(parent).or_default().insert(path, key);
            }
        }
        self.all.insert(path, key);
        self.subtrees.insert(path);
    }

    /// A service of another namespace that has a request which the pattern and path would match.
    fn foreign(
        &self,
        pattern: Pattern<'a>,
        path: &str,
        around: &[&str],
        key: &ServiceKey,
    ) -> Option<&'a ServiceKey> {
        cost::step();
        let of = |pattern| self.by_pattern.get(&pattern);
        let overlapping = match pattern {
            Pattern::Any => [Some(&self.all), None, None],
            Pattern::Wildcard(name) => [of(pattern), of(Pattern::Any), self.below.get(name)],
            Pattern::Exact(_) => [of(pattern), of(Pattern::Any), pattern.parent().and_then(of)],
        };
        overlapping.into_iter().flatten().find_map(|paths| paths.foreign(path, around, key))
    }
}
