//! Who decides how handshakes on a shared TLS socket run.
//!
//! A server name picks the policy before Host and path are known, so a policy belongs to hosts and
//! not to a path. Within a namespace a service without a policy of its own has that of another one
//! on its host. Between namespaces no newcomer changes what an incumbent's clients are shown,
//! whatever the paths:
//!
//! - Where a name that the incumbent serves would pick another policy than before, the newcomer is
//!   refused. `a.example.com`, `*.example.com` and a service for any host overlap.
//! - Clients without a server name are in no pattern: a service for any host that has a policy of
//!   its own is refused on a socket that another namespace uses.
//! - A newcomer that changes nothing is let in: its policy is the same, or it says nothing about TLS
//!   and has just the hosts of an incumbent, whose policy it inherits.

use std::collections::HashMap;

use super::paths::Held;
use super::{Pattern, cost};
use crate::base::ServiceKey;
use crate::config::model::ServerTls;

/// The policies of one socket.
pub(super) struct Policies<'a> {
    by_pattern: HashMap<Pattern<'a>, Policy<'a>>,
    /// A front port: clients without a server name are shown its own policy where no service for
    /// any host has one.
    front: bool,
    /// Every service.
    all: Option<Held<'a>>,
    /// Services with a policy of their own.
    owners: Option<Held<'a>>,
    /// The others by what their class shows: there are as many as classes.
    bare: Vec<(&'a ServerTls, Held<'a>)>,
}

/// What one pattern has.
struct Policy<'a> {
    tls: &'a ServerTls,
    /// Who gave it.
    by: &'a ServiceKey,
    /// Who is on the pattern.
    held: Held<'a>,
}

impl<'a> Policies<'a> {
    /// Of a socket without services.
    pub(super) fn new(front: bool) -> Self {
        let (by_pattern, all, owners, bare) = Default::default();
        Self { by_pattern, front, all, owners, bare }
    }

    /// The service that stands in the way of a policy on a pattern.
    pub(super) fn conflict(
        &self,
        pattern: Pattern<'a>,
        key: &ServiceKey,
        tls: &ServerTls,
    ) -> Option<&'a ServiceKey> {
        cost::step();
        let before = self.by_pattern.get(&pattern);
        if let Some(before) = before {
            match (before.tls.is_own(), tls.is_own()) {
                _ if before.tls == tls => return None,
                (true, true) => return Some(before.by),
                // It is inherited.
                (true, false) => return None,
                (false, _) => {}
            }
        }
        let at = |pattern| self.by_pattern.get(&pattern);
        let foreign = |policy: Option<&Policy<'a>>| policy?.held.foreign(key);
        match pattern {
            Pattern::Any => foreign(before).or_else(|| self.in_the_way_of_any(key, tls)),
            Pattern::Exact(_) | Pattern::Wildcard(_) => {
                let wider = [pattern.parent().and_then(at), at(Pattern::Any)];
                let shown = before.or(wider.into_iter().flatten().next());
                if shown.is_some_and(|shown| shown.tls == tls) {
                    return None;
                }
                [before].into_iter().chain(wider).find_map(foreign)
            }
        }
    }

    /// The same for a policy on any host, which clients without a server name are shown.
    fn in_the_way_of_any(&self, key: &ServiceKey, tls: &ServerTls) -> Option<&'a ServiceKey> {
        let foreign = |held: Held<'a>| held.foreign(key);
        if tls.is_own() {
            return self.all.and_then(foreign);
        }
        let owner = self.owners.and_then(foreign).filter(|_| !self.front);
        let others = self.bare.iter().filter(|(other, _)| *other != tls);
        owner.or_else(|| others.filter_map(|(_, held)| foreign(*held)).next())
    }

    /// Notes a service on a pattern that [`conflict`](Self::conflict) has nothing against.
    pub(super) fn insert(&mut self, pattern: Pattern<'a>, key: &'a ServiceKey, tls: &'a ServerTls) {
        let with = |held: Option<Held<'a>>| Some(held.map_or(Held::One(key), |held| held.and(key)));
        self.all = with(self.all);
        if tls.is_own() {
            self.owners = with(self.owners);
        } else {
            match self.bare.iter_mut().find(|(other, _)| *other == tls) {
                Some((_, held)) => *held = held.and(key),
                None => self.bare.push((tls, Held::One(key))),
            }
        }
        let new = || Policy { tls, by: key, held: Held::One(key) };
        let policy = self.by_pattern.entry(pattern).or_insert_with(new);
        policy.held = policy.held.and(key);
        if tls.is_own() && !policy.tls.is_own() {
            (policy.tls, policy.by) = (tls, key);
        }
    }
}
