//! The dialler that opens real sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Dial, DialError, Dialing};
use crate::base::{Host, Origin, Target};
use crate::config::model::TcpKeepalive;
use crate::net::guard::Guard;
use crate::net::resolve::Resolver;

/// GOST's default for a dial: the name, the connection and the handshakes on it.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

/// The head start of one address before the next one is tried too (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Opens sockets: resolves, asks the guard about every address, tries one after the other.
pub struct Dialer {
    resolver: Resolver,
    guard: Arc<Guard>,
    timeout: Duration,
}

impl Dialer {
    /// A dialler with the default time limit.
    pub fn new(resolver: Resolver, guard: Arc<Guard>) -> Self {
        Self { resolver, guard, timeout: DIAL_TIMEOUT }
    }

    async fn addresses(
        &self,
        origin: &Origin,
        target: &Target,
    ) -> Result<Vec<SocketAddr>, DialError> {
        let ips: Vec<IpAddr> = match &target.host {
            None => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Some(Host::Ip(ip)) => vec![*ip],
            Some(Host::Name(name)) => self
                .resolver
                .resolve(origin, name)
                .await
                .map_err(|cause| DialError::Dns { target: target.clone(), cause })?,
        };
        let mut denied = None;
        let mut allowed = Vec::with_capacity(ips.len());
        for ip in ips {
            match self.guard.check(origin, ip, target.port) {
                Ok(()) => allowed.push(SocketAddr::new(ip, target.port)),
                Err(why) => denied = Some(why),
            }
        }
        match (allowed.is_empty(), denied) {
            (true, Some(why)) => Err(DialError::EgressDenied { target: target.clone(), why }),
            _ => Ok(allowed),
        }
    }

    async fn connect(
        &self,
        origin: &Origin,
        target: &Target,
        keepalive: Option<&TcpKeepalive>,
    ) -> Result<TcpStream, DialError> {
        let stream = self.race(self.addresses(origin, target).await?, target).await?;
        if let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr())
            && local == peer
        {
            // TCP's simultaneous open: a dial to an ephemeral port can meet itself.
            return Err(DialError::Itself { target: target.clone() });
        }
        let set = stream.set_nodelay(true).and_then(|()| match keepalive {
            Some(keepalive) => set_keepalive(&stream, keepalive),
            None => Ok(()),
        });
        set.map_err(|e| classed(target, e))?;
        Ok(stream)
    }

    #[allow(clippy::disallowed_methods, reason = "the one place that connects")]
    /// The first address that answers; each has a head start before the next one.
    async fn race(&self, addrs: Vec<SocketAddr>, target: &Target) -> Result<TcpStream, DialError> {
        let mut waiting = addrs.into_iter();
        let mut running = FuturesUnordered::new();
        let mut last = None;
        loop {
            match waiting.next() {
                Some(addr) => running.push(TcpStream::connect(addr)),
                None if running.is_empty() => {
                    let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
                    return Err(classed(target, last.unwrap_or_else(none)));
                }
                None => {}
            }
            let first = if waiting.len() == 0 {
                running.next().await
            } else {
                match timeout(HEAD_START, running.next()).await {
                    Ok(first) => first,
                    Err(_) => continue,
                }
            };
            match first {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(e)) => last = Some(e),
                None => {}
            }
        }
    }
}

impl Dial for Dialer {
    fn dial<'a>(
        &'a self,
        origin: &'a Origin,
        target: &'a Target,
        keepalive: Option<&'a TcpKeepalive>,
    ) -> Dialing<'a> {
        Box::pin(async move {
            match timeout(self.timeout, self.connect(origin, target, keepalive)).await {
                Ok(Ok(stream)) => Ok(Box::new(stream) as _),
                Ok(Err(e)) => Err(e),
                Err(_) => Err(DialError::Timeout { target: target.clone() }),
            }
        })
    }
}

/// Switches TCP keepalive on; what is unset has Go's values (15 s, 15 s, 9), as in GOST.
///
/// # Errors
/// The system's, if the socket is gone.
pub fn set_keepalive(stream: &TcpStream, keepalive: &TcpKeepalive) -> io::Result<()> {
    let default = Duration::from_secs(15);
    let settings = socket2::TcpKeepalive::new()
        .with_time(keepalive.idle.unwrap_or(default))
        .with_interval(keepalive.interval.unwrap_or(default))
        .with_retries(keepalive.count.unwrap_or(9));
    SockRef::from(stream).set_tcp_keepalive(&settings)
}

fn classed(target: &Target, source: io::Error) -> DialError {
    let target = target.clone();
    match source.kind() {
        io::ErrorKind::ConnectionRefused => DialError::Refused { target, source },
        io::ErrorKind::TimedOut => DialError::Timeout { target },
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::NetworkDown => DialError::Unreachable { target, source },
        _ => DialError::Other { target, source },
    }
}
