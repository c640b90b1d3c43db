//! Names inside of an object of the API server: printable and short, as the schema has them.
//!
//! Names of Secrets and Services are checked where they are looked up; references to names inside
//! of the object have to find one, so they need no rule of their own.

use crate::base::name::{LABEL, is_printable};
use crate::config::error::Findings;
use crate::config::raw;

/// The longest user name, in characters.
const USER: usize = 255;

/// Refuses names that a terminal or a log could show as something else.
pub(super) fn check(config: &raw::Config, findings: &mut Findings) {
    for (path, name) in names(config) {
        bounded(&path, name, LABEL, findings);
    }
    for (path, name) in users(config) {
        bounded(&path, name, USER, findings);
    }
}

fn bounded(path: &str, name: &str, most: usize, findings: &mut Findings) {
    if !is_printable(name) || name.len() > most {
        let message = format!(
            "{name:?} is not a name of at most {most} ASCII letters, digits, spaces and \
             punctuation marks; write another one"
        );
        findings.invalid(path, message);
    }
}

/// Every name that the object gives to a part of itself, but for those of services.
fn names(config: &raw::Config) -> Vec<(String, &str)> {
    let mut all: Vec<(String, &str)> = Vec::new();
    macro_rules! list {
        ($($field:ident),*) => {
            $(for (i, entry) in config.$field.iter().enumerate() {
                all.push((format!("{}[{i}].name", stringify!($field)), &entry.name));
            })*
        };
    }
    list!(chains, authers, admissions, bypasses, hosts, resolvers, limiters, climiters, rlimiters);
    for (path, hop) in hops(config) {
        all.push((format!("{path}.name"), &hop.name));
        for (i, node) in hop.nodes.iter().flatten().enumerate() {
            all.push((format!("{path}.nodes[{i}].name"), &node.name));
        }
    }
    for (i, service) in config.services.iter().enumerate() {
        for (n, node) in service.forwarder.iter().flat_map(|f| &f.nodes).enumerate() {
            all.push((format!("services[{i}].forwarder.nodes[{n}].name"), &node.name));
        }
    }
    all
}

/// Every user name that is written inline.
fn users(config: &raw::Config) -> Vec<(String, &str)> {
    let mut all: Vec<(String, &str)> = Vec::new();
    for (i, service) in config.services.iter().enumerate() {
        let auth = service.handler.as_ref().and_then(|handler| handler.auth.as_ref());
        let path = format!("services[{i}].handler.auth.username");
        all.extend(auth.map(|auth| (path, &*auth.username)));
    }
    for (i, auther) in config.authers.iter().enumerate() {
        for (n, auth) in auther.auths.iter().enumerate() {
            all.push((format!("authers[{i}].auths[{n}].username"), &auth.username));
        }
    }
    for (path, hop) in hops(config) {
        for (i, node) in hop.nodes.iter().flatten().enumerate() {
            let auth = node.connector.as_ref().and_then(|connector| connector.auth.as_ref());
            let path = format!("{path}.nodes[{i}].connector.auth.username");
            all.extend(auth.map(|auth| (path, &*auth.username)));
        }
    }
    all
}

/// The hops of all chains, and the named ones.
fn hops(config: &raw::Config) -> Vec<(String, &raw::Hop)> {
    let mut all = Vec::new();
    for (i, chain) in config.chains.iter().enumerate() {
        let hops = chain.hops.iter().enumerate();
        all.extend(hops.map(|(n, hop)| (format!("chains[{i}].hops[{n}]"), hop)));
    }
    all.extend(config.hops.iter().enumerate().map(|(i, hop)| (format!("hops[{i}]"), hop)));
    all
}
