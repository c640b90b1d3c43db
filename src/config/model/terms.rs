//! What a tunnel may do besides what its own spec says: the operator's side of the bargain.

use std::time::Duration;

use ipnet::IpNet;

/// The terms of a class for one tunnel (API: class file, `egress` and `limits`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Where it may not connect to, besides what nobody may.
    pub egress: Egress,
    /// `limits.connectionsPerTunnel`: open connections, and streams of mux sessions.
    pub connections_of_tunnel: u32,
    /// `limits.connectionsPerNamespace`: the same of all tunnels of the namespace.
    pub connections_of_namespace: u32,
    /// `limits.idleTimeout`: silence in both directions that ends a stream; `None` is never.
    pub idle_timeout: Option<Duration>,
}

/// `egress` of a class. It only narrows: what is denied to everybody stays denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// Denied.
    pub deny: Vec<IpNet>,
    /// Allowed in spite of `deny` and `denyPrivate`.
    pub allow: Vec<IpNet>,
    /// `denyPrivate`: RFC 1918, RFC 6598 and RFC 4193 addresses are denied.
    pub deny_private: bool,
}
