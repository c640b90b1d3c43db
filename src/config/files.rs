//! Files that a configuration refers to: certificates, keys, users, matchers, limits.
//!
//! Configuration reads none itself. The application asks which ones there are, reads them, lowers
//! with what it has read, and does so again when one of them changes.

use std::collections::BTreeMap;

use super::model::Pem;
use super::raw;
use super::types;

/// GOST's default certificate, in the working directory.
pub(super) const DEFAULT_CERTIFICATE: &str = "cert.pem";
/// Its key.
pub(super) const DEFAULT_KEY: &str = "key.pem";

/// What a configuration wants with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// It counts if it is there.
    Optional,
    /// Without it the configuration is wrong.
    Required,
}

/// Files as they were read, by the path that is written in the configuration: their bytes, or why
/// they cannot be read. An optional file that does not exist is not among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Files(pub BTreeMap<String, Result<Pem, String>>);

impl Files {
    /// No file has been read.
    pub const fn none() -> &'static Self {
        static NONE: Files = Files(BTreeMap::new());
        &NONE
    }
}

/// The files that a configuration refers to.
pub fn referenced(config: &raw::Config) -> BTreeMap<String, Need> {
    let mut paths = Paths::default();
    for service in &config.services {
        let listener = service.listener.as_ref();
        paths.tls(listener.and_then(|l| l.tls.as_ref()));
        paths.auth(service.handler.as_ref().and_then(|h| h.auth.as_ref()));
    }
    let hops = config.hops.iter().chain(config.chains.iter().flat_map(|c| &c.hops));
    for node in hops.flat_map(|hop| hop.nodes.iter().flatten()) {
        paths.tls(node.dialer.as_ref().and_then(|d| d.tls.as_ref()));
        paths.auth(node.connector.as_ref().and_then(|c| c.auth.as_ref()));
    }
    for auther in &config.authers {
        paths.list(auther.file.as_ref());
        auther.auths.iter().for_each(|auth| paths.auth(Some(auth)));
    }
    config.admissions.iter().for_each(|a| paths.list(a.file.as_ref()));
    config.bypasses.iter().for_each(|b| paths.list(b.file.as_ref()));
    config.hosts.iter().for_each(|h| paths.list(h.file.as_ref()));
    let limiters = config.limiters.iter().chain(&config.climiters).chain(&config.rlimiters);
    limiters.for_each(|l| paths.list(l.file.as_ref()));
    paths.tls(config.tls.as_ref());
    if wants_default_certificate(config) {
        paths.add(DEFAULT_CERTIFICATE, Need::Optional);
        paths.add(DEFAULT_KEY, Need::Optional);
    }
    paths.0
}

/// Whether a listener has nothing else to show than a default certificate: GOST's, or its class's.
pub(crate) fn wants_default_certificate(config: &raw::Config) -> bool {
    let shows = |tls: Option<&raw::Tls>| {
        tls.is_some_and(|t| {
            !t.cert_file.is_empty() || !t.key_file.is_empty() || t.secret_ref.is_some()
        })
    };
    let bare = |service: &raw::Service| {
        let listener = service.listener.as_ref();
        listener.is_some_and(|l| types::is_tls(&l.kind) && !shows(l.tls.as_ref()))
    };
    !shows(config.tls.as_ref()) && config.services.iter().any(bare)
}

#[derive(Default)]
struct Paths(BTreeMap<String, Need>);

impl Paths {
    fn add(&mut self, path: &str, need: Need) {
        if !path.is_empty() {
            let entry = self.0.entry(path.into()).or_insert(need);
            *entry = need.max(*entry);
        }
    }

    fn tls(&mut self, tls: Option<&raw::Tls>) {
        for path in tls.into_iter().flat_map(|t| [&t.cert_file, &t.key_file, &t.ca_file]) {
            self.add(path, Need::Required);
        }
    }

    fn auth(&mut self, auth: Option<&raw::Auth>) {
        self.add(auth.map(|a| a.file.as_str()).unwrap_or_default(), Need::Required);
    }

    fn list(&mut self, file: Option<&raw::FileRef>) {
        self.add(file.map(|f| f.path.as_str()).unwrap_or_default(), Need::Required);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read::read;

    fn of(text: &str) -> Vec<(String, Need)> {
        referenced(&read(text).unwrap().gost).into_iter().collect()
    }

    #[test]
    fn every_file_is_listed_once() {
        let text = "
services:
- {name: a, addr: ':0', listener: {type: wss, tls: {certFile: c, keyFile: k, caFile: ca}}, handler: {auth: {file: u}}}
chains: [{name: c, hops: [{nodes: [{dialer: {tls: {caFile: ca}}, connector: {auth: {file: v}}}]}]}]
hops: [{name: h, nodes: [{dialer: {tls: {certFile: x, keyFile: y}}}]}]
authers: [{name: a, file: {path: users}}]
admissions: [{name: a, file: {path: in}}]
bypasses: [{name: b, file: {path: out}}]
hosts: [{name: h, file: {path: hosts}}]
limiters: [{name: l, file: {path: l1}}]
climiters: [{name: l, file: {path: l2}}]
rlimiters: [{name: l, file: {path: l3}}]
";
        let expected =
            ["c", "ca", "hosts", "in", "k", "l1", "l2", "l3", "out", "u", "users", "v", "x", "y"];
        assert_eq!(of(text), expected.map(|path| (path.to_string(), Need::Required)));
    }

    #[test]
    fn the_default_certificate_is_wanted_where_nothing_else_would_be_shown() {
        let wanted = [("cert.pem".to_string(), Need::Optional), ("key.pem".into(), Need::Optional)];
        assert_eq!(of("services: [{addr: ':0', listener: {type: mwss}}]"), wanted);
        assert_eq!(of("services: [{addr: ':0', listener: {type: mws}}]"), []);
        assert_eq!(
            of("services: [{addr: ':0', listener: {type: wss, tls: {secretRef: {name: a}}}}]"),
            []
        );
        let global =
            "services: [{addr: ':0', listener: {type: tls}}]\ntls: {certFile: c, keyFile: k}";
        assert_eq!(of(global).len(), 2);
    }
}
