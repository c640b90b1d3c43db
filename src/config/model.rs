//! Validated configuration. If you hold a [`ServiceConfig`], it can be started.
//!
//! Two values compare equal exactly when switching from one to the other changes nothing; the
//! engine's diff relies on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{ListenAddr, Secret, Target};

/// One service: listener, handler and route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// `services[].name`, unique within its origin.
    pub name: Arc<str>,
    /// `services[].addr`.
    pub listen: ListenAddr,
    /// How bytes arrive.
    pub listener: ListenerConfig,
    /// What is done with them.
    pub handler: HandlerConfig,
    /// The hops on the way to a target; none is a direct dial.
    pub chain: Arc<ChainConfig>,
    /// Dial attempts after the first (`handler.retries`).
    pub retries: u32,
    /// What is allowed but worth a word: an open proxy, for one. Shown by `check` and on the object.
    pub warnings: Vec<String>,
}

/// `services[].listener`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerConfig {
    /// Plain TCP: a connection is a stream.
    Tcp(TcpListenerConfig),
    /// WebSocket: an upgraded connection is a stream.
    Ws(WsListenerConfig),
}

/// TCP keepalive of accepted or dialled sockets. Unset values are the kernel's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// `keepalive.idle`: silence before the first probe.
    pub idle: Option<Duration>,
    /// `keepalive.interval`: between probes.
    pub interval: Option<Duration>,
    /// `keepalive.count`: unanswered probes that end the connection.
    pub count: Option<u32>,
}

/// Metadata of listener `tcp`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpListenerConfig {
    /// `keepalive`, off by default as in GOST.
    pub keepalive: Option<TcpKeepalive>,
    /// `lingerTimeout` (ours), 10 s.
    pub linger_timeout: Duration,
}

/// Metadata of listener `ws`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsListenerConfig {
    /// `services[].hostnames`; empty serves any Host.
    pub hostnames: Vec<HostPattern>,
    /// `path`, `/ws` by default.
    pub path: WsPath,
    /// `header`: added to the 101 response, in the order of their names.
    pub header: BTreeMap<String, String>,
    /// `backlog`, 128 by default: upgraded connections that wait for a handler. With a task per
    /// tunnel nothing waits; it bounds upgrades in flight.
    pub backlog: u32,
    /// `handshakeTimeout`: the write of the 101 response.
    pub handshake_timeout: Option<Duration>,
    /// `readHeaderTimeout`: from the connection's start to the end of the request's headers.
    pub read_header_timeout: Option<Duration>,
    /// `keepalive`: of TCP.
    pub keepalive: Option<TcpKeepalive>,
    /// `pingInterval` (ours): pings towards the client.
    pub ping_interval: Option<Duration>,
    /// `lingerTimeout` (ours), 10 s: silence that ends a tunnel after one side finished.
    pub linger_timeout: Duration,
}

/// A pattern for the Host header: a name, or `*.name` for exactly one more label. Lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This name.
    Exact(String),
    /// One label, a dot and this name.
    Wildcard(String),
}

/// A request path, matched as Go's ServeMux does: exact, or a subtree if it ends in `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WsPath(pub String);

impl WsPath {
    /// Whether everything below the path is served too.
    pub fn is_subtree(&self) -> bool {
        self.0.ends_with('/')
    }
}

/// `services[].handler`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerConfig {
    /// Tells the protocol by its first byte. Only http is behind it in this version.
    Auto(HttpHandlerConfig),
    /// An HTTP proxy: CONNECT and plain forwarding.
    Http(HttpHandlerConfig),
    /// A port forward to one target (`tcp`, `forward`).
    Forward(ForwardHandlerConfig),
}

/// Metadata and authentication of handler `http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpHandlerConfig {
    /// Who may pass; `None` is anybody (an open proxy).
    pub users: Option<Arc<Users>>,
    /// `authBasicRealm`, `gost` by default.
    pub realm: String,
    /// `proxyAgent`, `gost/3.0` by default.
    pub proxy_agent: String,
    /// `header`: added to responses of ours.
    pub header: BTreeMap<String, String>,
    /// `keepalive`: keep the connection to a plain HTTP target open between requests.
    pub keepalive: bool,
    /// `readTimeout`, 15 s by default: until a target's response header; `None` waits forever.
    pub read_timeout: Option<Duration>,
    /// `idleTimeout`: silence that ends a tunnel.
    pub idle_timeout: Option<Duration>,
}

/// Metadata and target of handlers `tcp` and `forward`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardHandlerConfig {
    /// `forwarder.nodes[0].addr`.
    pub target: Target,
    /// `idleTimeout`: silence that ends a tunnel.
    pub idle_timeout: Option<Duration>,
}

/// User names and passwords that are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(pub BTreeMap<String, Secret<String>>);

/// A chain: every hop is dialled through the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainConfig {
    /// `chains[].name`, empty for a direct dial.
    pub name: String,
    /// The hops' nodes in order.
    pub hops: Vec<NodeConfig>,
}

/// A node: where it is, how to get bytes there, what to say to it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

/// `nodes[].dialer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialerConfig {
    /// Plain TCP.
    Tcp {
        /// `keepalive`: of TCP.
        keepalive: Option<TcpKeepalive>,
    },
    /// WebSocket.
    Ws(WsDialerConfig),
}

/// Metadata of dialer `ws`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsDialerConfig {
    /// `host`: the Host header; the node's address as written by default, with its port.
    pub host: String,
    /// `path`, `/ws` by default.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectorConfig {
    /// HTTP CONNECT.
    Http(HttpConnectorConfig),
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

/// A user name and password that we send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: Secret<String>,
}
