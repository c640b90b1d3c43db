//! From a name to addresses.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::NetError;

use crate::base::Origin;
use crate::config::model::{Hosts, Names};

mod servers;

use servers::Servers;

/// How short names are completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// As /etc/resolv.conf says.
    System,
    /// As a pod in the origin's namespace would, whatever the search path of our own pod is:
    /// a name with at most one dot as `<name>.<namespace>.svc.<domain>`, then `<name>.svc.<domain>`,
    /// then as it is; a name that ends in `.svc` gets the domain.
    Cluster {
        /// The cluster domain, `cluster.local` as a rule.
        domain: String,
    },
}

/// Resolves names: /etc/hosts, then the servers of /etc/resolv.conf. It does not use the C library
/// (a static binary has no NSS).
#[derive(Clone)]
pub struct Resolver {
    dns: Option<Arc<TokioResolver>>,
    search: Search,
    servers: Arc<Servers>,
}

impl Resolver {
    /// Reads /etc/resolv.conf and /etc/hosts. Must be called within a tokio runtime. Without a
    /// usable /etc/resolv.conf only names of /etc/hosts resolve.
    pub fn new(search: Search) -> Self {
        let dns = TokioResolver::builder_tokio().and_then(|mut builder| {
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            builder.build()
        });
        let dns = dns
            .map_err(|e| tracing::warn!(error = %e, "no DNS: /etc/resolv.conf is not usable"))
            .ok()
            .map(Arc::new);
        Self { dns, search, servers: Arc::default() }
    }

    /// The addresses of a name, at least one: `hosts` first, then `resolver` instead of the
    /// system's names if there is one.
    ///
    /// # Errors
    /// The resolver's words.
    pub async fn resolve(
        &self,
        origin: &Origin,
        names: &Names,
        name: &str,
    ) -> Result<Vec<IpAddr>, String> {
        if let Some(found) = names.hosts.as_ref().and_then(|hosts| mapped(hosts, name)) {
            return Ok(found.to_vec());
        }
        match &names.resolver {
            Some(config) => self.servers.resolve(config, name).await,
            None => self.by_system(origin, name).await,
        }
    }

    async fn by_system(&self, origin: &Origin, name: &str) -> Result<Vec<IpAddr>, String> {
        // Read anew: it is small, and a user who edits it expects it to count.
        let hosts = tokio::fs::read_to_string("/etc/hosts").await.unwrap_or_default();
        let mut last = "there is no DNS server".to_string();
        for candidate in candidates(&self.search, origin, name) {
            let plain = candidate.trim_end_matches('.');
            let found = in_hosts(&hosts, plain);
            if !found.is_empty() {
                return Ok(found);
            }
            if plain.eq_ignore_ascii_case("localhost") {
                return Ok(vec![[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()]);
            }
            let Some(dns) = &self.dns else { continue };
            match dns.lookup_ip(candidate.as_str()).await {
                Ok(found) if found.iter().next().is_some() => return Ok(found.iter().collect()),
                Ok(_) => last = "the name has no address".into(),
                Err(e) => last = told(&e),
            }
        }
        Err(last)
    }
}

/// What `hosts` say: the name itself, then `.suffix` for it and the names above it, the longest
/// first.
fn mapped<'h>(hosts: &'h Hosts, name: &str) -> Option<&'h [IpAddr]> {
    let name = name.trim_end_matches('.').to_lowercase();
    let known = |name: &str| hosts.0.get(name).filter(|ips| !ips.is_empty()).map(Vec::as_slice);
    let above = name.match_indices('.').filter_map(|(at, _)| name.get(at..));
    known(&name)
        .or_else(|| known(&format!(".{name}")))
        .or_else(|| above.into_iter().find_map(known))
}

fn told(error: &NetError) -> String {
    if error.is_no_records_found() { "no such name".into() } else { error.to_string() }
}

/// The names to try, in order. A trailing dot keeps the resolver's own search path out.
fn candidates(search: &Search, origin: &Origin, name: &str) -> Vec<String> {
    let Search::Cluster { domain } = search else { return vec![name.to_string()] };
    let plain = name.trim_end_matches('.');
    let as_it_is = format!("{plain}.");
    if name.ends_with('.') {
        return vec![as_it_is];
    }
    if plain.ends_with(".svc") {
        return vec![format!("{plain}.{domain}.")];
    }
    if plain.matches('.').count() > 1 {
        return vec![as_it_is];
    }
    let mut names = vec![format!("{plain}.svc.{domain}."), as_it_is];
    if !origin.namespace().is_empty() {
        names.insert(0, format!("{plain}.{}.svc.{domain}.", origin.namespace()));
    }
    names
}

/// The addresses that a hosts(5) text gives a name.
pub(super) fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(ip) = words.next().and_then(|word| word.parse().ok()) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(name: &str) -> Vec<String> {
        let search = Search::Cluster { domain: "cluster.local".into() };
        candidates(&search, &Origin::tunnel("team", "t"), name)
    }

    #[test]
    fn short_names_are_completed_as_a_pod_of_the_namespace_would() {
        assert_eq!(tried("db"), ["db.team.svc.cluster.local.", "db.svc.cluster.local.", "db."]);
        assert_eq!(
            tried("db.other"),
            ["db.other.team.svc.cluster.local.", "db.other.svc.cluster.local.", "db.other."]
        );
        assert_eq!(tried("db.other.svc"), ["db.other.svc.cluster.local."]);
        assert_eq!(tried("www.example.com"), ["www.example.com."]);
        assert_eq!(tried("db."), ["db."]);
    }

    #[tokio::test]
    async fn hosts_come_before_every_resolver() {
        let ips = |last: u8| vec![IpAddr::from([10, 0, 0, last])];
        let hosts = [("db", 1), (".corp", 2), (".a.corp", 3)];
        let hosts = hosts.map(|(name, last)| (name.to_string(), ips(last))).into();
        let names = Names { hosts: Some(Arc::new(Hosts(hosts))), resolver: None };
        let resolver = Resolver { dns: None, search: Search::System, servers: Arc::default() };
        for (name, last) in [("DB", 1), ("corp", 2), ("x.y.corp.", 2), ("x.a.corp", 3)] {
            let found = resolver.resolve(&Origin::Files, &names, name).await;
            assert_eq!(found, Ok(ips(last)), "{name}");
        }
        assert!(resolver.resolve(&Origin::Files, &names, "xcorp").await.is_err());
    }

    #[test]
    fn the_hosts_file_is_read() {
        let text = "127.0.0.1 localhost\n10.0.0.9  db DB.corp # a comment\n::9 db\nbad line\n";
        assert_eq!(in_hosts(text, "db").len(), 2);
        assert_eq!(in_hosts(text, "db.corp").len(), 1);
        assert!(in_hosts(text, "comment").is_empty());
    }
}
