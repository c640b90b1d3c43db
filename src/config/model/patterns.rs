//! Patterns for a target's host, asked all at once.

use std::net::IpAddr;
use std::sync::OnceLock;

use ipnet::IpNet;

mod globs;
mod names;

use globs::Globs;
use names::Names;

/// One of a bypass's matchers: a pattern for the host, and which ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPattern {
    /// The host.
    pub host: Pattern,
    /// The ports; networks and ranges of addresses are of all.
    pub ports: Option<PortRange>,
}

/// A pattern for a target's host. Names are never resolved for it, as in GOST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// An address or a CIDR.
    Net(IpNet),
    /// `first-last`, of one family.
    Range(IpAddr, IpAddr),
    /// A name, lower case.
    Name(String),
    /// `.name`: the name and everything below it; without the dot, lower case.
    Suffix(String),
    /// With `*` (any characters, dots too) and `?` (one), lower case.
    Glob(String),
}

/// Ports from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// The matchers of a bypass. They are compiled when they are asked for the first time; who shares the
/// bypass shares that. An answer takes time in proportion to the host's length, whatever the patterns
/// are, and the compiled form has room in proportion to their text.
#[derive(Debug, Default)]
pub struct Patterns {
    list: Vec<TargetPattern>,
    compiled: OnceLock<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    nets: Vec<(IpNet, Option<PortRange>)>,
    ranges: Vec<(IpAddr, IpAddr, Option<PortRange>)>,
    names: Names,
    globs: Globs,
}

impl Patterns {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The patterns as they were written.
    pub fn list(&self) -> &[TargetPattern] {
        &self.list
    }

    /// Whether one of them fits: for the port, and one of the addresses or the text. The text is a
    /// name in lower case and without a last dot, or an address.
    pub fn fit(&self, text: &str, ips: &[IpAddr], port: u16) -> bool {
        let Compiled { nets, ranges, names, globs } =
            self.compiled.get_or_init(|| Compiled::of(&self.list));
        let within = |first: &IpAddr, last: &IpAddr, ip: &IpAddr| {
            // Addresses of different families have an order too, but no range.
            first.is_ipv4() == ip.is_ipv4() && first <= ip && ip <= last
        };
        let net = |(net, ports): &(IpNet, _)| {
            ips.iter().any(|ip| net.contains(ip)) && includes(*ports, port)
        };
        let range = |(first, last, ports): &(IpAddr, IpAddr, _)| {
            ips.iter().any(|ip| within(first, last, ip)) && includes(*ports, port)
        };
        nets.iter().any(net)
            || ranges.iter().any(range)
            || names.fit(text, port)
            || globs.fit(text.as_bytes(), port)
    }
}

impl Compiled {
    fn of(list: &[TargetPattern]) -> Self {
        let (mut nets, mut ranges, mut names) = (Vec::new(), Vec::new(), Names::default());
        let mut globs = Vec::new();
        for TargetPattern { host, ports } in list {
            match host {
                Pattern::Net(net) => nets.push((*net, *ports)),
                Pattern::Range(first, last) => ranges.push((*first, *last, *ports)),
                Pattern::Name(name) => names.add(name, false, *ports),
                Pattern::Suffix(name) => names.add(name, true, *ports),
                Pattern::Glob(glob) => globs.push((glob.as_str(), *ports)),
            }
        }
        Self { nets, ranges, names, globs: Globs::of(&globs) }
    }
}

fn includes(ports: Option<PortRange>, port: u16) -> bool {
    ports.is_none_or(|ports| ports.first <= port && port <= ports.last)
}

impl From<Vec<TargetPattern>> for Patterns {
    fn from(list: Vec<TargetPattern>) -> Self {
        Self { list, compiled: OnceLock::new() }
    }
}

impl Clone for Patterns {
    fn clone(&self) -> Self {
        self.list.clone().into()
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Eq for Patterns {}
