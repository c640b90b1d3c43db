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
    #[error("{0:?} has no port; write host:port, for example \"{0}:443\"")]
    NoPort(String),
    /// A port alone.
    #[error("{0:?} is a port without a colon; write \":{0}\"")]
    OnlyPort(String),
    /// The port is not a number from 0 to 65535.
    #[error("{0:?} is not a port; use a number from 0 to 65535")]
    BadPort(String),
    /// The host is neither an address nor a name.
    #[error(
        "{0:?} is not a host name or IP address; a name is of ASCII letters, digits, - and _ (write \
         xn--... for others), at most 63 of them between dots and 253 in all, and does not end in a \
         number"
    )]
    BadHost(String),
}

/// A host: an IP address, or a name to resolve. Names are kept as written.
///
/// A name is ASCII, so that one host has one spelling but for case and a last dot: resolvers map
/// full-width letters, the ideographic full stop and the soft hyphen to others, or to nothing
/// (UTS 46), and a rule about a name would not see them. What ends in a number is no name: the C
/// library reads `127.1`, `2130706433` and `0x7f.0.0.1` as addresses, as browsers do (WHATWG URL,
/// "ends in a number").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An IP address literal.
    Ip(IpAddr),
    /// A DNS name: labels of at most 63 bytes, 253 in all; a last dot does not count.
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
        if is_name(text) {
            Ok(Self::Name(text.into()))
        } else {
            Err(AddrError::BadHost(text.into()))
        }
    }
}

fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(legal);
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(label) && !is_number(last)
}

/// Whether the C library may read a last label as a number: decimal, octal, or hexadecimal.
fn is_number(label: &str) -> bool {
    let digits = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match digits {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => label.bytes().all(|b| b.is_ascii_digit()),
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
            (Err(AddrError::NoPort(_) | AddrError::OnlyPort(_)), Some(port)) => (text, port),
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
    let no_port = || match text.parse::<u16>() {
        Ok(_) => AddrError::OnlyPort(text.into()),
        Err(_) => AddrError::NoPort(text.into()),
    };
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
    fn a_name_has_one_spelling() {
        let (label, long) = ("a".repeat(63), format!("{}abc", "a.".repeat(125)));
        for name in ["a", "A_b-1.example", "example.com.", "xn--bcher-kva.example", "1.a", "a.x0f"]
        {
            assert_eq!(name.parse(), Ok(Host::Name(name.into())), "{name}");
        }
        for name in [label.clone(), long.clone(), format!("{long}.")] {
            assert_eq!(name.parse(), Ok(Host::Name(name.clone())), "{name}");
        }
        for text in [
            "\u{ff45}vil.example",
            "evil\u{3002}example",
            "evil\u{ff0e}example",
            "ev\u{ad}il.example",
            "ev\u{200b}il.example",
            "b\u{fc}cher.example",
            "\u{212a}.example",
            "e%76il.example",
            "evil.example..",
            "evil..example",
            ".evil.example",
            ".",
            "",
            "evil.example\0",
            "evil\r.example",
            "evil example",
            "user@evil.example",
            "a,b",
            "a/b",
            "a\\b",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text:?}");
        }
        for text in [format!("{label}a"), format!("{long}d"), format!("a.{label}a.b")] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_the_c_library_reads_as_an_address_is_no_name() {
        for text in [
            "2130706433",
            "127.1",
            "127.0.1",
            "0x7f.1",
            "0x7f.0x1",
            "0X7F000001",
            "0x",
            "0177.0.0.1",
            "127.0.0.01",
            "127.0.0.1.",
            "127.0.0.1..",
            "1.2.3.4.5",
            "256.0.0.1",
            "a.0x7f",
            "a.1",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
        assert_eq!("127.0.0.1".parse(), Ok(Host::Ip([127, 0, 0, 1].into())));
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
