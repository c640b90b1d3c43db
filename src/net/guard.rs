//! The egress guard: which resolved addresses a tunnel may connect to.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use parking_lot::RwLock;

use crate::base::embedded::reached;
use crate::base::{Network, Origin};
use crate::config::model::Terms;

/// Why an address is not allowed. A closed set: it labels `adit_egress_denied_total{reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denied {
    /// 127.0.0.0/8, ::1.
    Loopback,
    /// 0.0.0.0/8, ::.
    Unspecified,
    /// 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// Addresses where clouds hand out credentials.
    Metadata,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// A pod of the installation, or its host.
    Own,
    /// A Service that leads to one of these, or to the API server.
    Service,
    /// The operator's list.
    Listed,
    /// `egress.deny` of the tunnel's class.
    Class,
    /// Private, where the tunnel's class says `denyPrivate`.
    Private,
}

impl Denied {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Unspecified => "unspecified",
            Self::LinkLocal => "link_local",
            Self::Metadata => "metadata",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Own => "own",
            Self::Service => "service",
            Self::Listed => "listed",
            Self::Class => "class",
            Self::Private => "private",
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Unspecified => "an unspecified address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud's metadata service",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Own => "an address of the controller's own pods or their hosts",
            Self::Service => {
                "a Service whose endpoints are the API server, or the controller's own pods or hosts"
            }
            Self::Listed => "the API server, or denied by the flags of the process",
            Self::Class => "denied by the tunnel's class",
            Self::Private => "a private address, which the tunnel's class denies",
        })
    }
}

/// What the guard of a controller adds to its fixed rules.
#[derive(Clone, Debug, Default)]
pub struct GuardConfig {
    /// Lifts denials (`--allow-egress`).
    pub allow: Vec<IpNet>,
    /// Denied besides the fixed rules (`--deny-egress`, the API server).
    pub deny: Vec<IpNet>,
    /// Addresses of this pod and its host.
    pub own: Vec<IpAddr>,
}

/// Decides on resolved addresses.
#[derive(Debug, Default)]
pub struct Guard {
    /// `None` allows everything.
    config: Option<GuardConfig>,
    local: LocalPorts,
    classes: Classes,
    surroundings: Surroundings,
}

impl Guard {
    /// Allows everything: files, the command line, the sidecar. The user's own machine, or pod.
    pub fn off() -> Self {
        Self::default()
    }

    /// A controller's guard: tenants must not reach what only the controller's place can reach.
    pub fn controller(config: GuardConfig) -> Self {
        Self { config: Some(config), ..Self::default() }
    }

    /// Whether anything is forbidden at all.
    pub fn is_on(&self) -> bool {
        self.config.is_some()
    }

    /// The ports that an origin's own listeners have on this machine.
    pub fn local_ports(&self) -> &LocalPorts {
        &self.local
    }

    /// What the classes of origins deny.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// What the process has found out about its place.
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// Whether `origin` may connect to this address.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn check(
        &self,
        origin: &Origin,
        network: Network,
        ip: IpAddr,
        port: u16,
    ) -> Result<(), Denied> {
        let Some(config) = &self.config else { return Ok(()) };
        let plain = reached(ip);
        let allowed = |ip: IpAddr| config.allow.iter().any(|net| net.contains(&ip));
        if allowed(ip) || plain.iter().all(allowed) {
            return Ok(());
        }
        let denied = |plain: IpAddr| match fixed(plain) {
            // A tunnel's own listener is reachable for the tunnel, as in GOST's examples.
            Some(Denied::Loopback) if ip == plain && self.local.has(origin, network, port) => None,
            Some(denied) => Some(denied),
            None if config.own.iter().any(|own| reached(*own).iter().any(|own| own == plain)) => {
                Some(Denied::Own)
            }
            None if config.deny.iter().any(|net| net.contains(&plain) || net.contains(&ip)) => {
                Some(Denied::Listed)
            }
            None => {
                self.surroundings.denies(plain).or_else(|| self.classes.denies(origin, [plain, ip]))
            }
        };
        plain.iter().find_map(denied).map_or(Ok(()), Err)
    }
}

/// Whose listener has which port: `tcp` and `udp` listeners that accept on loopback right now, front
/// ports never.
#[derive(Debug, Default)]
pub struct LocalPorts(RwLock<HashSet<LocalPort>>);

/// A port of a listener, with the listener's origin.
pub type LocalPort = (Origin, Network, u16);

impl LocalPorts {
    /// Says which listeners accept now, on every address or on loopback.
    pub fn replace(&self, ports: HashSet<LocalPort>) {
        *self.0.write() = ports;
    }

    fn has(&self, origin: &Origin, network: Network, port: u16) -> bool {
        self.0.read().contains(&(origin.clone(), network, port))
    }
}

/// The rules of classes, by origin. They only narrow.
#[derive(Debug, Default)]
pub struct Classes(ArcSwap<HashMap<Origin, Arc<Terms>>>);

impl Classes {
    /// Says whose class has which rules, from the next connection on.
    pub fn replace(&self, rules: HashMap<Origin, Arc<Terms>>) {
        self.0.store(Arc::new(rules));
    }

    /// `ips`: the same address in its clothes and without.
    fn denies(&self, origin: &Origin, ips: [IpAddr; 2]) -> Option<Denied> {
        let rules = self.0.load();
        let egress = &rules.get(origin)?.egress;
        let among = |nets: &[IpNet]| nets.iter().any(|net| ips.iter().any(|ip| net.contains(ip)));
        if among(&egress.allow) {
            None
        } else if among(&egress.deny) {
            Some(Denied::Class)
        } else {
            let private = egress.deny_private && ips.into_iter().any(is_private);
            private.then_some(Denied::Private)
        }
    }
}

/// Addresses that are found out while the process runs.
#[derive(Debug, Default)]
pub struct Surroundings(RwLock<Found>);

#[derive(Debug, Default)]
struct Found {
    own: HashSet<IpAddr>,
    api_server: HashSet<IpAddr>,
    services: HashSet<IpAddr>,
}

impl Surroundings {
    /// Says which addresses the installation's Pods and their hosts have, the API server, and Services
    /// that lead to them.
    pub fn replace(&self, own: Vec<IpAddr>, api_server: Vec<IpAddr>, services: Vec<IpAddr>) {
        let plain = |ip: IpAddr| reached(ip).iter().collect::<Vec<_>>();
        let set = |ips: Vec<IpAddr>| ips.into_iter().flat_map(plain).collect();
        *self.0.write() =
            Found { own: set(own), api_server: set(api_server), services: set(services) };
    }

    fn denies(&self, plain: IpAddr) -> Option<Denied> {
        let found = self.0.read();
        if found.own.contains(&plain) {
            return Some(Denied::Own);
        }
        if found.services.contains(&plain) {
            return Some(Denied::Service);
        }
        found.api_server.contains(&plain).then_some(Denied::Listed)
    }
}

/// RFC 1918, RFC 6598 (shared by carriers, and by some clusters for Pods) and RFC 4193.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || matches!(ip.octets(), [100, 64..=127, ..]),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

fn fixed(ip: IpAddr) -> Option<Denied> {
    match ip {
        IpAddr::V4(ip) => match ip.octets() {
            [127, ..] => Some(Denied::Loopback),
            // All of 0.0.0.0/8 is "this host" (RFC 1122 3.2.1.3); Linux connects 0.0.0.0 to itself.
            [0, ..] => Some(Denied::Unspecified),
            [169, 254, 169, 254] => Some(Denied::Metadata),
            [169, 254, ..] => Some(Denied::LinkLocal),
            // Alibaba, Azure, Oracle.
            [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => Some(Denied::Metadata),
            [224..=239, ..] => Some(Denied::Multicast),
            [255, 255, 255, 255] => Some(Denied::Broadcast),
            _ => None,
        },
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Some(Denied::Loopback),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(Denied::Unspecified),
        IpAddr::V6(ip) if ip.is_multicast() => Some(Denied::Multicast),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(Denied::LinkLocal),
        IpAddr::V6(ip) => match ip.segments() {
            // Amazon keeps all of fd00:ec2::/32 for services of an instance: ::254 has its metadata,
            // ::23 the credentials of a pod's identity.
            [0xfd00, 0xec2, ..] => Some(Denied::Metadata),
            // Google, Oracle, Scaleway.
            [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
            | [0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]
            | [0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42] => Some(Denied::Metadata),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests;
