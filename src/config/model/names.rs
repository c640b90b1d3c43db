//! How names become addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Target;

/// `hosts` and `resolver` of a service, hop or node. None of both: as the system does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    /// `hosts`: asked first.
    pub hosts: Option<Arc<Hosts>>,
    /// `resolver`: asked instead of the system's.
    pub resolver: Option<Arc<ResolverConfig>>,
}

/// `hosts[]`: addresses by name. Lower case; a name that begins with a dot stands for all below it,
/// and itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(pub BTreeMap<String, Vec<IpAddr>>);

/// `resolvers[]`: name servers in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolverConfig {
    /// At least one.
    pub nameservers: Vec<Nameserver>,
}

/// `nameservers[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nameserver {
    /// Its address, port 53 by default; an IP address, since a name would have to be resolved.
    pub addr: Target,
    /// `tcp://` instead of `udp://`.
    pub tcp: bool,
    /// `prefer` and `only`.
    pub prefer: Prefer,
    /// `timeout`, 5 s.
    pub timeout: Duration,
    /// `ttl`: how long an answer is kept instead of what it says; zero (negative in GOST) is never.
    pub ttl: Option<Duration>,
}

/// Which of a name's addresses count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// IPv4 first, GOST's default.
    #[default]
    Ipv4First,
    /// `prefer: ipv6`.
    Ipv6First,
    /// `only: ipv4`.
    Ipv4Only,
    /// `only: ipv6`.
    Ipv6Only,
}
