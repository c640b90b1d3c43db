//! What a configuration refers to outside of itself.

use std::collections::BTreeSet;

use super::{Auth, Config, Node, Tls};
use crate::base::name::{is_label, is_subdomain};

impl Config {
    /// The names of all Secrets. What cannot be one is left out: nobody asks for it.
    pub fn secrets(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        for service in &self.services {
            auth(service.handler.iter().filter_map(|handler| handler.auth.as_ref()), &mut names);
            tls(service.listener.iter().filter_map(|listener| listener.tls.as_ref()), &mut names);
        }
        for auther in &self.authers {
            names.extend(auther.secret_ref.iter().map(|reference| reference.name.as_str()));
            auth(auther.auths.iter(), &mut names);
        }
        for node in self.nodes() {
            auth(node.connector.iter().filter_map(|c| c.auth.as_ref()), &mut names);
            tls(node.dialer.iter().filter_map(|dialer| dialer.tls.as_ref()), &mut names);
        }
        names.retain(|name| is_subdomain(name));
        names
    }

    /// The names of all Services, likewise.
    pub fn service_refs(&self) -> BTreeSet<&str> {
        let forwarders = self.services.iter().filter_map(|service| service.forwarder.as_ref());
        let targets = forwarders.flat_map(|f| &f.nodes).filter_map(|n| n.service_ref.as_ref());
        let nodes = self.nodes().filter_map(|node| node.service_ref.as_ref());
        let names = targets.chain(nodes).map(|reference| reference.name.as_str());
        names.filter(|name| is_label(name)).collect()
    }

    /// The nodes of all hops.
    fn nodes(&self) -> impl Iterator<Item = &Node> {
        let hops = self.chains.iter().flat_map(|chain| &chain.hops).chain(&self.hops);
        hops.flat_map(|hop| hop.nodes.iter().flatten())
    }
}

fn auth<'a>(all: impl Iterator<Item = &'a Auth>, names: &mut BTreeSet<&'a str>) {
    let references = all.filter_map(|auth| auth.secret_ref.as_ref());
    names.extend(references.map(|reference| reference.name.as_str()));
}

fn tls<'a>(all: impl Iterator<Item = &'a Tls>, names: &mut BTreeSet<&'a str>) {
    for tls in all {
        names.extend(tls.secret_ref.iter().map(|reference| reference.name.as_str()));
        let keys = tls.client_ca_ref.iter().chain(&tls.ca_ref);
        names.extend(keys.map(|reference| reference.name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_is_found() {
        let text = r#"{
            "services": [
                {"name": "a", "handler": {"auth": {"secretRef": {"name": "handler"}}},
                 "listener": {"tls": {"secretRef": {"name": "listener"},
                                      "clientCARef": {"name": "clients"}}}}],
            "chains": [{"hops": [{"nodes": [
                {"connector": {"auth": {"secretRef": {"name": "connector"}}},
                 "dialer": {"tls": {"secretRef": {"name": "dialer"}, "caRef": {"name": "ca"}}}}]}]}],
            "hops": [{"nodes": [{"connector": {"auth": {"secretRef": {"name": "hop"}}}}]}],
            "authers": [{"secretRef": {"name": "users"},
                         "auths": [{"secretRef": {"name": "user"}}, {"secretRef": {"name": ""}}]}]
        }"#;
        let names = text.matches(r#"{"name": ""#).count();
        let config: Config = serde_json::from_str(text).unwrap();
        let found: Vec<_> = config.secrets().into_iter().collect();
        let all =
            ["ca", "clients", "connector", "dialer", "handler", "hop", "listener", "user", "users"];
        assert_eq!(found, all);
        // The service's own name, and the empty one.
        assert_eq!(names, all.len() + 2);
    }
}
