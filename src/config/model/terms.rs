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

/// The other `limits` of a class: what one namespace or one tunnel may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassLimits {
    /// `limits.tunnelsPerNamespace`.
    pub tunnels_per_namespace: usize,
    /// `limits.portsPerNamespace`: ports that are bound or allocated for its tunnels.
    pub ports_per_namespace: usize,
    /// `limits.claimsPerNamespace`: claims of host and path on the front ports.
    pub claims_per_namespace: usize,
    /// `limits.nodesPerTunnel`: nodes of an object after endpoints, over all services.
    pub nodes_per_tunnel: usize,
    /// `limits.receiveBuffer`: the largest `mux.maxReceiveBuffer`, in bytes.
    pub receive_buffer: u32,
    /// `limits.streamBuffer`: the largest `mux.maxStreamBuffer`, in bytes.
    pub stream_buffer: u32,
    /// `limits.maxTimeout`: the longest `dialTimeout` and `readTimeout`.
    pub max_timeout: Duration,
    /// `limits.maxDrain`: the longest `spec.drain.timeout` that counts.
    pub max_drain: Duration,
}

impl Default for ClassLimits {
    fn default() -> Self {
        Self {
            tunnels_per_namespace: 100,
            ports_per_namespace: 64,
            claims_per_namespace: 200,
            nodes_per_tunnel: 512,
            receive_buffer: 16 * 1024 * 1024,
            stream_buffer: 4 * 1024 * 1024,
            max_timeout: Duration::from_secs(600),
            max_drain: Duration::from_secs(600),
        }
    }
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
