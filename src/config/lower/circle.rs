//! Services that lead to their own address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::base::{Host, ListenAddr, Target};
use crate::config::error::Findings;
use crate::config::model::{DialerConfig, ListenerConfig, NodeConfig, ServiceConfig};

/// Refuses a service whose target or first node is the address that it listens on: its first client
/// would open connections without end. What leads back by another address shows when it is dialled.
pub(super) fn check(config: &ServiceConfig, path: &str, findings: &mut Findings) {
    let own = |target: &Target| is_own(&config.listen, target);
    let instead = |what: &str| {
        format!(
            "{what} is the address of this service itself, so that each connection would open another one: write another address"
        )
    };
    if let Some(hop) = config.chain.hops.first() {
        let back = hop.nodes.iter().find(|node| own(&node.addr) && is_answered(config, node));
        if let Some(node) = back {
            let what = format!("{} of node {:?} of hop {:?}", node.addr, node.name, hop.name);
            findings.invalid(&format!("{path}.handler.chain"), instead(&what));
        }
        return;
    }
    // A WebSocket listener waits for a handshake, which a forwarded stream need not be.
    let is_plain = matches!(config.listener, ListenerConfig::Tcp(_) | ListenerConfig::Udp(_));
    let nodes = config.handler.forward().into_iter().flat_map(|forward| &forward.nodes);
    if let Some(node) = nodes.into_iter().find(|node| is_plain && own(&node.target)) {
        findings.invalid(&format!("{path}.forwarder"), instead(&node.target.to_string()));
    }
}

/// Whether the service would take what comes by this node as a client's.
fn is_answered(config: &ServiceConfig, node: &NodeConfig) -> bool {
    match (&config.listener, &node.dialer) {
        (ListenerConfig::Tcp(_), DialerConfig::Tcp { .. }) => true,
        (ListenerConfig::Ws(listener), DialerConfig::Ws(dialer)) => {
            dialer.path.split('?').next() == Some(&*listener.path.0)
        }
        _ => false,
    }
}

/// Whether a target is where the service listens, as far as the addresses say.
fn is_own(listen: &ListenAddr, target: &Target) -> bool {
    if listen.port == 0 || listen.port != target.port {
        return false;
    }
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let is_here = |ip: IpAddr| match &listen.host {
        None => ip.is_loopback() || ip.is_unspecified(),
        Some(Host::Ip(own)) => *own == ip || own.is_unspecified() && ip.is_loopback(),
        Some(Host::Name(_)) => false,
    };
    match &target.host {
        None => loopback.into_iter().any(is_here),
        Some(Host::Ip(ip)) => is_here(ip.to_canonical()),
        Some(Host::Name(name)) if name.eq_ignore_ascii_case("localhost") => {
            loopback.into_iter().any(is_here)
        }
        Some(name) => listen.host.as_ref() == Some(name),
    }
}
