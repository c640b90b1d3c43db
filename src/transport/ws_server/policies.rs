//! Which certificate, client CA and options a handshake runs under.
//!
//! A policy belongs to a host: a service that has none of its own inherits that of its host. The
//! server name picks it before Host and path are known, so a request whose service has another one
//! than its handshake is answered 421 (RFC 9110 section 15.5.20): nobody comes to a service with a
//! client CA through the name of another one.

use std::collections::HashMap;

use super::WsEndpoint;
use crate::config::model::{HostPattern, WsListenerConfig};
use crate::net::tls::TlsServer;

/// The policies of one socket by host.
pub(super) struct Policies {
    exact: HashMap<String, TlsServer>,
    wildcard: HashMap<String, TlsServer>,
    any: Option<TlsServer>,
    /// For names that no service has, and clients that send none, as gost for an IP address: that of
    /// services for any host; else the socket's own; else one that asks nobody for a certificate,
    /// rather one that no service chose; else the first. Whatever it is, a request for another one is
    /// 421.
    default: TlsServer,
}

impl Policies {
    /// The policies of a socket's services; `None` if it is a plain one. Two services of one host
    /// have the same policy, or one of them has none of its own: the engine's plan sees to it.
    ///
    /// With `unowned` it is a TLS one even without services, and what names nobody has does not
    /// depend on who is there: a tenant that comes must not change what another's clients see.
    pub(super) fn build(endpoints: &[WsEndpoint], unowned: Option<TlsServer>) -> Option<Self> {
        let all = || endpoints.iter().filter_map(|e| Some((&e.config, e.tls.as_ref()?, e.first)));
        let firsts = || endpoints.iter().filter(|e| e.first).filter_map(|e| e.tls.as_ref());
        let some = || firsts().next().or_else(|| all().next().map(|(_, tls, _)| tls));
        let first = unowned.as_ref().or_else(some)?;
        let mut policies = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            any: None,
            default: first.clone(),
        };
        // Those with a policy of their own come first, so that the others inherit it, and those that
        // the default is of, so that no newcomer stands for them.
        let mut open = None;
        for (own, first) in [(true, true), (true, false), (false, true), (false, false)] {
            let is = |config: &WsListenerConfig| config.tls.as_ref().map(|tls| tls.is_own());
            for (config, tls, _) in all().filter(|(c, _, of)| is(c) == Some(own) && *of == first) {
                let asks = config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
                let given = policies.own(config, tls);
                if given && first && !asks && (open.is_none() || !own) {
                    open = Some(tls);
                }
            }
        }
        let open = unowned.as_ref().or(open);
        policies.default = policies.any.as_ref().or(open).unwrap_or(first).clone();
        Some(policies)
    }

    /// Gives hosts that have no policy this one; whether there were any.
    fn own(&mut self, config: &WsListenerConfig, tls: &TlsServer) -> bool {
        let mut given = false;
        let mut give = || {
            given = true;
            tls.clone()
        };
        if config.hostnames.is_empty() {
            self.any.get_or_insert_with(&mut give);
        }
        for host in &config.hostnames {
            let entry = match host {
                HostPattern::Exact(name) => self.exact.entry(name.clone()),
                HostPattern::Wildcard(name) => self.wildcard.entry(name.clone()),
            };
            entry.or_insert_with(&mut give);
        }
        given
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::model::{ServerTls, WsPath};
    use crate::io::{Accept, Inbound, Surroundings};
    use crate::net::tls::tests::Authority;

    struct Nobody;

    impl Accept for Nobody {
        fn accept(&self, _: Inbound) {}

        fn session(self: Arc<Self>, _: std::net::SocketAddr) -> Option<Arc<dyn Accept>> {
            None
        }

        fn surroundings(&self) -> Surroundings {
            unreachable!("nobody comes")
        }
    }

    /// A service of one host, or of any.
    fn endpoint(host: &str, tls: &ServerTls) -> WsEndpoint {
        let hostnames =
            if host.is_empty() { vec![] } else { vec![HostPattern::Exact(host.into())] };
        let config = WsListenerConfig {
            hostnames,
            path: WsPath("/ws".into()),
            tls: Some(Arc::new(tls.clone())),
            ..Default::default()
        };
        let tls = Some(TlsServer::build(tls).unwrap());
        WsEndpoint { config, accept: Arc::new(Nobody), tls, first: true }
    }

    #[test]
    fn a_client_without_a_name_is_asked_for_no_certificate_where_a_service_asks_for_none() {
        let ca = Authority::new();
        let of = |name: &str, client_ca| ServerTls {
            certificate: Some(ca.sign(name)),
            client_ca,
            ..Default::default()
        };
        let closed = endpoint("a.test", &of("a.test", Some(ca.pem())));
        let (open, bare) =
            (endpoint("b.test", &of("b.test", None)), endpoint("c.test", &ServerTls::default()));
        let any = endpoint("", &of("d.test", Some(ca.pem())));
        let tls = |endpoint: &WsEndpoint| endpoint.tls.clone().unwrap();
        let (of_closed, of_open, of_bare, of_any) =
            (tls(&closed), tls(&open), tls(&bare), tls(&any));
        let copy = |endpoint: &WsEndpoint| WsEndpoint {
            config: endpoint.config.clone(),
            accept: Arc::new(Nobody),
            tls: endpoint.tls.clone(),
            first: true,
        };
        for (endpoints, default) in [
            (vec![copy(&closed)], &of_closed),
            (vec![copy(&closed), copy(&open)], &of_open),
            (vec![copy(&closed), copy(&open), copy(&bare)], &of_bare),
            (vec![copy(&closed), copy(&open), copy(&any)], &of_any),
        ] {
            let policies = Policies::build(&endpoints, None).unwrap();
            for name in [None, Some("unknown.test")] {
                assert!(policies.pick(name).is(default), "{} services", endpoints.len());
            }
            assert!(policies.pick(Some("a.test")).is(&of_closed));
        }
    }
}
