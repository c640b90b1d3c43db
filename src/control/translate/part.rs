//! What is left of a spec when the entries that are wrong are taken out.
//!
//! A process that never ran an object has no version before its last edit. One service with a
//! mistake must not take the others with it then.

use std::sync::Arc;

use super::admission::Rules;
use super::judged::{Judged, Sight};
use super::{Good, Seen};
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::config::raw::{Config, TunnelSpec};

/// What refers to something that was taken out is taken out in the next round: services, chains and
/// hops are at most so many floors.
const ROUNDS: usize = 8;

impl Seen {
    /// The services of a refused spec that are valid by themselves, if there are any.
    pub(super) fn valid_part(&mut self, sight: &Sight<'_>, rules: &Rules<'_>) -> Option<Arc<Good>> {
        if self.part.is_none() {
            self.part = Some(self.find_part(sight, rules));
        }
        let part = self.part.as_ref()?.as_ref()?;
        let good = rules.allow(part, &self.ran).ok()?;
        let names = self.current.spec.iter().flat_map(|spec| &spec.config.services);
        let kept = |name: &str| {
            let served = good.services.iter().any(|(config, _)| *config.name == *name);
            served || good.references.contains_key(name)
        };
        let left_out = names.filter(|service| !kept(&service.name));
        let left_out = left_out.map(|service| service.name.as_str().into()).collect();
        Some(Arc::new(Good { left_out, ..(*good).clone() }))
    }

    fn find_part(&mut self, sight: &Sight<'_>, rules: &Rules<'_>) -> Option<Judged> {
        let mut spec = self.current.spec.clone()?;
        let mut errors = rules.allow(&self.current, &self.ran).err()?;
        for _ in 0..ROUNDS {
            let rest = without(&spec, &errors)?;
            let judged = self.judge_part(Arc::new(rest), sight);
            match rules.allow(&judged, &self.ran) {
                Ok(_) => return Some(judged),
                Err(more) => (spec, errors) = (judged.spec?, more),
            }
        }
        None
    }
}

/// The spec without the entries that errors are about. `None`: an error is about all of it, or no
/// service is left.
///
/// An entry that others refer to leaves a reference to nothing, which is an error of theirs: so no
/// service runs without what should have protected it.
fn without(spec: &TunnelSpec, errors: &ConfigErrors) -> Option<TunnelSpec> {
    let wrong: Vec<(&str, usize)> = errors.0.iter().map(entry).collect::<Option<_>>()?;
    let mut rest = spec.clone();
    let config = &mut rest.config;
    macro_rules! take_out {
        ($($list:ident),*) => { $(
            let named = |i: &usize| config.$list.get(*i).map(|entry| entry.name.clone());
            let of_list = wrong.iter().filter(|(list, _)| *list == stringify!($list));
            // Of two with one name nobody knows which is meant.
            let names: Vec<String> = of_list.filter_map(|(_, i)| named(i)).collect();
            config.$list.retain(|entry| !names.contains(&entry.name));
        )* };
    }
    take_out!(
        services, chains, hops, authers, admissions, bypasses, hosts, resolvers, limiters,
        climiters, rlimiters
    );
    let some = !config.services.is_empty() && size(&rest.config) < size(&spec.config);
    some.then_some(rest)
}

/// The list and the place in it that an error is about: `services[1].handler`.
fn entry(error: &Diagnostic) -> Option<(&str, usize)> {
    let (list, rest) = error.path.split_once('[')?;
    let (place, _) = rest.split_once(']')?;
    let whole = !list.contains('.');
    Some((list, place.parse().ok()?)).filter(|_| whole)
}

/// How many entries there are, of everything.
fn size(config: &Config) -> usize {
    let lists = [
        config.services.len(),
        config.chains.len(),
        config.hops.len(),
        config.authers.len(),
        config.admissions.len(),
        config.bypasses.len(),
        config.hosts.len(),
        config.resolvers.len(),
        config.limiters.len(),
        config.climiters.len(),
        config.rlimiters.len(),
    ];
    lists.iter().sum()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::base::Reason;

    fn left(spec: Value, paths: &[&str]) -> Option<Value> {
        let spec: TunnelSpec = serde_json::from_value(spec).unwrap();
        let error = |path: &&str| Diagnostic::new(*path, Reason::Invalid, "wrong");
        let errors = ConfigErrors(paths.iter().map(error).collect());
        without(&spec, &errors).map(|rest| serde_json::to_value(rest).unwrap())
    }

    #[test]
    fn entries_go_by_their_name_and_errors_of_the_whole_leave_nothing() {
        let spec = json!({"services": [{"name": "a"}, {"name": "b"}],
            "authers": [{"name": "u"}, {"name": "v"}, {"name": "u"}]});
        let rest =
            left(spec.clone(), &["services[1].handler.auther", "authers[2].auths[0]"]).unwrap();
        assert_eq!(rest["services"], json!([{"name": "a"}]));
        assert_eq!(rest["authers"], json!([{"name": "v"}]), "either of the name could be meant");
        for paths in [
            &["services[0]", "services[1].addr"][..],
            &["drain.timeout"],
            &["spec.className"],
            &["services[7].addr"],
            &["metadata.x[0]"],
            &[""],
        ] {
            assert_eq!(left(spec.clone(), paths), None, "{paths:?}");
        }
    }
}
