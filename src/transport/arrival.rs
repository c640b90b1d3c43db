//! Whose a connection is: the TCP peer, or whom a trusted proxy names.
//!
//! A proxy names its client before the first byte (PROXY protocol) or in the fields of a request.
//! Whoever is not in `trustedProxies` is believed neither.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper::header::HeaderMap;
use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::config::model::{TcpListenerConfig, WsListenerConfig};
use crate::io::{AsyncIo, ReadError, read_wire};
use crate::proto::proxy_protocol::{MAX_HEADER, ProxyHeader, ProxyHeaderError};

/// For a PROXY header, GOST's limit. Only the connection itself waits.
const WITHIN: Duration = Duration::from_secs(10);

/// How long a connection that was accepted may take to say what it wants when its socket is given up.
pub const LAST_REQUEST: Duration = Duration::from_secs(1);

/// A connection on its way to its service.
pub struct Arriving {
    /// Its socket is given up.
    pub stop: CancellationToken,
    /// Kept until the service has it.
    pub hold: TaskTrackerToken,
}

impl Arriving {
    /// Returns when its socket was given up, and the time for a last word is over.
    pub async fn late(&self) {
        self.stop.cancelled().await;
        sleep(LAST_REQUEST).await;
    }
}

/// A connection that was to name its client, and broke off.
#[derive(Debug, thiserror::Error)]
pub enum ProxiedError {
    /// The header is not complete in time.
    #[error("no complete PROXY header in time")]
    Timeout,
    /// Not a header, or the connection ended.
    #[error("no usable PROXY header")]
    Header(#[source] ReadError<ProxyHeaderError>),
}

/// Which proxies a service believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// `proxyProtocol`: a PROXY header may come first.
    pub proxy_protocol: bool,
    /// `trustedProxies`.
    pub proxies: Vec<IpNet>,
}

impl From<&TcpListenerConfig> for Trust {
    fn from(config: &TcpListenerConfig) -> Self {
        Self { proxy_protocol: config.proxy_protocol, proxies: config.trusted_proxies.clone() }
    }
}

impl From<&WsListenerConfig> for Trust {
    fn from(config: &WsListenerConfig) -> Self {
        Self { proxy_protocol: config.proxy_protocol, proxies: config.trusted_proxies.clone() }
    }
}

impl Trust {
    /// Whether a PROXY header of this peer counts. With `proxyProtocol` and without
    /// `trustedProxies` everybody's does, as in GOST.
    pub fn header_of(&self, peer: SocketAddr) -> bool {
        self.proxy_protocol && (self.proxies.is_empty() || trusts(&self.proxies, peer.ip()))
    }

    /// Whether this peer may speak for others: who its client is comes later.
    pub fn proxy(&self, peer: SocketAddr) -> bool {
        self.header_of(peer) || trusts(&self.proxies, peer.ip())
    }

    /// The client of a connection, if a PROXY header named one.
    pub fn client(&self, peer: SocketAddr, named: Option<SocketAddr>) -> SocketAddr {
        named.filter(|_| self.header_of(peer)).unwrap_or(peer)
    }
}

/// Reads the PROXY header that may come first. What follows it stays in `io`.
///
/// # Errors
/// [`ProxiedError`]: the connection cannot go on.
pub async fn named_client(io: &mut AsyncIo<TcpStream>) -> Result<Option<SocketAddr>, ProxiedError> {
    let until = Instant::now() + WITHIN;
    // Who is silent has no header, and may wait for our first byte.
    if timeout_at(until, io.get_ref().readable()).await.is_err() {
        return Ok(None);
    }
    let read = match timeout_at(until, read_wire::<ProxyHeader>(io, MAX_HEADER)).await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => return Err(ProxiedError::Header(error)),
        Err(_) => return Err(ProxiedError::Timeout),
    };
    io.put_back(read.leftover());
    Ok(match read.value {
        ProxyHeader::Proxied { source, .. } => {
            Some(SocketAddr::new(source.ip().to_canonical(), source.port()))
        }
        ProxyHeader::Absent | ProxyHeader::Unknown => None,
    })
}

fn trusts(proxies: &[IpNet], ip: IpAddr) -> bool {
    proxies.iter().any(|net| net.contains(&ip))
}

/// The client of a request that came from `peer`, as trusted proxies name it: the last address of
/// `X-Forwarded-For` that is not a trusted proxy's own (what is left of it may be made up), else
/// `CF-Connecting-IP`, else `X-Real-IP`. GOST believes them of everybody and takes the first.
pub fn forwarded_client(headers: &HeaderMap, trusted: &[IpNet], peer: SocketAddr) -> SocketAddr {
    if !trusts(trusted, peer.ip()) {
        return peer;
    }
    let values =
        |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    let mut nearest = None;
    let hops: Vec<&str> = values("x-forwarded-for").flat_map(|value| value.split(',')).collect();
    for hop in hops.iter().rev() {
        let Some(ip) = address(hop) else { break };
        nearest = Some(ip);
        if !trusts(trusted, ip) {
            break;
        }
    }
    let alone = |name| {
        let mut values = values(name);
        values.next().filter(|_| values.next().is_none()).and_then(address)
    };
    if nearest.is_none() && hops.is_empty() {
        nearest = alone("cf-connecting-ip").or_else(|| alone("x-real-ip"));
    }
    // Nobody says which port the client has.
    nearest.map_or(peer, |ip| SocketAddr::new(ip, 0))
}

/// An address, as proxies write them: also with a port or in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip: Option<IpAddr> = bare.parse().ok();
    ip.or_else(|| text.parse::<SocketAddr>().ok().map(|addr| addr.ip())).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        forwarded_client(&map, &trusted, peer.parse().unwrap()).ip().to_string()
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        let header = [("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client("10.0.0.1:1", &header), "192.0.2.1");
        assert_eq!(client("192.0.2.9:1", &header), "192.0.2.9");
        assert_eq!(client("10.0.0.1:1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_the_client_made_up_does_not_count() {
        for (value, expected) in [
            ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
            ("6.6.6.6, 192.0.2.1, 10.1.1.1", "192.0.2.1"),
            ("10.2.2.2,10.1.1.1", "10.2.2.2"),
            ("6.6.6.6, nonsense, 10.1.1.1", "10.1.1.1"),
            ("nonsense", "10.0.0.1"),
            ("6.6.6.6, [2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
        ] {
            assert_eq!(client("10.0.0.1:1", &[("x-forwarded-for", value)]), expected, "{value}");
        }
        let lines = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client("10.0.0.1:1", &lines), "192.0.2.1");
    }

    #[test]
    fn the_other_fields_count_only_alone() {
        let (cf, real) = (("cf-connecting-ip", "192.0.2.1"), ("x-real-ip", "192.0.2.2"));
        assert_eq!(client("10.0.0.1:1", &[real]), "192.0.2.2");
        assert_eq!(client("10.0.0.1:1", &[real, cf]), "192.0.2.1");
        assert_eq!(client("10.0.0.1:1", &[real, ("x-real-ip", "192.0.2.3")]), "10.0.0.1");
        let all = [real, cf, ("x-forwarded-for", "192.0.2.3")];
        assert_eq!(client("10.0.0.1:1", &all), "192.0.2.3");
    }

    #[test]
    fn a_header_counts_for_the_services_that_ask_for_it() {
        let (peer, named) = ("10.0.0.1:1".parse().unwrap(), "192.0.2.1:7".parse().unwrap());
        let trust = |proxy_protocol, nets: &[&str]| Trust {
            proxy_protocol,
            proxies: nets.iter().map(|net| net.parse().unwrap()).collect(),
        };
        assert_eq!(trust(true, &[]).client(peer, Some(named)), named);
        assert_eq!(trust(true, &["10.0.0.0/8"]).client(peer, Some(named)), named);
        assert_eq!(trust(true, &["10.1.0.0/16"]).client(peer, Some(named)), peer);
        assert_eq!(trust(false, &["10.0.0.0/8"]).client(peer, Some(named)), peer);
    }
}
