//! GOST's relay protocol, version 1: a request and a response with features, then the stream.
//!
//! All numbers are big-endian. Both messages say their length, so payload may follow at once.

use super::address::{Address, AddressError};
use super::socks5::{counted, counted_at};
use super::{Wire, fixed};
use crate::base::{Network, Secret};

const VERSION: u8 = 1;
/// The flag of a command that it is about datagrams.
const UDP: u8 = 0x80;
const HEADER: usize = 4;

const USER_AUTH: u8 = 1;
const ADDR: u8 = 2;
const NETWORK: u8 = 4;

/// What a client asks for: the lower half of the command byte.
pub mod command {
    /// A stream to an address; 0 is the same.
    pub const CONNECT: u8 = 1;
    /// A listener whose connections come as streams of smux.
    pub const BIND: u8 = 2;
}

/// Status codes of responses.
pub mod status {
    /// Granted.
    pub const OK: u8 = 0;
    /// No address, or an unknown command.
    pub const BAD_REQUEST: u8 = 1;
    /// Missing or wrong credentials.
    pub const UNAUTHORIZED: u8 = 2;
    /// A rule forbids it, or it is switched off.
    pub const FORBIDDEN: u8 = 3;
    /// The forwarder has no target, or a port could not be bound.
    pub const SERVICE_UNAVAILABLE: u8 = 5;
    /// The forwarder's target was not reached.
    pub const HOST_UNREACHABLE: u8 = 6;
    /// The target that was asked for was not reached.
    pub const NETWORK_UNREACHABLE: u8 = 7;

    /// What a status means.
    pub fn words(status: u8) -> &'static str {
        match status {
            OK => "granted",
            BAD_REQUEST => "the request was not understood",
            UNAUTHORIZED => "missing or wrong credentials",
            FORBIDDEN => "forbidden",
            4 => "it took too long",
            SERVICE_UNAVAILABLE => "the service is unavailable",
            HOST_UNREACHABLE | NETWORK_UNREACHABLE => "the target was not reached",
            8 => "an internal error",
            _ => "unknown",
        }
    }
}

/// A message that is none. GOST closes without an answer then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// Another version, or another protocol.
    #[error("version {0} is not that of the relay protocol")]
    Version(u8),
    /// A feature that ends before it should, or after.
    #[error("a feature has the wrong length")]
    Length,
    /// Credentials that are not UTF-8.
    #[error("the user name or the password is not UTF-8")]
    NotText,
    /// An address that is none.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// User name and password of a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAuth {
    /// At most 255 bytes.
    pub username: String,
    /// At most 255 bytes.
    pub password: Secret<String>,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// See [`command`]; 0 is CONNECT too.
    pub command: u8,
    /// Streams or datagrams.
    pub network: Network,
    /// Who asks.
    pub auth: Option<UserAuth>,
    /// The target, or what to bind.
    pub address: Option<Address>,
}

impl Request {
    /// The bytes, the features in GOST's order. CONNECT of streams has no network feature; BIND
    /// always has, behind the credentials.
    pub fn encode(&self) -> Vec<u8> {
        let udp = self.network == Network::Udp;
        let bind = self.command == command::BIND;
        let network = |out: &mut Vec<u8>| feature(out, NETWORK, &[0, u8::from(udp)]);
        let mut features = Vec::new();
        if udp && !bind {
            network(&mut features);
        }
        if let Some(auth) = &self.auth {
            let mut data = Vec::new();
            counted(&mut data, auth.username.as_bytes());
            counted(&mut data, auth.password.expose().as_bytes());
            feature(&mut features, USER_AUTH, &data);
        }
        if bind {
            network(&mut features);
        }
        if let Some(address) = &self.address {
            addr(&mut features, address);
        }
        message(self.command | if udp { UDP } else { 0 }, &features)
    }
}

impl Wire for Request {
    type Error = RelayError;
    const LINES: bool = false;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, RelayError> {
        let Some((first, features, end)) = parts(input)? else { return Ok(None) };
        let mut request = Self {
            command: first & 0x0f,
            network: if first & UDP != 0 { Network::Udp } else { Network::Tcp },
            auth: None,
            address: None,
        };
        // The last of several counts, as in GOST.
        for feature in Features(features) {
            let (kind, data) = feature?;
            match kind {
                USER_AUTH => request.auth = Some(user_auth(data)?),
                ADDR => request.address = Some(address(data)?),
                NETWORK => match data {
                    [0, 1] => request.network = Network::Udp,
                    [_, _] => {}
                    _ => return Err(RelayError::Length),
                },
                // Newer features are for newer servers; 3.2.6 drops the connection instead.
                _ => {}
            }
        }
        Ok(Some((request, end)))
    }
}

/// The server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// See [`status`].
    pub status: u8,
    /// What was bound, or who connected to it. Of several the first: newer GOST may name behind it
    /// what the peer asked for.
    pub address: Option<Address>,
}

impl Response {
    /// An answer without an address.
    pub fn new(status: u8) -> Self {
        Self { status, address: None }
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut features = Vec::new();
        if let Some(address) = &self.address {
            addr(&mut features, address);
        }
        message(self.status, &features)
    }
}

impl Wire for Response {
    type Error = RelayError;
    const LINES: bool = false;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, RelayError> {
        let Some((status, features, end)) = parts(input)? else { return Ok(None) };
        let mut response = Self::new(status);
        for feature in Features(features) {
            if let (ADDR, data) = feature? {
                let address = address(data)?;
                response.address.get_or_insert(address);
            }
        }
        Ok(Some((response, end)))
    }
}

fn message(first: u8, features: &[u8]) -> Vec<u8> {
    let length = u16::try_from(features.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[VERSION, first], &length[..], features].concat()
}

fn feature(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(data);
}

fn addr(out: &mut Vec<u8>, address: &Address) {
    let mut data = Vec::new();
    address.encode(&mut data);
    feature(out, ADDR, &data);
}

/// The second byte, the features, and where the message ends.
type Parts<'a> = (u8, &'a [u8], usize);

fn parts(input: &[u8]) -> Result<Option<Parts<'_>>, RelayError> {
    if let Some(version) = input.first().filter(|version| **version != VERSION) {
        return Err(RelayError::Version(*version));
    }
    let Some(&[_, first, high, low]) = fixed(input) else { return Ok(None) };
    let end = HEADER + usize::from(u16::from_be_bytes([high, low]));
    Ok(input.get(HEADER..end).map(|features| (first, features, end)))
}

/// The features of a message, type and data.
struct Features<'a>(&'a [u8]);

impl<'a> Iterator for Features<'a> {
    type Item = Result<(u8, &'a [u8]), RelayError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Some(&[kind, high, low]) = fixed(self.0) else {
            self.0 = &[];
            return Some(Err(RelayError::Length));
        };
        let end = 3 + usize::from(u16::from_be_bytes([high, low]));
        let data = self.0.get(3..end);
        self.0 = self.0.get(end..).unwrap_or_default();
        Some(data.map(|data| (kind, data)).ok_or(RelayError::Length))
    }
}

fn user_auth(data: &[u8]) -> Result<UserAuth, RelayError> {
    let (username, at) = counted_at(data, 0).ok_or(RelayError::Length)?;
    let (password, _) = counted_at(data, at).ok_or(RelayError::Length)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| RelayError::NotText);
    Ok(UserAuth { username: text(username)?, password: Secret::new(text(password)?) })
}

/// An address, or what newer GOST makes of `:2222` in a BIND: the name `0.0.0.0::2222` and port 0.
fn address(data: &[u8]) -> Result<Address, RelayError> {
    if let Some(port) = malformed_bind(data) {
        return Ok(Address { host: None, port });
    }
    match Address::decode(data)? {
        Some((address, _)) => Ok(address),
        None => Err(RelayError::Length),
    }
}

fn malformed_bind(data: &[u8]) -> Option<u16> {
    let (name, end) = counted_at(data.strip_prefix(&[3])?, 0)?;
    if data.get(1 + end..)? != [0, 0] {
        return None;
    }
    std::str::from_utf8(name).ok()?.strip_prefix("0.0.0.0::")?.parse().ok()
}
