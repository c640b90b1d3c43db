//! SOCKS5 (RFC 1928) with user names and passwords (RFC 1929), and GOST's commands besides.

mod udp;

pub use udp::{FrameHeader, PacketHeader};

use super::address::{Address, AddressError};
use super::{Wire, fixed};
use crate::base::Secret;

const VERSION: u8 = 5;

/// Authentication methods. GOST's own, TLS inside of SOCKS (0x80, 0x82), are neither offered nor
/// chosen: over a multiplexed transport closing their TLS ends the session of all streams.
pub mod method {
    /// No authentication.
    pub const NONE: u8 = 0;
    /// User name and password.
    pub const PASSWORD: u8 = 2;
    /// Nothing that was offered will do.
    pub const NO_ACCEPTABLE: u8 = 0xff;
}

/// What a client asks for.
pub mod command {
    /// A stream to an address.
    pub const CONNECT: u8 = 1;
    /// A listener for one connection.
    pub const BIND: u8 = 2;
    /// A UDP port that relays datagrams.
    pub const UDP_ASSOCIATE: u8 = 3;
    /// GOST: a listener whose connections come as streams of smux.
    pub const MUX_BIND: u8 = 0xf2;
    /// GOST: datagrams on this stream.
    pub const UDP_TUN: u8 = 0xf3;
}

/// Codes of replies, as GOST uses them.
pub mod reply {
    /// Granted.
    pub const OK: u8 = 0;
    /// A port could not be bound.
    pub const FAILURE: u8 = 1;
    /// A rule forbids it, or it is switched off.
    pub const NOT_ALLOWED: u8 = 2;
    /// The target was not reached, whatever the reason.
    pub const UNREACHABLE: u8 = 3;
    /// A command that is none.
    pub const UNKNOWN_COMMAND: u8 = 7;
    /// An address type that is none.
    pub const UNKNOWN_ADDRESS: u8 = 8;

    /// What a code means (RFC 1928 section 6).
    pub fn words(code: u8) -> &'static str {
        match code {
            OK => "granted",
            FAILURE => "the node failed",
            NOT_ALLOWED => "a rule of the node forbids it, or it is switched off there",
            UNREACHABLE | 4 => "the target was not reached",
            5 => "the target refused the connection",
            6 => "the target is too far away",
            UNKNOWN_COMMAND => "the node does not know the command",
            UNKNOWN_ADDRESS => "the node does not know the address type",
            _ => "unknown",
        }
    }
}

/// A message that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Socks5Error {
    /// Another version, or another protocol.
    #[error("version {0} is not that of SOCKS5")]
    Version(u8),
    /// A greeting without methods.
    #[error("no authentication method is offered")]
    NoMethods,
    /// A user name that is not UTF-8.
    #[error("the user name or the password is not UTF-8")]
    NotText,
    /// An address that is none.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// The client's first message: the methods that it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting(pub Vec<u8>);

impl Greeting {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let count = u8::try_from(self.0.len()).unwrap_or(u8::MAX);
        [&[VERSION, count], self.0.as_slice()].concat()
    }
}

impl Wire for Greeting {
    type Error = Socks5Error;
    const LINES: bool = false;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, Socks5Error> {
        versioned(input, VERSION)?;
        let Some(&[_, count]) = fixed(input) else { return Ok(None) };
        if count == 0 {
            return Err(Socks5Error::NoMethods);
        }
        let end = 2 + usize::from(count);
        Ok(input.get(2..end).map(|methods| (Self(methods.to_vec()), end)))
    }
}

/// The server's choice among the methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice(pub u8);

impl Choice {
    /// The bytes.
    pub fn encode(self) -> [u8; 2] {
        [VERSION, self.0]
    }
}

impl Wire for Choice {
    type Error = Socks5Error;
    const LINES: bool = false;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, Socks5Error> {
        versioned(input, VERSION)?;
        Ok(fixed::<2>(input).map(|&[_, method]| (Self(method), 2)))
    }
}

/// User name and password (RFC 1929 section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// At most 255 bytes.
    pub username: String,
    /// At most 255 bytes.
    pub password: Secret<String>,
}

const LOGIN_VERSION: u8 = 1;

impl Login {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![LOGIN_VERSION];
        counted(&mut out, self.username.as_bytes());
        counted(&mut out, self.password.expose().as_bytes());
        out
    }
}

impl Wire for Login {
    type Error = Socks5Error;
    const LINES: bool = false;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, Socks5Error> {
        versioned(input, LOGIN_VERSION)?;
        let Some((username, at)) = counted_at(input, 1) else { return Ok(None) };
        let Some((password, end)) = counted_at(input, at) else { return Ok(None) };
        let text =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Socks5Error::NotText);
        let login = Self { username: text(username)?, password: Secret::new(text(password)?) };
        Ok(Some((login, end)))
    }
}

/// Whether a [`Login`] was right (RFC 1929 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginReply(pub bool);

impl LoginReply {
    /// The bytes.
    pub fn encode(self) -> [u8; 2] {
        [LOGIN_VERSION, u8::from(!self.0)]
    }
}

impl Wire for LoginReply {
    type Error = Socks5Error;
    const LINES: bool = false;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, Socks5Error> {
        versioned(input, LOGIN_VERSION)?;
        Ok(fixed::<2>(input).map(|&[_, status]| (Self(status == 0), 2)))
    }
}

/// What a client asks for, and with which address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// See [`command`].
    pub command: u8,
    /// The target, or what to bind.
    pub address: Address,
}

impl Request {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        with_address(self.command, &self.address)
    }
}

impl Wire for Request {
    type Error = Socks5Error;
    const LINES: bool = false;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, Socks5Error> {
        let message = addressed(input)?;
        Ok(message.map(|(command, address, end)| (Self { command, address }, end)))
    }
}

/// The server's answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// See [`reply`].
    pub code: u8,
    /// What was bound.
    pub address: Address,
}

impl Reply {
    /// A reply with nothing bound.
    pub fn new(code: u8) -> Self {
        Self { code, address: Address::unspecified() }
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        with_address(self.code, &self.address)
    }
}

impl Wire for Reply {
    type Error = Socks5Error;
    const LINES: bool = false;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, Socks5Error> {
        let message = addressed(input)?;
        Ok(message.map(|(code, address, end)| (Self { code, address }, end)))
    }
}

fn versioned(input: &[u8], version: u8) -> Result<(), Socks5Error> {
    match input.first() {
        Some(other) if *other != version => Err(Socks5Error::Version(*other)),
        _ => Ok(()),
    }
}

fn with_address(code: u8, address: &Address) -> Vec<u8> {
    let mut out = vec![VERSION, code, 0];
    address.encode(&mut out);
    out
}

fn addressed(input: &[u8]) -> Result<Option<(u8, Address, usize)>, Socks5Error> {
    versioned(input, VERSION)?;
    let Some(&[_, code, _]) = fixed(input) else { return Ok(None) };
    let decoded = Address::decode(input.get(3..).unwrap_or_default())?;
    Ok(decoded.map(|(address, length)| (code, address, 3 + length)))
}

/// A length in a byte, then as many bytes.
pub(super) fn counted(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend_from_slice(bytes.get(..usize::from(length)).unwrap_or(bytes));
}

/// The same, read at a place: the bytes, and where they end.
pub(super) fn counted_at(input: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let length = usize::from(*input.get(at)?);
    let end = at + 1 + length;
    Some((input.get(at + 1..end)?, end))
}
