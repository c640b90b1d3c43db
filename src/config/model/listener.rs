//! How bytes arrive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::ServerTls;
use crate::config::defaults;

/// `services[].listener`.
#[derive(Clone, Debug, PartialEq)]
pub enum ListenerConfig {
    /// `tcp`, and `tls` if it has a TLS part: a connection is a stream.
    Tcp(TcpListenerConfig),
    /// `ws`, `wss`, `mws`, `mwss`: an upgraded connection is a stream, or a session of streams.
    Ws(WsListenerConfig),
    /// `udp`: the datagrams of one source address are a stream.
    Udp(UdpListenerConfig),
    /// `rtcp`: the streams that the last node of a chain accepts for us.
    Rtcp(RtcpListenerConfig),
}

impl ListenerConfig {
    /// Whether bytes arrive in TLS.
    pub fn tls(&self) -> Option<&Arc<ServerTls>> {
        match self {
            Self::Tcp(config) => config.tls.as_ref(),
            Self::Ws(config) => config.tls.as_ref(),
            Self::Udp(_) | Self::Rtcp(_) => None,
        }
    }

    /// The type as it is written: `mwss`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tcp(TcpListenerConfig { tls: None, .. }) => "tcp",
            Self::Tcp(_) => "tls",
            Self::Ws(config) => match (&config.tls, &config.mux) {
                (None, None) => "ws",
                (Some(_), None) => "wss",
                (None, Some(_)) => "mws",
                (Some(_), Some(_)) => "mwss",
            },
            Self::Udp(_) => "udp",
            Self::Rtcp(_) => "rtcp",
        }
    }
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

/// Metadata of listeners `tcp` and `tls`.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpListenerConfig {
    /// The TLS part of `tls`.
    pub tls: Option<Arc<ServerTls>>,
    /// `keepalive`, off by default as in GOST.
    pub keepalive: Option<TcpKeepalive>,
    /// `lingerTimeout` (ours), 10 s.
    pub linger_timeout: Duration,
    /// `proxyProtocol` of the service's metadata: a PROXY header may come first.
    pub proxy_protocol: bool,
    /// `trustedProxies` (ours): whose PROXY headers count; none is everybody's, as in GOST.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for TcpListenerConfig {
    fn default() -> Self {
        Self {
            tls: None,
            keepalive: None,
            linger_timeout: defaults::LINGER_TIMEOUT,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Metadata of the listeners `ws`, `wss`, `mws` and `mwss`.
#[derive(Clone, Debug, PartialEq)]
pub struct WsListenerConfig {
    /// The TLS part of `wss` and `mwss`.
    pub tls: Option<Arc<ServerTls>>,
    /// The multiplexing part of `mws` and `mwss`.
    pub mux: Option<MuxConfig>,
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
    /// `proxyProtocol` of the service's metadata: a PROXY header may come first.
    pub proxy_protocol: bool,
    /// `trustedProxies` (ours): whose X-Forwarded-For counts, and whose PROXY headers; without any,
    /// nobody's X-Forwarded-For, and everybody's PROXY headers as in GOST.
    pub trusted_proxies: Vec<IpNet>,
    /// `origins` (ours): which web pages may open a WebSocket here.
    pub origins: Origins,
}

/// Which values of `Origin` an upgrade may have; every one may have none, and what is no browser sends
/// none. A browser sends it with every WebSocket that a page opens, wherever the page is from
/// (RFC 6455 10.2): without a rule any page may speak to a listener that its visitor reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// `*`.
    Any,
    /// These, in lower case.
    Listed(Vec<String>),
}

impl Default for Origins {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Default for WsListenerConfig {
    fn default() -> Self {
        Self {
            tls: None,
            mux: None,
            hostnames: Vec::new(),
            path: WsPath(defaults::WS_PATH.into()),
            header: BTreeMap::new(),
            backlog: defaults::BACKLOG,
            handshake_timeout: None,
            read_header_timeout: None,
            keepalive: None,
            ping_interval: None,
            linger_timeout: defaults::LINGER_TIMEOUT,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            origins: Origins::default(),
        }
    }
}

/// The `mux.*` keys: one session of streams on one connection. Defaults are GOST's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MuxConfig {
    /// `mux.version`, 1 or 2. Both ends must have the same.
    pub version: u8,
    /// `mux.keepaliveInterval`, 10 s, and `mux.keepaliveTimeout`, 30 s; `None` by
    /// `mux.keepaliveDisabled`. The timeout is not below the interval.
    pub keepalive: Option<(Duration, Duration)>,
    /// `mux.maxFrameSize`, 32 KiB, at most 65,535: of frames that we send.
    pub max_frame_size: u16,
    /// `mux.maxReceiveBuffer`, 4 MiB: bytes of all streams of a session that nobody has read yet.
    pub max_receive_buffer: u32,
    /// `mux.maxStreamBuffer`, 64 KiB: the same of one stream; version 2's window.
    pub max_stream_buffer: u32,
}

impl Default for MuxConfig {
    fn default() -> Self {
        Self {
            version: 1,
            keepalive: Some((Duration::from_secs(10), Duration::from_secs(30))),
            max_frame_size: 32 * 1024,
            max_receive_buffer: 4 * 1024 * 1024,
            max_stream_buffer: 64 * 1024,
        }
    }
}

/// Metadata of listener `udp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpListenerConfig {
    /// `backlog`, 128: sources whose first datagram waits, for a dial as a rule.
    pub backlog: u32,
    /// `readBufferSize`, 4096: the longest datagram; the rest of a longer one is lost, as in GOST.
    pub read_buffer_size: u32,
    /// `readQueueSize`, 128: datagrams of one source that wait.
    pub read_queue_size: u32,
    /// `keepalive`: without it the first answer ends a source's stream, as in GOST: what comes after
    /// it begins a new one, and further answers pass until it has been silent for `ttl`.
    pub keepalive: bool,
    /// `ttl`, 5 s: silence that ends a source's stream.
    pub ttl: Duration,
}

impl Default for UdpListenerConfig {
    fn default() -> Self {
        Self {
            backlog: defaults::BACKLOG,
            read_buffer_size: defaults::UDP_BUFFER_SIZE,
            read_queue_size: 128,
            keepalive: false,
            ttl: Duration::from_secs(5),
        }
    }
}

/// Listener `rtcp`: a remote port forward. `addr` is bound by the last node of the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct RtcpListenerConfig {
    /// `listener.chain`; without hops we listen ourselves, as GOST does.
    pub chain: Arc<super::ChainConfig>,
    /// `lingerTimeout` (ours), 10 s.
    pub linger_timeout: Duration,
}

impl Default for RtcpListenerConfig {
    fn default() -> Self {
        Self { chain: Arc::default(), linger_timeout: defaults::LINGER_TIMEOUT }
    }
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
