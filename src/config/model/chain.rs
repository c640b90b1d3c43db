//! Ways to targets through other proxies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Bypass, ClientTls, MuxConfig, Names, TcpKeepalive};
use crate::base::{Secret, Target};

/// A chain: every hop is dialled through the one before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChainConfig {
    /// `chains[].name`, empty for a direct dial.
    pub name: String,
    /// The hops in order.
    pub hops: Vec<HopConfig>,
}

/// A hop: one of its nodes is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct HopConfig {
    /// `hops[].name`, or its position.
    pub name: String,
    /// Who is chosen, and when one counts as failed.
    pub selector: Selector,
    /// A target that these match skips the hop and all after it, as in GOST.
    pub bypasses: Vec<Arc<Bypass>>,
    /// At least one. Every service with the chain has the same ones.
    pub nodes: Vec<Arc<NodeConfig>>,
}

/// `selector`: how one of several nodes is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// `strategy`.
    pub strategy: Strategy,
    /// `maxFails`, 1: failures in a row after which a node is left alone.
    pub max_fails: u32,
    /// `failTimeout`, 10 s (30 s on the command line): for how long.
    pub fail_timeout: Duration,
}

impl Default for Selector {
    fn default() -> Self {
        let fail_timeout = Duration::from_secs(10);
        Self { strategy: Strategy::Round, max_fails: 1, fail_timeout }
    }
}

/// GOST's strategies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// `round`, `rr`: each in turn.
    #[default]
    Round,
    /// `random`, `rand`: by weight.
    Random,
    /// `fifo`, `ha`: the first that is alive.
    Fifo,
    /// `hash`: by the user, else the client's IP address or the target.
    Hash,
}

/// What a node's metadata says about its choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `weight`, 1: for strategy random.
    pub weight: u32,
    /// `backup`: only if no other node is left.
    pub backup: bool,
    /// `maxFails` instead of the selector's.
    pub max_fails: Option<u32>,
    /// `failTimeout` instead of the selector's.
    pub fail_timeout: Option<Duration>,
}

impl Default for Standing {
    fn default() -> Self {
        Self { weight: 1, backup: false, max_fails: None, fail_timeout: None }
    }
}

/// A node: where it is, how to get bytes there, what to say to it.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    /// `hops[].nodes[].name`, or its position.
    pub name: String,
    /// `addr`.
    pub addr: Target,
    /// `addr` as written: the default of the Host header, as in GOST.
    pub addr_text: String,
    /// How bytes get there.
    pub dialer: DialerConfig,
    /// How it is asked for the next hop or the target.
    pub connector: ConnectorConfig,
    /// Targets for which the node is no candidate.
    pub bypasses: Vec<Arc<Bypass>>,
    /// How `addr` is resolved; the hop's where the node has none.
    pub names: Names,
    /// Weight, backup, failures.
    pub standing: Standing,
}

/// `nodes[].dialer`.
#[derive(Clone, Debug, PartialEq)]
pub enum DialerConfig {
    /// `tcp`, and `tls` if it has a TLS part.
    Tcp {
        /// The TLS part of `tls`.
        tls: Option<Arc<ClientTls>>,
        /// `keepalive`: of TCP.
        keepalive: Option<TcpKeepalive>,
    },
    /// `ws`, `wss`, `mws`, `mwss`.
    Ws(WsDialerConfig),
}

impl DialerConfig {
    /// TCP keepalive of the socket to the node.
    pub fn keepalive(&self) -> Option<&TcpKeepalive> {
        match self {
            Self::Tcp { keepalive, .. } => keepalive.as_ref(),
            Self::Ws(config) => config.keepalive.as_ref(),
        }
    }

    /// The TLS part of `tls`, `wss` and `mwss`.
    pub fn tls(&self) -> Option<&Arc<ClientTls>> {
        match self {
            Self::Tcp { tls, .. } => tls.as_ref(),
            Self::Ws(config) => config.tls.as_ref(),
        }
    }

    /// The type as it is written: `mwss`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tcp { tls: None, .. } => "tcp",
            Self::Tcp { .. } => "tls",
            Self::Ws(config) => match (&config.tls, &config.mux) {
                (None, None) => "ws",
                (Some(_), None) => "wss",
                (None, Some(_)) => "mws",
                (Some(_), Some(_)) => "mwss",
            },
        }
    }
}

/// Metadata of the dialers `ws`, `wss`, `mws` and `mwss`.
#[derive(Clone, Debug, PartialEq)]
pub struct WsDialerConfig {
    /// The TLS part of `wss` and `mwss`.
    pub tls: Option<Arc<ClientTls>>,
    /// The multiplexing part of `mws` and `mwss`.
    pub mux: Option<MuxConfig>,
    /// `host`: the Host header; the node's address as written by default, with its port.
    pub host: String,
    /// `path`, `/ws` by default, as it stands in the request line: with its escapes.
    pub path: String,
    /// `header`: added to the request; `Host` in it wins over `host`.
    pub header: BTreeMap<String, String>,
    /// `handshakeTimeout`; the dial timeout bounds the handshake in any case.
    pub handshake_timeout: Option<Duration>,
    /// `keepalive` and `ttl`: pings at this interval; the tunnel ends after two silent ones.
    pub ping_interval: Option<Duration>,
    /// `tcp.keepalive`.
    pub keepalive: Option<TcpKeepalive>,
}

/// `nodes[].connector`.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectorConfig {
    /// HTTP CONNECT.
    Http(HttpConnectorConfig),
    /// `socks4`, `socks4a`.
    Socks4(Socks4ConnectorConfig),
    /// `socks5`, `socks`.
    Socks5(Socks5ConnectorConfig),
    /// GOST's relay protocol.
    Relay(RelayConnectorConfig),
    /// `forward`, `tcp`: nothing is said; the other end decides where it goes.
    Forward,
    /// `direct`, `virtual`: the target is dialled as if there were no hop.
    Direct,
}

impl ConnectorConfig {
    /// The type as it is written.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Socks4(_) => "socks4",
            Self::Socks5(_) => "socks5",
            Self::Relay(_) => "relay",
            Self::Forward => "forward",
            Self::Direct => "direct",
        }
    }

    /// Whether a node with this connector can be asked to listen.
    pub fn binds(&self) -> bool {
        matches!(self, Self::Relay(_) | Self::Socks5(_))
    }
}

/// Metadata and credentials of connector `http`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpConnectorConfig {
    /// `auth`: sent as `Proxy-Authorization`.
    pub auth: Option<Credentials>,
    /// `header`: added to the CONNECT request.
    pub header: BTreeMap<String, String>,
    /// `timeout`: for the reply; the dial timeout bounds it in any case (GOST waits forever).
    pub timeout: Option<Duration>,
}

/// Metadata and credentials of connector `socks4`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Socks4ConnectorConfig {
    /// The user id that is sent; SOCKS4 has no password.
    pub user: Option<String>,
    /// `disable4a`: resolve names here, to IPv4.
    pub disable_4a: bool,
    /// `timeout`: for the reply.
    pub timeout: Option<Duration>,
}

/// Metadata and credentials of connector `socks5`. GOST's TLS methods are never offered: over a
/// multiplexed dialer they kill the session (a fault of gost on both ends).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Socks5ConnectorConfig {
    /// `auth`: user name and password.
    pub auth: Option<Credentials>,
    /// `timeout`: for each reply.
    pub timeout: Option<Duration>,
    /// `relay: udp`: UDP ASSOCIATE instead of GOST's UDP-over-TCP.
    pub udp_associate: bool,
    /// `udp.bufferSize`, 4096 where 0: the longest datagram.
    pub udp_buffer_size: u32,
    /// `mux.*`, for the multiplexed BIND.
    pub mux: MuxConfig,
}

/// Metadata and credentials of connector `relay`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayConnectorConfig {
    /// `auth`: user name and password.
    pub auth: Option<Credentials>,
    /// `connectTimeout`: for the reply to BIND, and with `nodelay`.
    pub timeout: Option<Duration>,
    /// `nodelay`: wait for the reply before the first byte. Without it the request leaves at once
    /// and the reply is taken off the first bytes, which suits every server.
    pub nodelay: bool,
    /// `mux.*`, for BIND.
    pub mux: MuxConfig,
}

/// A user name and password that we send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: Secret<String>,
}
