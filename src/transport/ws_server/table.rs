//! Which service a request belongs to.
//!
//! Host first (exact, then a wildcard for one label, then any), within a host the path as Go's
//! ServeMux matches it: the exact path, then the longest subtree. A host without a matching path
//! leaves the request to the less specific hosts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::WsEndpoint;
use super::path::is_unclean;
use super::policies::Policies;
use crate::config::model::{HostPattern, WsListenerConfig};
use crate::io::Accept;
use crate::net::tls::TlsServer;
use crate::transport::Trust;

/// The services of one listening socket by host and path. Lookups cost a few hashes, however many
/// services there are.
#[derive(Default)]
pub struct WsTable {
    exact: HashMap<String, Paths>,
    wildcard: HashMap<String, Paths>,
    any: Paths,
    /// The only service, if there is just one.
    single: Option<Arc<Endpoint>>,
    /// Of a TLS socket.
    policies: Option<Policies>,
    /// Which PROXY headers count for some service.
    trust: Vec<Trust>,
    /// There is a service for which none does.
    plain: bool,
}

/// Where a request belongs.
pub(super) struct Found {
    pub(super) endpoint: Arc<Endpoint>,
    /// What its handshake must have run under.
    pub(super) policy: Option<TlsServer>,
}

/// A service in the table.
pub(super) struct Endpoint {
    pub(super) config: WsListenerConfig,
    pub(super) trust: Trust,
    pub(super) accept: Arc<dyn Accept>,
    /// `backlog` places for upgrades in flight.
    pub(super) upgrading: Arc<Semaphore>,
}

#[derive(Default)]
struct Paths {
    exact: HashMap<String, Arc<Found>>,
    subtrees: HashMap<String, Arc<Found>>,
    /// The lengths that subtrees have, longest first.
    lengths: Vec<usize>,
}

impl WsTable {
    /// Builds the table. Of two services with the same host and path the first one stays; the
    /// engine's plan lets it not come to that. `unowned` is the policy of a port that speaks TLS
    /// whoever is on it, for hosts that nobody has another one for.
    pub fn build(endpoints: Vec<WsEndpoint>, unowned: Option<TlsServer>) -> Self {
        let policies = Policies::build(&endpoints, unowned);
        let mut table = Self { policies, ..Self::default() };
        let only = endpoints.len() == 1;
        for endpoint in endpoints {
            let WsEndpoint { config, accept, tls, .. } = endpoint;
            let upgrading = Arc::new(Semaphore::new(config.backlog.max(1) as usize));
            let trust = Trust::from(&config);
            if trust.proxy_protocol && !table.trust.contains(&trust) {
                table.trust.push(trust.clone());
            }
            table.plain |= !trust.proxy_protocol;
            let endpoint = Arc::new(Endpoint { config, trust, accept, upgrading });
            if only {
                table.single = Some(endpoint.clone());
            }
            let own = endpoint.config.tls.as_ref().is_some_and(|tls| tls.is_own());
            let policies = &table.policies;
            let policy = |host| match (&tls, policies) {
                (Some(tls), _) if own => Some(tls.clone()),
                (_, Some(policies)) => Some(policies.of(host).clone()),
                _ => None,
            };
            if endpoint.config.hostnames.is_empty() {
                table.any.add(&endpoint, policy(None));
            }
            for host in &endpoint.config.hostnames {
                let policy = policy(Some(host));
                let paths = match host {
                    HostPattern::Exact(name) => table.exact.entry(name.clone()),
                    HostPattern::Wildcard(name) => table.wildcard.entry(name.clone()),
                };
                paths.or_default().add(&endpoint, policy);
            }
        }
        table
    }

    /// The policies of a TLS socket.
    pub(super) fn policies(&self) -> Option<&Policies> {
        self.policies.as_ref()
    }

    /// Whether a PROXY header of this peer counts for any service.
    pub(super) fn reads_header_of(&self, peer: SocketAddr) -> bool {
        self.trust.iter().any(|trust| trust.header_of(peer))
    }

    /// Whether a PROXY header of this peer counts for every service, and so for what they share.
    pub(super) fn believes_header_of(&self, peer: SocketAddr) -> bool {
        !self.plain && self.trust.iter().all(|trust| trust.header_of(peer))
    }

    /// `readHeaderTimeout` of a socket that is one service's alone.
    pub(super) fn read_header_timeout(&self) -> Option<Duration> {
        self.single.as_ref().and_then(|endpoint| endpoint.config.read_header_timeout)
    }

    /// The policy of a handshake, and how a request under it is answered: which listener gets it, and
    /// whether it is not 421. For tests of what the engine's plan lets come to that.
    #[cfg(test)]
    pub(crate) fn answers(
        &self,
        name: Option<&str>,
        (host, path): (&str, &str),
    ) -> (Option<TlsServer>, Option<(WsListenerConfig, bool)>) {
        let shown = self.policies.as_ref().map(|policies| policies.pick(name).clone());
        let found = self.find(host, path).map(|found| {
            let directed = match (&found.policy, &shown) {
                (Some(policy), Some(shown)) => policy.is(shown),
                _ => true,
            };
            (found.endpoint.config.clone(), directed)
        });
        (shown, found)
    }

    /// The service for a Host header (with or without port) and a decoded path.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<&Arc<Found>> {
        if is_unclean(path) {
            return None;
        }
        let name = name_of(host);
        let exact = self.exact.get(&name);
        let wildcard = name.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest));
        [exact, wildcard, Some(&self.any)].into_iter().flatten().find_map(|paths| paths.find(path))
    }
}

impl Paths {
    fn add(&mut self, endpoint: &Arc<Endpoint>, policy: Option<TlsServer>) {
        let path = &endpoint.config.path;
        let map = if path.is_subtree() { &mut self.subtrees } else { &mut self.exact };
        map.entry(path.0.clone())
            .or_insert_with(|| Arc::new(Found { endpoint: endpoint.clone(), policy }));
        if path.is_subtree()
            && let Err(at) = self.lengths.binary_search_by(|n| path.0.len().cmp(n))
        {
            self.lengths.insert(at, path.0.len());
        }
    }

    fn find(&self, path: &str) -> Option<&Arc<Found>> {
        let subtree = |n: &usize| path.get(..*n).and_then(|head| self.subtrees.get(head));
        self.exact.get(path).or_else(|| self.lengths.iter().find_map(subtree))
    }
}

/// The host's name: without port and trailing dot, in lower case.
fn name_of(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        // "[::1]:80", "name:80", but not "[::1]".
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{WsListenerConfig, WsPath};
    use crate::io::{Accept, Inbound};
    use std::collections::BTreeMap;

    struct Nobody;

    impl Accept for Nobody {
        fn accept(&self, _: Inbound) {}

        fn session(self: Arc<Self>, _: std::net::SocketAddr) -> Option<Arc<dyn Accept>> {
            Some(self)
        }

        fn surroundings(&self) -> crate::io::Surroundings {
            unreachable!("nothing is multiplexed here")
        }
    }

    fn endpoint(hosts: &[&str], path: &str, name: &str) -> WsEndpoint {
        let hostnames = hosts.iter().map(|host| match host.strip_prefix("*.") {
            Some(rest) => HostPattern::Wildcard(rest.into()),
            None => HostPattern::Exact((*host).into()),
        });
        let config = WsListenerConfig {
            hostnames: hostnames.collect(),
            path: WsPath(path.into()),
            header: BTreeMap::from([("Name".into(), name.into())]),
            ..Default::default()
        };
        WsEndpoint { config, accept: Arc::new(Nobody), tls: None, first: true }
    }

    fn found<'a>(table: &'a WsTable, host: &str, path: &str) -> &'a str {
        table.find(host, path).map_or("-", |found| &found.endpoint.config.header["Name"])
    }

    #[test]
    fn the_most_specific_host_and_path_wins() {
        let table = WsTable::build(
            vec![
                endpoint(&[], "/ws", "any"),
                endpoint(&["a.example.com"], "/ws", "exact"),
                endpoint(&["*.example.com"], "/ws", "wildcard"),
                endpoint(&["*.example.com"], "/sub/", "subtree"),
                endpoint(&["*.example.com"], "/sub/deeper/", "deeper"),
                endpoint(&["*.example.com"], "/sub/deeper/x", "leaf"),
            ],
            None,
        );
        for (host, path, name) in [
            ("a.example.com", "/ws", "exact"),
            ("A.Example.COM.:8080", "/ws", "exact"),
            ("b.example.com:80", "/ws", "wildcard"),
            ("a.b.example.com", "/ws", "any"),
            ("example.com", "/ws", "any"),
            ("[::1]:80", "/ws", "any"),
            ("[::1]", "/ws", "any"),
            ("", "/ws", "any"),
            ("a.example.com", "/sub/", "subtree"),
            ("a.example.com", "/sub/y", "subtree"),
            ("a.example.com", "/sub/deeper/y", "deeper"),
            ("a.example.com", "/sub/deeper/x", "leaf"),
            ("a.example.com", "/sub", "-"),
            ("a.example.com", "/WS", "-"),
            ("a.example.com", "/ws/", "-"),
            ("a.example.com", "/sub/../ws", "-"),
            ("a.example.com", "/sub//y", "-"),
            ("a.example.com", "/sub%2Fy", "-"),
        ] {
            assert_eq!(found(&table, host, path), name, "{host} {path}");
        }
    }

    #[test]
    fn a_thousand_services_are_found_by_their_paths() {
        let paths = (0..1000).map(|i| endpoint(&[], &format!("/t{i}/ws"), &i.to_string()));
        let table = WsTable::build(paths.collect(), None);
        for i in 0..1000 {
            assert_eq!(found(&table, "h", &format!("/t{i}/ws")), i.to_string());
        }
    }
}
