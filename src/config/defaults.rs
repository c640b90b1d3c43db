//! Values that hold when nothing is written. GOST's, unless a line says why not.

use std::time::Duration;

/// `path` of ws listeners and dialers.
pub const WS_PATH: &str = "/ws";
/// `backlog` of ws listeners.
pub const BACKLOG: u32 = 128;
/// `readTimeout` of the http handler.
pub const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// `ttl` of ws dialers with `keepalive`.
pub const PING_TTL: Duration = Duration::from_secs(15);
/// `authBasicRealm` of the http handler.
pub const REALM: &str = "gost";
/// `proxyAgent` of the http handler.
pub const PROXY_AGENT: &str = "gost/3.0";
/// `lingerTimeout` (ours). GOST's is absolute and truncates; this one is without progress.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(10);
/// `pingInterval` (ours) in controller mode: ingresses cut silent sockets after 60 s.
pub const CONTROLLER_PING_INTERVAL: Duration = Duration::from_secs(30);

/// `udp.bufferSize`: GOST's longest datagram.
pub(crate) const UDP_BUFFER_SIZE: u32 = 4096;

/// `dialTimeout`: GOST's limit for one attempt's dials and handshakes.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

/// `nameservers[].timeout`.
pub(crate) const NAMESERVER_TIMEOUT: Duration = Duration::from_secs(5);
/// The port of name servers.
pub(crate) const DNS_PORT: u16 = 53;
