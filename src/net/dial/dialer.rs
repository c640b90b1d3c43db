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

use super::circles::Circles;
use super::{AssociateRequest, Dial, DialError, DialRequest, Dialing, Looking};
use crate::base::{Host, ListenAddr, Network, Origin, Target};
use crate::config::model::{Names, TcpKeepalive};
use crate::io::BoxIo;
use crate::net::guard::Guard;
use crate::net::listen::{self, BindError};
use crate::net::resolve::Resolver;
use crate::net::udp::{self, Named, UdpIo, Unconnected};

/// GOST's default for a dial: the name, the connection and the handshakes on it.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

/// The head start of one address before the next one is tried too (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// The most addresses of one name that are tried, unless everything is allowed: a tenant's name server
/// must not turn one dial into thousands.
const MAX_ADDRESSES: usize = 16;

/// Opens sockets: resolves, asks the guard about every address, tries one after the other.
#[derive(Clone)]
pub struct Dialer {
    resolver: Resolver,
    guard: Arc<Guard>,
    circles: Arc<Circles>,
}

impl Dialer {
    /// A dialler that asks this resolver and this guard.
    pub fn new(resolver: Resolver, guard: Arc<Guard>) -> Self {
        Self { resolver, guard, circles: Arc::default() }
    }

    /// The addresses of a name, unless one of its name servers is where the origin may not go.
    async fn resolve(
        &self,
        origin: &Origin,
        names: &Names,
        name: &str,
    ) -> Result<Vec<IpAddr>, String> {
        for server in names.resolver.iter().flat_map(|config| &config.nameservers) {
            if let Some(Host::Ip(ip)) = &server.addr.host
                && let network = if server.tcp { Network::Tcp } else { Network::Udp }
                && let Err(why) = self.guard.check(origin, network, *ip, server.addr.port)
            {
                return Err(format!("the name server {} is not allowed: {why}", server.addr));
            }
        }
        self.resolver.resolve(origin, names, name).await
    }

    async fn addresses(
        &self,
        origin: &Origin,
        names: &Names,
        network: Network,
        target: &Target,
    ) -> Result<Vec<SocketAddr>, DialError> {
        let ips: Vec<IpAddr> = match &target.host {
            None => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Some(Host::Ip(ip)) => vec![*ip],
            Some(Host::Name(name)) => self
                .resolve(origin, names, name)
                .await
                .map_err(|cause| DialError::Dns { target: target.clone(), cause })?,
        };
        let mut denied = None;
        let mut allowed = Vec::with_capacity(ips.len());
        for ip in ips {
            match self.guard.check(origin, network, ip, target.port) {
                Ok(()) => allowed.push(SocketAddr::new(ip, target.port)),
                Err(why) => denied = Some(why),
            }
        }
        if self.guard.is_on() {
            allowed.truncate(MAX_ADDRESSES);
        }
        match (allowed.is_empty(), denied) {
            (true, Some(why)) => Err(DialError::EgressDenied { target: target.clone(), why }),
            _ => Ok(allowed),
        }
    }

    async fn connect(&self, request: DialRequest<'_>) -> Result<TcpStream, DialError> {
        let DialRequest { origin, target, client, names, keepalive, .. } = request;
        let addrs = self.addresses(origin, names, Network::Tcp, target).await?;
        let (stream, peer) = self.race(addrs, target).await?;
        let local = stream.local_addr().map_err(|e| classed(target, e))?;
        if local == peer {
            // TCP's simultaneous open: a dial to an ephemeral port can meet itself.
            return Err(DialError::Itself { target: target.clone() });
        }
        if !self.circles.enter(Network::Tcp, local, peer, client) {
            return Err(DialError::Circle { target: target.clone() });
        }
        let set = stream.set_nodelay(true).and_then(|()| match keepalive {
            Some(keepalive) => set_keepalive(&stream, keepalive),
            None => Ok(()),
        });
        set.map_err(|e| classed(target, e))?;
        Ok(stream)
    }

    /// A port for datagrams to the first address to which a way leads: whether anybody is there
    /// only answers tell.
    async fn datagrams(&self, request: DialRequest<'_>) -> Result<UdpIo, DialError> {
        let DialRequest { origin, target, client, names, .. } = request;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for addr in self.addresses(origin, names, Network::Udp, target).await? {
            match UdpIo::connect(addr).await {
                Ok(io) => {
                    let local = io.local_addr().map_err(|e| classed(target, e))?;
                    if !self.circles.enter(Network::Udp, local, addr, client) {
                        return Err(DialError::Circle { target: target.clone() });
                    }
                    return Ok(io);
                }
                Err(e) => last = e,
            }
        }
        Err(classed(target, last))
    }

    /// The first address that answers, and which one; each has a head start before the next one.
    async fn race(
        &self,
        addrs: Vec<SocketAddr>,
        target: &Target,
    ) -> Result<(TcpStream, SocketAddr), DialError> {
        if let [addr] = *addrs {
            return open(addr).await.map_err(|e| classed(target, e));
        }
        let mut waiting = addrs.into_iter();
        let mut running = FuturesUnordered::new();
        let mut last = None;
        loop {
            match waiting.next() {
                Some(addr) => running.push(open(addr)),
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
                Some(Ok(opened)) => return Ok(opened),
                Some(Err(e)) => last = Some(e),
                None => {}
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that connects")]
async fn open(addr: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    Ok((TcpStream::connect(addr).await?, addr))
}

impl Dial for Dialer {
    fn dial<'a>(&'a self, request: DialRequest<'a>) -> Dialing<'a> {
        Box::pin(async move {
            let target = request.target;
            let within = request.within.unwrap_or(Duration::MAX);
            let dialling = async {
                Ok(match request.network {
                    Network::Tcp => Box::new(self.connect(request).await?) as BoxIo,
                    Network::Udp => Box::new(self.datagrams(request).await?),
                })
            };
            match timeout(within, dialling).await {
                Ok(result) => result,
                Err(_) => Err(DialError::Timeout { target: target.clone() }),
            }
        })
    }

    fn associate(&self, request: AssociateRequest<'_>) -> Result<(BoxIo, SocketAddr), BindError> {
        let AssociateRequest { origin, names, port, longest, metrics } = request;
        let any = ListenAddr::port(0);
        let addr = port.unwrap_or(&any);
        let socket = listen::bind_udp(addr)?;
        let local = socket.local_addr().map_err(|e| BindError::new(addr, e))?;
        let guarded = (self.guard.clone(), origin.clone());
        let packets = Unconnected::new(socket, longest, guarded, metrics.clone())
            .map_err(|e| BindError::new(addr, e))?;
        let (guard, of) = (self.guard.clone(), origin.clone());
        let allowed =
            move |to: SocketAddr| guard.check(&of, Network::Udp, to.ip(), to.port()).is_ok();
        let (dialer, origin, names) = (self.clone(), origin.clone(), names.clone());
        let look = move |name: &str| -> udp::Looking {
            let (dialer, origin) = (dialer.clone(), origin.clone());
            let (names, name) = (names.clone(), name.to_string());
            Box::pin(async move {
                let mut ips = dialer.resolve(&origin, &names, &name).await?;
                if names.resolver.is_none() {
                    // Nobody tells whether a way leads there; that of IPv4 does as a rule.
                    ips.sort_by_key(IpAddr::is_ipv6);
                }
                Ok(ips)
            })
        };
        Ok((Box::new(Named::new(Box::new(packets), look, allowed, metrics.clone())), local))
    }

    fn lookup<'a>(&'a self, origin: &'a Origin, names: &'a Names, name: &'a str) -> Looking<'a> {
        Box::pin(self.resolve(origin, names, name))
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
