//! Hosts and resolvers: how names become addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::references::Named;
use super::{LowerContext, Mode, addr, duration, file};
use crate::base::{Host, Reason, Target};
use crate::config::defaults;
use crate::config::error::Findings;
use crate::config::model::{Hosts, Nameserver, Prefer, ResolverConfig};
use crate::config::raw;

/// `hosts`.
pub(super) fn hosts(
    config: &raw::Config,
    context: &LowerContext,
    findings: &mut Findings,
) -> Named<Arc<Hosts>> {
    let mut named = Named::new("entry of hosts");
    for (i, hosts) in config.hosts.iter().enumerate() {
        let path = format!("hosts[{i}]");
        let lowered = lower_hosts(hosts, &path, context, findings);
        named.add(&hosts.name, lowered.map(Arc::new), &path, findings);
    }
    named
}

fn lower_hosts(
    hosts: &raw::Hosts,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Hosts> {
    let errors = findings.errors.len();
    file::reload(hosts.reload.as_ref(), path, findings);
    let mut map = BTreeMap::new();
    for (i, mapping) in hosts.mappings.iter().enumerate() {
        let path = format!("{path}.mappings[{i}]");
        let report = |key: &str, message, findings: &mut Findings| {
            findings.invalid(&format!("{path}.{key}"), message);
        };
        let ip = match mapping.ip.trim().parse::<IpAddr>() {
            Ok(ip) => ip,
            Err(_) => {
                report("ip", format!("{:?} is not an IP address", mapping.ip), findings);
                continue;
            }
        };
        if let Err(message) = add(&mut map, &mapping.hostname, ip) {
            report("hostname", message, findings);
        }
        // GOST's parser forgets them.
        for (i, alias) in mapping.aliases.iter().enumerate() {
            if let Err(message) = add(&mut map, alias, ip) {
                report(&format!("aliases[{i}]"), message, findings);
            }
        }
    }
    let lines = file::lines(hosts.file.as_ref(), path, context, findings);
    for (number, line) in lines.unwrap_or_default() {
        let mut words = file::uncommented(&line).split_whitespace();
        let first = words.next().unwrap_or_default();
        let added = match first.parse::<IpAddr>() {
            Ok(ip) => words.try_for_each(|name| add(&mut map, name, ip)),
            Err(_) => Err(format!("{first:?} is not an IP address")),
        };
        if let Err(message) = added {
            findings.invalid(&format!("{path}.file.path"), format!("line {number}: {message}"));
        }
    }
    (findings.errors.len() == errors).then_some(Hosts(map))
}

fn add(map: &mut BTreeMap<String, Vec<IpAddr>>, name: &str, ip: IpAddr) -> Result<(), String> {
    let lower = name.trim().trim_end_matches('.').to_ascii_lowercase();
    match lower.strip_prefix('.').unwrap_or(&lower).parse() {
        Ok(Host::Name(_)) => {}
        _ => return Err(format!("{name:?} is not a host name")),
    }
    let ips = map.entry(lower).or_default();
    if !ips.contains(&ip) {
        ips.push(ip);
    }
    Ok(())
}

/// `resolvers`.
pub(super) fn resolvers(
    config: &raw::Config,
    context: &LowerContext,
    findings: &mut Findings,
) -> Named<Arc<ResolverConfig>> {
    let mut named = Named::new("resolver");
    for (i, resolver) in config.resolvers.iter().enumerate() {
        let path = format!("resolvers[{i}]");
        let nameservers = resolver.nameservers.iter().enumerate().map(|(i, nameserver)| {
            let path = format!("{path}.nameservers[{i}]");
            lower_nameserver(nameserver, &path, context, findings)
        });
        let lowered: Vec<_> = nameservers.collect();
        let nameservers: Option<Vec<_>> = lowered.into_iter().collect();
        if resolver.nameservers.is_empty() {
            let message = "the resolver has no nameservers; it needs one";
            findings.invalid(&format!("{path}.nameservers"), message);
        }
        let config = nameservers.map(|nameservers| Arc::new(ResolverConfig { nameservers }));
        named.add(&resolver.name, config, &path, findings);
    }
    named
}

fn lower_nameserver(
    nameserver: &raw::Nameserver,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Nameserver> {
    let errors = findings.errors.len();
    let addr = nameserver_addr(&nameserver.addr, &format!("{path}.addr"), context, findings);
    let prefer = prefer(nameserver, path, findings);
    let mut positive = |text: &Option<String>, key: &str| {
        let text = text.as_ref()?;
        duration(text, &format!("{path}.{key}"), findings).filter(|d| !d.is_zero())
    };
    let timeout = positive(&nameserver.timeout, "timeout");
    let ttl = match &nameserver.ttl {
        // GOST: negative is never, zero is as the answer says.
        Some(text) if text.starts_with('-') => {
            positive(&Some(text.trim_start_matches('-').into()), "ttl").map(|_| Duration::ZERO)
        }
        ttl => positive(ttl, "ttl"),
    };
    let (addr, tcp) = addr?;
    let timeout = timeout.unwrap_or(defaults::NAMESERVER_TIMEOUT);
    let nameserver = Nameserver { addr, tcp, prefer, timeout, ttl };
    (findings.errors.len() == errors).then_some(nameserver)
}

fn nameserver_addr(
    text: &str,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<(Target, bool)> {
    let (scheme, rest) = text.trim().split_once("://").unwrap_or(("udp", text.trim()));
    let tcp = match scheme {
        "udp" => false,
        "tcp" => true,
        "tls" | "dot" | "https" | "http" | "quic" | "dtls" => {
            let message = format!(
                "name servers over {scheme} are not supported in this version; supported: udp, tcp"
            );
            findings.unsupported(path, message);
            return None;
        }
        other => {
            findings.invalid(path, format!("unknown scheme {other:?}; write udp or tcp"));
            return None;
        }
    };
    let parsed = match rest.parse::<IpAddr>() {
        Ok(ip) => Some(Target { host: Some(Host::Ip(ip)), port: defaults::DNS_PORT }),
        Err(_) => Target::parse(rest, Some(defaults::DNS_PORT)).ok(),
    };
    let Some(target @ Target { host: Some(Host::Ip(_)), .. }) = parsed else {
        let message = format!(
            "{text:?} is not the IP address of a name server; a name would have to be resolved \
             first"
        );
        findings.invalid(path, message);
        return None;
    };
    if context.mode == Mode::Controller && addr::is_loopback(&target) {
        let message = format!("{target} is the controller's own loopback interface");
        findings.error(path, Reason::LoopbackTarget, message);
        return None;
    }
    Some((target, tcp))
}

fn prefer(nameserver: &raw::Nameserver, path: &str, findings: &mut Findings) -> Prefer {
    let mut v6 = |text: &str, key: &str| match text.to_ascii_lowercase().as_str() {
        "" => None,
        "ipv4" | "ip4" => Some(false),
        "ipv6" | "ip6" => Some(true),
        _ => {
            findings.invalid(&format!("{path}.{key}"), format!("{text:?}: write ipv4 or ipv6"));
            None
        }
    };
    match (v6(&nameserver.only, "only"), v6(&nameserver.prefer, "prefer")) {
        (Some(false), _) => Prefer::Ipv4Only,
        (Some(true), _) => Prefer::Ipv6Only,
        (None, Some(true)) => Prefer::Ipv6First,
        (None, _) => Prefer::Ipv4First,
    }
}
