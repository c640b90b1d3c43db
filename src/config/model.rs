//! Validated configuration. If you hold a [`ServiceConfig`], it can be started.
//!
//! Two values compare equal exactly when switching from one to the other changes nothing; the
//! engine's diff relies on it. So files and Secrets are in it as the bytes that they had.

mod chain;
mod expose;
mod gates;
mod handler;
mod listener;
mod names;
mod patterns;
mod terms;
mod tls;

pub use chain::{
    ChainConfig, ConnectorConfig, Credentials, DialerConfig, HopConfig, HttpConnectorConfig,
    NodeConfig, RelayConnectorConfig, Selector, Socks4ConnectorConfig, Socks5ConnectorConfig,
    Standing, Strategy, WsDialerConfig,
};
pub use expose::{ExposeConfig, ServiceType};
pub use gates::{Admission, Bypass, Gates, Limits, Rate, Users};
pub use handler::{
    AutoHandlerConfig, AutoProtocols, ForwardConfig, ForwardHandlerConfig, ForwardNodeConfig,
    HandlerConfig, HttpHandlerConfig, RelayHandlerConfig, Socks4HandlerConfig, Socks5HandlerConfig,
};
pub use listener::{
    HostPattern, ListenerConfig, MuxConfig, Origins, RtcpListenerConfig, TcpKeepalive,
    TcpListenerConfig, UdpListenerConfig, WsListenerConfig, WsPath,
};
pub use names::{Hosts, Names, Nameserver, Prefer, ResolverConfig};
pub use patterns::{Pattern, Patterns, PortRange, TargetPattern};
pub use terms::{ClassLimits, Egress, Terms};
pub use tls::{
    Certificate, ChainError, ClientTls, KeyError, PairError, Pem, ServerTls, TlsVersion,
    certificates, is_version_1,
};

use std::sync::Arc;
use std::time::Duration;

use super::defaults;
use crate::base::ListenAddr;

/// One service: listener, handler and route.
#[derive(Clone, Debug, PartialEq)]
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
    /// Attempts after the first (`handler.retries`).
    pub retries: u32,
    /// `dialTimeout` of the service's metadata, 15 s: for one attempt's dials and handshakes;
    /// `None` waits forever.
    pub dial_timeout: Option<Duration>,
    /// How names are resolved that are dialled directly.
    pub names: Names,
    /// Who may come, where to, how fast.
    pub gates: Gates,
    /// What is allowed but worth a word: an open proxy, for one. Shown by `check` and on the object.
    pub warnings: Vec<String>,
}

impl ServiceConfig {
    /// A service with every default: it dials directly and lets everybody in.
    pub fn new(
        name: &str,
        listen: ListenAddr,
        listener: ListenerConfig,
        handler: HandlerConfig,
    ) -> Self {
        Self {
            name: name.into(),
            listen,
            listener,
            handler,
            chain: Arc::default(),
            retries: 0,
            dial_timeout: Some(defaults::DIAL_TIMEOUT),
            names: Names::default(),
            gates: Gates::default(),
            warnings: Vec::new(),
        }
    }
}
