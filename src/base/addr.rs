//! Addresses by role: where we listen, where a client wants to go.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// What a target is spoken to with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    /// A byte stream.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

/// An address that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddrError {
    /// No `:port` at the end.
    #[error("{0:?} has no port; write host:port")]
    NoPort(String),
    /// The port is not a number from 0 to 65535.
    #[error("{0:?} is not a port; use a number from 0 to 65535")]
    BadPort(String),
    /// The host has characters that no host has, or is too long.
    #[error("{0:?} is not a host name or IP address")]
    BadHost(String),
}

/// A host: an IP address, or a name to resolve. Names are kept as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An IP address literal.
    Ip(IpAddr),
    /// A DNS name, at most 253 bytes.
    Name(String),
}

impl FromStr for Host {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            let ip = inner.parse::<Ipv6Addr>().map_err(|_| AddrError::BadHost(text.into()))?;
            return Ok(Self::Ip(ip.into()));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        let legal =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.') || b >= 128;
        if text.is_empty() || text.len() > 253 || !text.bytes().all(legal) {
            return Err(AddrError::BadHost(text.into()));
        }
        Ok(Self::Name(text.into()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Where a service listens. Without a host: every address, IPv4 and IPv6, as GOST's `:8080`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenAddr {
    /// The interface's address; `None` is all of them.
    pub host: Option<Host>,
    /// The port; 0 lets the kernel choose.
    pub port: u16,
}

impl ListenAddr {
    /// All addresses, one port.
    pub fn port(port: u16) -> Self {
        Self { host: None, port }
    }
}

impl FromStr for ListenAddr {
    type Err = AddrError;

    /// `:8080`, `127.0.0.1:80`, `[::1]:80`; empty and `:` mean any port, as in GOST.
    fn from_str(text: &str) -> Result<Self, AddrError> {
        if text.is_empty() || text == ":" {
            return Ok(Self::port(0));
        }
        let (host, port) = split_host_port(text)?;
        let host = if host.is_empty() { None } else { Some(host.parse()?) };
        Ok(Self { host, port })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, ":{}", self.port),
        }
    }
}

/// Where bytes shall go: the `host:port` that a client asked for, or a node's or forwarder's `addr`.
///
/// Without a host it is this machine, as in GOST (`:1080`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The host; `None` is this machine.
    pub host: Option<Host>,
    /// The port, 1 to 65535.
    pub port: u16,
}

impl Target {
    /// Parses `host:port`, or `host` alone if a default port is given.
    ///
    /// # Errors
    /// [`AddrError`] names what is wrong with the text.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, AddrError> {
        let (host, port) = match (split_host_port(text), default_port) {
            (Ok(parts), _) => parts,
            (Err(AddrError::NoPort(_)), Some(port)) => (text, port),
            (Err(e), _) => return Err(e),
        };
        if port == 0 {
            return Err(AddrError::BadPort("0".into()));
        }
        let host = if host.is_empty() { None } else { Some(host.parse()?) };
        Ok(Self { host, port })
    }
}

impl FromStr for Target {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        Self::parse(text, None)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, ":{}", self.port),
        }
    }
}

fn split_host_port(text: &str) -> Result<(&str, u16), AddrError> {
    let no_port = || AddrError::NoPort(text.into());
    let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
    // "[::1]" and a bare "::1" end in a colon group that is part of the address.
    if port.ends_with(']') || (host.contains(':') && !host.starts_with('[')) {
        return Err(no_port());
    }
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port =
        port.parse().ok().filter(|_| digits).ok_or_else(|| AddrError::BadPort(port.into()))?;
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_read_as_gost_reads_them() {
        for (text, shown) in [
            (":8080", ":8080"),
            ("", ":0"),
            (":", ":0"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:2", "[::1]:2"),
            ("localhost:3", "localhost:3"),
        ] {
            assert_eq!(text.parse::<ListenAddr>().map(|a| a.to_string()), Ok(shown.to_string()));
        }
    }

    #[test]
    fn bad_addresses_say_what_is_wrong() {
        for text in ["8080", "host:", "host:99999", "host:+1", "a b:1", "[::1]", "::1", "host:0x1"]
        {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        assert_eq!(
            Target::parse("example.com", Some(80)).map(|t| t.to_string()),
            Ok("example.com:80".into())
        );
        assert_eq!(Target::parse("[::1]", Some(80)).map(|t| t.to_string()), Ok("[::1]:80".into()));
    }
}
