//! Names: where a configuration defines them, and where it refers to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Reason;
use crate::base::name::{LABEL, is_label, is_printable};
use crate::config::error::Findings;
use crate::config::raw;

/// The lists whose entries are referred to by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    Services,
    Chains,
    Hops,
    Authers,
    Admissions,
    Bypasses,
    Hosts,
    Resolvers,
    Limiters,
    Climiters,
    Rlimiters,
}

impl List {
    /// What an entry is called that has no letter of its own.
    fn noun(self) -> &'static str {
        match self {
            Self::Services => "service",
            Self::Chains => "chain",
            Self::Hops => "hop",
            Self::Authers => "auther",
            Self::Admissions => "admission",
            Self::Bypasses => "bypass",
            Self::Hosts => "hosts",
            Self::Resolvers => "resolver",
            Self::Limiters => "limiter",
            Self::Climiters => "climiter",
            Self::Rlimiters => "rlimiter",
        }
    }
}

/// Names as DNS labels, unique in their list; references follow. What is one already stays.
pub(super) fn labels(config: &mut raw::Config, findings: &mut Findings) {
    let mut taken: BTreeSet<(List, String)> = BTreeSet::new();
    let mut names: BTreeMap<(List, String), String> = BTreeMap::new();
    let mut others = Vec::new();
    for (list, path, name) in defined(config) {
        if is_label(name) {
            taken.insert((list, name.clone()));
        } else {
            others.push((list, path, name));
        }
    }
    for (list, path, name) in others {
        let label = free(&label(name, list.noun()), |l| !taken.contains(&(list, l.to_string())));
        let message = format!("{name:?} is {label:?} now: a name is a DNS label in a cluster");
        findings.warn(&path, Reason::Accepted, message);
        taken.insert((list, label.clone()));
        names.insert((list, std::mem::replace(name, label.clone())), label);
    }
    refer(config, &names);
    for name in labelled(config) {
        if name.len() > LABEL || !is_printable(name) {
            *name = label(name, "node");
        }
    }
}

/// Puts a word before every name that another configuration has too; references follow.
pub(super) fn apart(
    config: &mut raw::Config,
    word: &str,
    other: &mut raw::Config,
    findings: &mut Findings,
) {
    let taken: BTreeSet<(List, String)> =
        defined(other).into_iter().map(|(list, _, name)| (list, name.clone())).collect();
    let own: BTreeSet<(List, String)> =
        defined(config).into_iter().map(|(list, _, name)| (list, name.clone())).collect();
    let mut names = BTreeMap::new();
    for (list, path, name) in defined(config) {
        if !taken.contains(&(list, name.clone())) {
            continue;
        }
        let is_free = |n: &str| {
            let key = (list, n.to_string());
            !taken.contains(&key) && !own.contains(&key)
        };
        let new = free(&format!("{word}-{name}"), is_free);
        let message = format!("{name:?} is {new:?} now: another one has the name");
        findings.warn(&path, Reason::Accepted, message);
        names.insert((list, std::mem::replace(name, new.clone())), new);
    }
    refer(config, &names);
}

fn refer(config: &mut raw::Config, names: &BTreeMap<(List, String), String>) {
    for (list, name) in referred(config) {
        if let Some(new) = names.get(&(list, name.clone())) {
            name.clone_from(new);
        }
    }
}

/// A text as a DNS label, or the noun if nothing of it can be in one.
pub fn label(text: &str, noun: &str) -> String {
    let legal = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() => c,
        _ => '-',
    };
    let mapped: String = text.chars().map(legal).collect();
    let words: Vec<&str> = mapped.split('-').filter(|word| !word.is_empty()).collect();
    let label: String = words.join("-").chars().take(LABEL).collect();
    let label = label.trim_end_matches('-');
    if label.is_empty() { noun.into() } else { label.into() }
}

/// The name, or the first of `name-2`, `name-3` and so on that is free.
pub(super) fn free(name: &str, is_free: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|number| {
        let end = format!("-{number}");
        let start: String = name.chars().take(LABEL - end.len()).collect();
        start.trim_end_matches('-').to_string() + &end
    });
    let mut all = std::iter::once(name.to_string()).chain(numbered);
    all.find(|name| is_free(name)).unwrap_or_default()
}

/// Every name that can be referred to, with its path.
pub(super) fn defined(config: &mut raw::Config) -> Vec<(List, String, &mut String)> {
    let mut all = Vec::new();
    macro_rules! list {
        ($list:ident, $field:ident) => {
            for (i, entry) in config.$field.iter_mut().enumerate() {
                let path = format!("{}[{i}].name", stringify!($field));
                all.push((List::$list, path, &mut entry.name));
            }
        };
    }
    list!(Services, services);
    list!(Chains, chains);
    list!(Hops, hops);
    list!(Authers, authers);
    list!(Admissions, admissions);
    list!(Bypasses, bypasses);
    list!(Hosts, hosts);
    list!(Resolvers, resolvers);
    list!(Limiters, limiters);
    list!(Climiters, climiters);
    list!(Rlimiters, rlimiters);
    all
}

/// Every place that refers to a name; empty ones refer to none.
fn referred(config: &mut raw::Config) -> Vec<(List, &mut String)> {
    let mut all = Vec::new();
    for service in &mut config.services {
        all.push((List::Admissions, &mut service.admission));
        all.extend(service.admissions.iter_mut().map(|name| (List::Admissions, name)));
        all.push((List::Bypasses, &mut service.bypass));
        all.extend(service.bypasses.iter_mut().map(|name| (List::Bypasses, name)));
        all.push((List::Resolvers, &mut service.resolver));
        all.push((List::Hosts, &mut service.hosts));
        all.push((List::Limiters, &mut service.limiter));
        all.push((List::Climiters, &mut service.climiter));
        all.push((List::Rlimiters, &mut service.rlimiter));
        if let Some(handler) = &mut service.handler {
            all.push((List::Chains, &mut handler.chain));
            all.push((List::Authers, &mut handler.auther));
            all.extend(handler.authers.iter_mut().map(|name| (List::Authers, name)));
        }
        all.extend(service.listener.iter_mut().map(|l| (List::Chains, &mut l.chain)));
        if let Some(forwarder) = &mut service.forwarder {
            all.push((List::Hops, &mut forwarder.hop));
            for node in &mut forwarder.nodes {
                all.push((List::Bypasses, &mut node.bypass));
                all.extend(node.bypasses.iter_mut().map(|name| (List::Bypasses, name)));
            }
        }
    }
    for hop in &mut config.hops {
        of_hop(hop, false, &mut all);
    }
    for hop in config.chains.iter_mut().flat_map(|chain| &mut chain.hops) {
        let is_reference = hop.nodes.is_none();
        of_hop(hop, is_reference, &mut all);
    }
    all.retain(|(_, name)| !name.is_empty());
    all
}

fn of_hop<'a>(hop: &'a mut raw::Hop, is_reference: bool, all: &mut Vec<(List, &'a mut String)>) {
    if is_reference {
        all.push((List::Hops, &mut hop.name));
    }
    all.push((List::Bypasses, &mut hop.bypass));
    all.extend(hop.bypasses.iter_mut().map(|name| (List::Bypasses, name)));
    all.push((List::Resolvers, &mut hop.resolver));
    all.push((List::Hosts, &mut hop.hosts));
    for node in hop.nodes.iter_mut().flatten() {
        all.push((List::Bypasses, &mut node.bypass));
        all.extend(node.bypasses.iter_mut().map(|name| (List::Bypasses, name)));
        all.push((List::Resolvers, &mut node.resolver));
        all.push((List::Hosts, &mut node.hosts));
    }
}

/// Names that are labels for logs only.
fn labelled(config: &mut raw::Config) -> Vec<&mut String> {
    let mut all = Vec::new();
    let targets = config.services.iter_mut().filter_map(|s| s.forwarder.as_mut());
    all.extend(targets.flat_map(|f| &mut f.nodes).map(|node| &mut node.name));
    for hop in config.chains.iter_mut().flat_map(|chain| &mut chain.hops) {
        let nodes = hop.nodes.iter_mut().flatten();
        let before = all.len();
        all.extend(nodes.map(|node| &mut node.name));
        if all.len() > before {
            all.push(&mut hop.name);
        }
    }
    let nodes = config.hops.iter_mut().flat_map(|hop| hop.nodes.iter_mut().flatten());
    all.extend(nodes.map(|node| &mut node.name));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read::read;

    #[test]
    fn every_name_becomes_a_dns_label_of_its_own() {
        for (text, expected) in [
            ("edge", "edge"),
            ("Web Proxy", "web-proxy"),
            ("_my_chain_", "my-chain"),
            ("ä", "service"),
            ("", "service"),
            ("a.b", "a-b"),
        ] {
            assert_eq!(label(text, "service"), expected);
            assert!(is_label(&label(text, "service")), "{text}");
        }
        let long = "x".repeat(70);
        assert_eq!(label(&long, "service").len(), 63);
        assert_eq!(free(&long[..63], |n| n.ends_with("-3")).len(), 63);
    }

    #[test]
    fn references_follow_a_name() {
        let text = "
services:
- {name: A, addr: ':1', admission: A_b, handler: {type: http, chain: C_1, authers: [U_1, u-1]}}
- {name: a, addr: ':2', handler: {type: tcp}, forwarder: {hop: H_1}}
chains: [{name: C_1, hops: [{name: H_1}, {name: My Hop, nodes: [{addr: 'h:1'}]}]}]
hops: [{name: H_1, nodes: [{addr: 'h:1', bypass: B.1}]}]
authers: [{name: U_1, auths: [{username: u, password: p}]}, {name: u-1, auths: [{username: v, password: p}]}]
admissions: [{name: A_b, matchers: [::1]}]
bypasses: [{name: B.1, matchers: [x]}]
";
        let mut config = read(text).unwrap().gost;
        let mut findings = Findings::default();
        labels(&mut config, &mut findings);
        let expected = text
            .replace("name: A,", "name: a-2,")
            .replace("A_b", "a-b")
            .replace("C_1", "c-1")
            .replace("U_1", "u-1-2")
            .replace("H_1", "h-1")
            .replace("B.1", "b-1");
        assert_eq!(config, read(&expected).unwrap().gost);
        assert_eq!(findings.warnings.len(), 6, "{:?}", findings.warnings);
    }
}
