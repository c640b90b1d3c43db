//! The address form that SOCKS5 and GOST's relay share (RFC 1928 section 4): a type, a host, a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::base::{Host, ListenAddr, Target};

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// The longest address, in bytes: type, length, name, port.
pub const MAX_ADDRESS: usize = 1 + 1 + 255 + 2;

/// A host and a port on the wire. Unlike a [`Target`] it may be empty or have port 0: replies and
/// binds have such.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Address {
    /// The host; an empty name is `None`.
    pub host: Option<Host>,
    /// The port.
    pub port: u16,
}

/// An address that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not an IPv4 address, a name or an IPv6 address.
    #[error("unknown address type {0}")]
    Type(u8),
    /// A name with characters that no name has.
    #[error("the host is not a name")]
    Host,
}

impl Address {
    /// Nothing bound, or nothing to say: `0.0.0.0:0`.
    pub fn unspecified() -> Self {
        Self { host: Some(Host::Ip(Ipv4Addr::UNSPECIFIED.into())), port: 0 }
    }

    /// Where bytes shall go, if it says so.
    pub fn target(&self) -> Option<Target> {
        (self.port != 0).then(|| Target { host: self.host.clone(), port: self.port })
    }

    /// The address to listen on. Without a host, or with an unspecified one, it is every address, as
    /// Go has it.
    pub fn listen(&self) -> ListenAddr {
        let host = self.host.clone().filter(|host| match host {
            Host::Ip(ip) => !ip.is_unspecified(),
            Host::Name(_) => true,
        });
        ListenAddr { host, port: self.port }
    }

    /// Appends the bytes. A name has at most 253, so its length fits.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match &self.host {
            Some(Host::Ip(IpAddr::V4(ip))) => {
                out.push(IPV4);
                out.extend_from_slice(&ip.octets());
            }
            Some(Host::Ip(IpAddr::V6(ip))) => {
                out.push(IPV6);
                out.extend_from_slice(&ip.octets());
            }
            name => {
                let name = match name {
                    Some(Host::Name(name)) => name.as_bytes(),
                    _ => b"",
                };
                let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
                out.push(NAME);
                out.push(length);
                out.extend_from_slice(name.get(..usize::from(length)).unwrap_or(name));
            }
        }
        out.extend_from_slice(&self.port.to_be_bytes());
    }

    /// How long the address at the beginning of `input` is, whatever its name says; `None` needs more
    /// bytes, two at most.
    ///
    /// # Errors
    /// [`AddressError::Type`].
    pub fn span(input: &[u8]) -> Result<Option<usize>, AddressError> {
        let host = match input {
            [] | [NAME] => return Ok(None),
            [IPV4, ..] => 4,
            [IPV6, ..] => 16,
            [NAME, length, ..] => 1 + usize::from(*length),
            [other, ..] => return Err(AddressError::Type(*other)),
        };
        Ok(Some(1 + host + 2))
    }

    /// The address at the beginning of `input`, and its length; `None` needs more bytes.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, AddressError> {
        let Some((kind, rest)) = input.split_first() else { return Ok(None) };
        let (before, length) = match *kind {
            IPV4 => (1, 4),
            IPV6 => (1, 16),
            NAME => match rest.first() {
                Some(length) => (2, usize::from(*length)),
                None => return Ok(None),
            },
            other => return Err(AddressError::Type(other)),
        };
        let end = before + length;
        let (Some(host), Some(&[high, low])) = (input.get(before..end), input.get(end..end + 2))
        else {
            return Ok(None);
        };
        let host = match (<[u8; 4]>::try_from(host), <[u8; 16]>::try_from(host)) {
            (Ok(v4), _) if *kind == IPV4 => Some(Host::Ip(Ipv4Addr::from(v4).into())),
            (_, Ok(v6)) if *kind == IPV6 => Some(Host::Ip(Ipv6Addr::from(v6).into())),
            _ if host.is_empty() => None,
            _ => {
                let name = std::str::from_utf8(host).map_err(|_| AddressError::Host)?;
                Some(name.parse().map_err(|_| AddressError::Host)?)
            }
        };
        Ok(Some((Self { host, port: u16::from_be_bytes([high, low]) }, end + 2)))
    }
}

impl From<&Target> for Address {
    fn from(target: &Target) -> Self {
        Self { host: target.host.clone(), port: target.port }
    }
}

/// What to listen on; every address is an empty name, as gost 3.2.6 says it.
impl From<&ListenAddr> for Address {
    fn from(addr: &ListenAddr) -> Self {
        Self { host: addr.host.clone(), port: addr.port }
    }
}

impl From<std::net::SocketAddr> for Address {
    fn from(addr: std::net::SocketAddr) -> Self {
        Self { host: Some(Host::Ip(addr.ip())), port: addr.port() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, ":{}", self.port),
        }
    }
}
