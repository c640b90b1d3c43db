//! Addresses: where a tenant may listen and dial.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{LowerContext, Mode};
use crate::base::addr::AddrError;
use crate::base::{Host, ListenAddr, Reason, Target};
use crate::config::error::Findings;

pub(super) fn listen(text: &str) -> Result<ListenAddr, AddrError> {
    text.trim().parse()
}

/// `services[].addr`.
pub(super) fn lower_listen(
    text: &str,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<ListenAddr> {
    // It would listen on a port that nobody knows.
    if text.trim().is_empty() {
        let message = "the address is missing: write \":8080\", or \":0\" for any free port";
        findings.invalid(path, message);
        return None;
    }
    let addr = listen(text).map_err(|e| findings.invalid(path, e.to_string())).ok()?;
    if context.mode == Mode::Controller && addr.host.is_some() {
        findings.invalid(path, format!("write \":{}\"; the host is the controller's", addr.port));
        return None;
    }
    if context.mode == Mode::Controller && addr.port == 0 {
        findings.invalid(path, "write a port, for example \":8080\"");
        return None;
    }
    Some(addr)
}

/// An address to dial from here: a forwarder's target, the first node of a chain.
pub(super) fn lower_target(
    text: &str,
    path: &str,
    context: &LowerContext,
    loopback_ports: &BTreeSet<u16>,
    findings: &mut Findings,
) -> Option<Target> {
    let target = parse_target(text, path, findings)?;
    may_dial(&target, path, context, loopback_ports, findings).then_some(target)
}

/// Whether an address may be dialled from here; an error if not.
pub(super) fn may_dial(
    target: &Target,
    path: &str,
    context: &LowerContext,
    loopback_ports: &BTreeSet<u16>,
    findings: &mut Findings,
) -> bool {
    let own = loopback_ports.contains(&target.port);
    if context.mode == Mode::Controller && is_loopback(target) && !own {
        let message = format!(
            "{target} is the controller's own loopback interface; name a Service, or the port of \
             a tcp listener of this object that is not shared by all tunnels"
        );
        findings.error(path, Reason::LoopbackTarget, message);
        return false;
    }
    true
}

/// An address that someone else dials: a node behind another one.
pub(super) fn parse_target(text: &str, path: &str, findings: &mut Findings) -> Option<Target> {
    if text.is_empty() {
        findings.invalid(path, "the address is missing; write host:port");
        return None;
    }
    text.parse().map_err(|e: AddrError| findings.invalid(path, e.to_string())).ok()
}

/// Whether an address is, by its text, this machine. Names that resolve to it are the guard's.
pub(super) fn is_loopback(target: &Target) -> bool {
    match &target.host {
        None => true,
        Some(Host::Name(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ip(ip)) => is_loopback_ip(*ip),
    }
}

fn is_loopback_ip(ip: IpAddr) -> bool {
    let embedded = match ip {
        IpAddr::V4(_) => None,
        // ::ffff:a.b.c.d, ::a.b.c.d and 64:ff9b::a.b.c.d lead to the IPv4 address that they hold.
        IpAddr::V6(v6) => match v6.octets() {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 | 0xff, 0 | 0xff, a, b, c, d]
            | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => Some([a, b, c, d]),
            _ => None,
        },
    };
    let v4 = embedded.map(IpAddr::from);
    ip.is_loopback()
        || ip.is_unspecified()
        || v4.is_some_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_this_machine_is_recognised() {
        for text in [
            ":80",
            "127.0.0.1:80",
            "127.9.9.9:80",
            "[::1]:80",
            "0.0.0.0:80",
            "[::]:80",
            "localhost:80",
            "LocalHost.:80",
            "a.localhost:80",
            "[::ffff:127.0.0.1]:80",
            "[::ffff:0.0.0.0]:80",
            "[64:ff9b::127.0.0.1]:80",
            "[::127.0.0.1]:80",
        ] {
            assert!(is_loopback(&text.parse().unwrap()), "{text}");
        }
        for text in ["10.0.0.1:80", "example.com:80", "[2001:db8::1]:80", "[::ffff:10.0.0.1]:80"] {
            assert!(!is_loopback(&text.parse().unwrap()), "{text}");
        }
    }
}
