//! SOCKS4 and SOCKS4a.

use std::net::Ipv4Addr;

use super::address::AddressError;
use super::{Wire, fixed};
use crate::base::{Host, Target};

const VERSION: u8 = 4;

/// The longest user id and host name in bytes.
const MAX_TEXT: usize = 255;

/// A stream to an address: the only command that GOST serves.
pub const CONNECT: u8 = 1;

/// Codes of replies, as GOST uses them.
pub mod reply {
    /// Granted.
    pub const OK: u8 = 90;
    /// The target was not reached.
    pub const FAILED: u8 = 91;
    /// A rule forbids the target.
    pub const NOT_ALLOWED: u8 = 92;
    /// The user id is not accepted.
    pub const UNAUTHORIZED: u8 = 93;

    /// What a code means.
    pub fn words(code: u8) -> &'static str {
        match code {
            OK => "granted",
            FAILED => "the target was not reached, or the node refuses it",
            NOT_ALLOWED => "a rule of the node forbids it",
            UNAUTHORIZED => "the user id is not accepted",
            _ => "unknown",
        }
    }
}

/// A message that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Socks4Error {
    /// Another version, or another protocol.
    #[error("version {0} is not that of SOCKS4")]
    Version(u8),
    /// A user id or host name that is too long or not UTF-8.
    #[error("the user id or the host is not text of at most 255 bytes")]
    Text,
    /// A host that is none, or port 0.
    #[error("not something to connect to")]
    Target,
    /// An address that is none.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// [`CONNECT`], or something else.
    pub command: u8,
    /// Where to: an IPv4 address, or with 4a a name.
    pub target: Target,
    /// The user id.
    pub user: String,
}

impl Request {
    /// The bytes. An IPv6 address goes as its text, as a name: SOCKS4 has no other way.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.command];
        out.extend_from_slice(&self.target.port.to_be_bytes());
        let name = match &self.target.host {
            Some(Host::Ip(std::net::IpAddr::V4(ip))) => {
                out.extend_from_slice(&ip.octets());
                None
            }
            Some(Host::Ip(ip)) => Some(ip.to_string()),
            Some(Host::Name(name)) => Some(name.clone()),
            None => Some("localhost".to_string()),
        };
        if name.is_some() {
            out.extend_from_slice(&[0, 0, 0, 1]);
        }
        out.extend_from_slice(self.user.as_bytes());
        out.push(0);
        if let Some(name) = name {
            out.extend_from_slice(name.as_bytes());
            out.push(0);
        }
        out
    }
}

impl Wire for Request {
    type Error = Socks4Error;
    const LINES: bool = false;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, Socks4Error> {
        match input.first() {
            Some(&VERSION) => {}
            Some(other) => return Err(Socks4Error::Version(*other)),
            None => return Ok(None),
        }
        let Some(&[_, command, high, low, a, b, c, d]) = fixed(input) else { return Ok(None) };
        let Some((user, end)) = text(input, 8)? else { return Ok(None) };
        let named = [a, b, c] == [0; 3] && d != 0;
        let (host, end) = match named {
            false => (Host::Ip(Ipv4Addr::new(a, b, c, d).into()), end),
            true => match text(input, end)? {
                Some((name, end)) => (name.parse().map_err(|_| Socks4Error::Target)?, end),
                None => return Ok(None),
            },
        };
        let port = u16::from_be_bytes([high, low]);
        if port == 0 {
            return Err(Socks4Error::Target);
        }
        Ok(Some((Self { command, target: Target { host: Some(host), port }, user }, end)))
    }
}

/// Text up to a zero byte, and where what follows begins.
fn text(input: &[u8], at: usize) -> Result<Option<(String, usize)>, Socks4Error> {
    let rest = input.get(at..).unwrap_or_default();
    let Some(length) = rest.iter().take(MAX_TEXT + 1).position(|b| *b == 0) else {
        return if rest.len() > MAX_TEXT { Err(Socks4Error::Text) } else { Ok(None) };
    };
    let bytes = rest.get(..length).unwrap_or_default().to_vec();
    let text = String::from_utf8(bytes).map_err(|_| Socks4Error::Text)?;
    Ok(Some((text, at + length + 1)))
}

/// The server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply(pub u8);

impl Reply {
    /// The bytes.
    pub fn encode(self) -> [u8; 8] {
        [0, self.0, 0, 0, 0, 0, 0, 0]
    }
}

impl Wire for Reply {
    type Error = Socks4Error;
    const LINES: bool = false;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, Socks4Error> {
        match input.first() {
            Some(0) | None => Ok(fixed::<8>(input).map(|bytes| (Self(bytes[1]), 8))),
            Some(other) => Err(Socks4Error::Version(*other)),
        }
    }
}
