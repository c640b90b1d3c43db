//! Which certificate, client CA and options a handshake runs under.
//!
//! A policy belongs to a host: a service that has none of its own inherits that of its host. The
//! server name picks it before Host and path are known, so a request whose service has another one
//! than its handshake is answered 421 (RFC 9110 section 15.5.20): nobody comes to a service with a
//! client CA through the name of another one.

use std::collections::HashMap;

use super::WsEndpoint;
use crate::config::model::HostPattern;
use crate::net::tls::TlsServer;

/// The policies of one socket by host.
pub(super) struct Policies {
    exact: HashMap<String, TlsServer>,
    wildcard: HashMap<String, TlsServer>,
    any: Option<TlsServer>,
    /// For names that no service has, and clients that send none, as gost for an IP address.
    default: TlsServer,
}

impl Policies {
    /// The policies of a socket's services; `None` if it is a plain one. Two services of one host
    /// have the same policy, or one of them has none of its own: the engine's plan sees to it.
    pub(super) fn build(endpoints: &[WsEndpoint]) -> Option<Self> {
        let all = || endpoints.iter().filter_map(|e| Some((&e.config, e.tls.as_ref()?)));
        let (_, first) = all().next()?;
        let mut policies = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            any: None,
            default: first.clone(),
        };
        // Those with a policy of their own come first, so that the others inherit it.
        let own = |own| {
            all().filter(move |(config, _)| {
                config.tls.as_ref().is_some_and(|tls| tls.is_own() == own)
            })
        };
        for (config, tls) in own(true).chain(own(false)) {
            if config.hostnames.is_empty() {
                policies.any.get_or_insert_with(|| tls.clone());
            }
            for host in &config.hostnames {
                let entry = match host {
                    HostPattern::Exact(name) => policies.exact.entry(name.clone()),
                    HostPattern::Wildcard(name) => policies.wildcard.entry(name.clone()),
                };
                entry.or_insert_with(|| tls.clone());
            }
        }
        policies.default = policies.default_of(own(false).map(|(_, tls)| tls).next(), first);
        Some(policies)
    }

    /// That of services for any host; the only one; one that asks nobody for a certificate, if there
    /// is one; else the first. Whatever it is, a request for another one is 421.
    fn default_of(&self, unowned: Option<&TlsServer>, first: &TlsServer) -> TlsServer {
        let mut all = self.exact.values().chain(self.wildcard.values());
        let only = all.all(|policy| policy.is(first)).then_some(first);
        self.any.as_ref().or(only).or(unowned).unwrap_or(first).clone()
    }

    /// The policy for a server name.
    pub(super) fn pick(&self, name: Option<&str>) -> &TlsServer {
        name.and_then(|name| {
            let parent = name.split_once('.').map(|(_, parent)| parent);
            self.exact.get(name).or_else(|| self.wildcard.get(parent?))
        })
        .unwrap_or(&self.default)
    }

    /// The policy of a service's host: its own, or the one that it inherits.
    pub(super) fn of(&self, host: Option<&HostPattern>) -> &TlsServer {
        let found = match host {
            None => self.any.as_ref(),
            Some(HostPattern::Exact(name)) => self.exact.get(name),
            Some(HostPattern::Wildcard(name)) => self.wildcard.get(name),
        };
        found.unwrap_or(&self.default)
    }
}
