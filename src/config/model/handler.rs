//! What is done with an accepted stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Bypass, MuxConfig, Selector, Standing, Users};
use crate::base::Target;
use crate::config::defaults;

/// `services[].handler`.
#[derive(Clone, Debug, PartialEq)]
pub enum HandlerConfig {
    /// Tells the protocol by its first byte: socks4, socks5, else http.
    Auto(AutoHandlerConfig),
    /// An HTTP proxy: CONNECT and plain forwarding.
    Http(HttpHandlerConfig),
    /// `socks4`, `socks4a`.
    Socks4(Socks4HandlerConfig),
    /// `socks5`, `socks`.
    Socks5(Socks5HandlerConfig),
    /// GOST's relay protocol.
    Relay(RelayHandlerConfig),
    /// A port forward (`tcp`, `udp`, `forward`, `rtcp`).
    Forward(ForwardHandlerConfig),
}

/// Handler `auto`: the protocols behind it, each as its own handler would be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AutoHandlerConfig {
    /// What it answers to; any other protocol ends the stream.
    pub speaks: AutoProtocols,
    /// For everything that is not SOCKS.
    pub http: HttpHandlerConfig,
    /// For a first byte 4.
    pub socks4: Socks4HandlerConfig,
    /// For a first byte 5.
    pub socks5: Socks5HandlerConfig,
}

/// The protocols that handler `auto` answers to: all of them, unless a class leaves some out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoProtocols {
    /// HTTP.
    pub http: bool,
    /// SOCKS4 and SOCKS4a.
    pub socks4: bool,
    /// SOCKS5.
    pub socks5: bool,
}

impl Default for AutoProtocols {
    fn default() -> Self {
        Self { http: true, socks4: true, socks5: true }
    }
}

/// Metadata and authentication of handler `http`.
#[derive(Clone, Debug, PartialEq)]
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
    /// `udp`: GOST's UDP over HTTP.
    pub udp: bool,
    /// `udp.bufferSize`, 4096: the longest datagram.
    pub udp_buffer_size: u32,
    /// `hash: host`: selector `hash` goes by the target instead of the client.
    pub hash_by_target: bool,
}

impl Default for HttpHandlerConfig {
    fn default() -> Self {
        Self {
            users: None,
            realm: defaults::REALM.into(),
            proxy_agent: defaults::PROXY_AGENT.into(),
            header: BTreeMap::new(),
            keepalive: false,
            read_timeout: Some(defaults::READ_TIMEOUT),
            idle_timeout: None,
            udp: false,
            udp_buffer_size: defaults::UDP_BUFFER_SIZE,
            hash_by_target: false,
        }
    }
}

/// Metadata and authentication of handler `socks4`.
#[derive(Clone, Debug, PartialEq)]
pub struct Socks4HandlerConfig {
    /// Who may pass; SOCKS4 has no password. Where there are users (under `auto`; handler socks4 is
    /// refused with them), all of them have one, and nobody passes.
    pub users: Option<Arc<Users>>,
    /// `readTimeout`, 15 s: for the request.
    pub read_timeout: Duration,
    /// `hash: host`.
    pub hash_by_target: bool,
}

impl Default for Socks4HandlerConfig {
    fn default() -> Self {
        Self { users: None, read_timeout: defaults::READ_TIMEOUT, hash_by_target: false }
    }
}

/// Metadata and authentication of handler `socks5`.
#[derive(Clone, Debug, PartialEq)]
pub struct Socks5HandlerConfig {
    /// Who may pass; `None` is anybody.
    pub users: Option<Arc<Users>>,
    /// `readTimeout`, 15 s: for each exchange before the dial.
    pub read_timeout: Duration,
    /// `udp`: GOST's UDP-over-TCP.
    pub udp: bool,
    /// `udp`, but for tenants of a cluster: UDP ASSOCIATE, which binds a port of this machine.
    pub udp_associate: bool,
    /// `bind`: BIND and GOST's multiplexed BIND.
    pub bind: bool,
    /// `udp.bufferSize`, 4096: the longest datagram.
    pub udp_buffer_size: u32,
    /// `mux.*`, for the multiplexed BIND.
    pub mux: MuxConfig,
    /// `hash: host`.
    pub hash_by_target: bool,
}

impl Default for Socks5HandlerConfig {
    fn default() -> Self {
        Self {
            users: None,
            read_timeout: defaults::READ_TIMEOUT,
            udp: false,
            udp_associate: false,
            bind: false,
            udp_buffer_size: defaults::UDP_BUFFER_SIZE,
            mux: MuxConfig::default(),
            hash_by_target: false,
        }
    }
}

/// Metadata and authentication of handler `relay`.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayHandlerConfig {
    /// Who may pass; `None` is anybody.
    pub users: Option<Arc<Users>>,
    /// `readTimeout`, 15 s: for the request.
    pub read_timeout: Duration,
    /// The forwarder: then the address that clients ask for is ignored, as in GOST.
    pub forward: Option<Arc<ForwardConfig>>,
    /// `bind`.
    pub bind: bool,
    /// `udp.bufferSize`, 4096: the longest datagram of an association.
    pub udp_buffer_size: u32,
    /// `mux.*`, for BIND.
    pub mux: MuxConfig,
    /// `hash: host`.
    pub hash_by_target: bool,
}

impl Default for RelayHandlerConfig {
    fn default() -> Self {
        Self {
            users: None,
            read_timeout: defaults::READ_TIMEOUT,
            forward: None,
            bind: false,
            udp_buffer_size: defaults::UDP_BUFFER_SIZE,
            mux: MuxConfig::default(),
            hash_by_target: false,
        }
    }
}

/// Metadata and targets of the handlers `tcp`, `udp`, `forward` and `rtcp`.
#[derive(Clone, Debug, PartialEq)]
pub struct ForwardHandlerConfig {
    /// The targets.
    pub to: Arc<ForwardConfig>,
    /// `idleTimeout`: silence that ends a tunnel.
    pub idle_timeout: Option<Duration>,
    /// `proxyProtocol` of the handler's metadata, 1 or 2: a PROXY header for the target.
    pub send_proxy_protocol: Option<u8>,
}

/// `services[].forwarder`, or the named hop that it refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct ForwardConfig {
    /// Who is chosen, and when one counts as failed.
    pub selector: Selector,
    /// At least one.
    pub nodes: Vec<ForwardNodeConfig>,
}

/// `forwarder.nodes[]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ForwardNodeConfig {
    /// `name`, or its position.
    pub name: String,
    /// `addr`.
    pub target: Target,
    /// Targets for which the node is no candidate.
    pub bypasses: Vec<Arc<Bypass>>,
    /// Weight, backup, failures.
    pub standing: Standing,
}

impl ForwardConfig {
    /// One target, and no choice.
    pub fn to(target: Target) -> Self {
        let name = target.to_string();
        let (bypasses, standing) = (Vec::new(), Standing::default());
        let nodes = vec![ForwardNodeConfig { name, target, bypasses, standing }];
        Self { selector: Selector::default(), nodes }
    }
}

impl HandlerConfig {
    /// The targets of a handler that does not ask its client where to.
    pub fn forward(&self) -> Option<&ForwardConfig> {
        match self {
            Self::Forward(forward) => Some(&forward.to),
            Self::Relay(relay) => relay.forward.as_deref(),
            Self::Auto(_) | Self::Http(_) | Self::Socks4(_) | Self::Socks5(_) => None,
        }
    }

    /// Whether nobody passes without credentials.
    pub fn asks_for_users(&self) -> bool {
        match self {
            Self::Auto(auto) => {
                let AutoHandlerConfig { http, socks4, socks5, .. } = auto;
                http.users.is_some() && socks4.users.is_some() && socks5.users.is_some()
            }
            Self::Http(http) => http.users.is_some(),
            Self::Socks4(socks) => socks.users.is_some(),
            Self::Socks5(socks) => socks.users.is_some(),
            Self::Relay(relay) => relay.users.is_some(),
            Self::Forward(_) => false,
        }
    }

    /// An open proxy: it takes whoever reaches it anywhere.
    pub fn is_open(&self) -> bool {
        self.lacks_users() && self.forward().is_none()
    }

    /// Its protocol has users, and it asks for none. A client certificate does not count: it is of
    /// the listener, and a CA that signs for others too lets them all in. `tcp`, `udp` and `forward`
    /// have no users to ask for.
    pub fn lacks_users(&self) -> bool {
        match self {
            Self::Auto(auto) => auto.http.users.is_none(),
            Self::Http(http) => http.users.is_none(),
            Self::Socks4(socks) => socks.users.is_none(),
            Self::Socks5(socks) => socks.users.is_none(),
            Self::Relay(relay) => relay.users.is_none(),
            Self::Forward(_) => false,
        }
    }
}
