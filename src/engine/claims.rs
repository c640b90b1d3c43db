//! Who holds which host and path on a shared socket.

use std::collections::BTreeMap;

use crate::base::ServiceKey;
use crate::config::model::{HostPattern, ServerTls, WsListenerConfig, WsPath};

/// The claims that were granted on one socket, found by path: a set of thousands of services is
/// planned without comparing each with each.
#[derive(Default)]
pub(super) struct Claims<'a> {
    by_path: BTreeMap<&'a str, Vec<(&'a ServiceKey, &'a [HostPattern])>>,
    /// TLS policies by host, also of who wrote none; `None` is any host.
    policies: BTreeMap<Option<&'a HostPattern>, (&'a ServiceKey, &'a ServerTls)>,
}

/// What stands in the way of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict<'a> {
    /// A service that has the host and path.
    Path(&'a ServiceKey),
    /// A service that has another TLS policy for the host.
    Policy(&'a ServiceKey),
}

impl<'a> Claims<'a> {
    /// Grants a claim, or gives the service that stands in its way.
    ///
    /// Claims of different namespaces stand in each other's way if some request could match both.
    /// Within a namespace the more specific one simply wins, so only equal ones do.
    pub(super) fn grant(
        &mut self,
        key: &'a ServiceKey,
        config: &'a WsListenerConfig,
    ) -> Result<(), Conflict<'a>> {
        let path = config.path.0.as_str();
        let hosts = config.hostnames.as_slice();
        let equal = self.by_path.get(path).into_iter().flatten();
        let same = equal.clone().find(|(holder, theirs)| {
            holder.origin.namespace() == key.origin.namespace() && hosts_equal(hosts, theirs)
        });
        let foreign = equal.chain(self.above(path)).chain(self.below(&config.path)).find(
            |(holder, theirs)| {
                holder.origin.namespace() != key.origin.namespace() && hosts_overlap(hosts, theirs)
            },
        );
        if let Some((holder, _)) = same.or(foreign) {
            return Err(Conflict::Path(holder));
        }
        if let Some(tls) = config.tls.as_deref() {
            let any = hosts.is_empty().then_some(None);
            let patterns = || any.into_iter().chain(hosts.iter().map(Some));
            let stands = |(holder, theirs): &&(&ServiceKey, &ServerTls)| {
                let foreign = holder.origin.namespace() != key.origin.namespace();
                match (theirs.is_own(), tls.is_own()) {
                    (true, true) => *theirs != tls,
                    // It is inherited.
                    (true, false) => false,
                    // What an incumbent's clients see is not another namespace's to change.
                    (false, _) => foreign && *theirs != tls,
                }
            };
            let mut others = patterns().filter_map(|host| self.policies.get(&host));
            if let Some((holder, _)) = others.find(stands) {
                return Err(Conflict::Policy(holder));
            }
            for host in patterns() {
                let policy = self.policies.entry(host).or_insert((key, tls));
                if tls.is_own() && !policy.1.is_own() {
                    *policy = (key, tls);
                }
            }
        }
        self.by_path.entry(path).or_default().push((key, hosts));
        Ok(())
    }

    /// Subtrees that contain `path`.
    fn above<'b>(
        &'b self,
        path: &'b str,
    ) -> impl Iterator<Item = &'b (&'a ServiceKey, &'a [HostPattern])> {
        path.match_indices('/')
            .filter_map(move |(slash, _)| path.get(..=slash))
            .filter(move |prefix| prefix.len() < path.len())
            .filter_map(|prefix| self.by_path.get(prefix))
            .flatten()
    }

    /// What a subtree contains.
    fn below<'b>(
        &'b self,
        path: &'b WsPath,
    ) -> impl Iterator<Item = &'b (&'a ServiceKey, &'a [HostPattern])> {
        let prefix = path.0.as_str();
        self.by_path
            .range(prefix..)
            .take_while(move |(other, _)| path.is_subtree() && other.starts_with(prefix))
            .filter(move |(other, _)| other.len() > prefix.len())
            .flat_map(|(_, claims)| claims)
    }
}

/// Whether some pattern stands in both lists; empty lists serve any Host and are equal.
fn hosts_equal(a: &[HostPattern], b: &[HostPattern]) -> bool {
    (a.is_empty() && b.is_empty()) || a.iter().any(|pattern| b.contains(pattern))
}

/// Whether one Host could match both lists.
fn hosts_overlap(a: &[HostPattern], b: &[HostPattern]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|x| b.iter().any(|y| patterns_overlap(x, y)))
}

fn patterns_overlap(a: &HostPattern, b: &HostPattern) -> bool {
    match (a, b) {
        (HostPattern::Exact(a), HostPattern::Exact(b))
        | (HostPattern::Wildcard(a), HostPattern::Wildcard(b)) => a == b,
        (HostPattern::Exact(name), HostPattern::Wildcard(parent))
        | (HostPattern::Wildcard(parent), HostPattern::Exact(name)) => {
            name.split_once('.').is_some_and(|(_, rest)| rest == parent)
        }
    }
}
