//! Taking a port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use crate::base::{Host, ListenAddr, Reason};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 1024;

/// An address that could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another socket has the port.
    #[error("cannot listen on {addr}: the address is in use")]
    InUse {
        /// The address that was wanted.
        addr: ListenAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The process may not have the port.
    #[error("cannot listen on {addr}: not permitted")]
    Forbidden {
        /// The address that was wanted.
        addr: ListenAddr,
        /// The system's error.
        source: io::Error,
    },
    /// This machine has no such address.
    #[error("cannot listen on {addr}")]
    Unusable {
        /// The address that was wanted.
        addr: ListenAddr,
        /// The system's error.
        source: io::Error,
    },
}

impl BindError {
    /// The reason for conditions and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::InUse { .. } => Reason::AddressInUse,
            Self::Forbidden { .. } => Reason::BindForbidden,
            Self::Unusable { .. } => Reason::Invalid,
        }
    }

    /// The system's error about an address.
    pub fn new(addr: &ListenAddr, source: io::Error) -> Self {
        let addr = addr.clone();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { addr, source },
            io::ErrorKind::PermissionDenied => Self::Forbidden { addr, source },
            _ => Self::Unusable { addr, source },
        }
    }
}

/// Listens. Without a host: on every address, IPv4 and IPv6 in one socket if the machine has both.
///
/// # Errors
/// [`BindError`] says whether another socket has the port, it is forbidden, or cannot be.
pub fn bind(addr: &ListenAddr) -> Result<TcpListener, BindError> {
    bind_at(addr, tcp)
}

/// Takes a port for datagrams; which addresses, as [`bind`].
///
/// # Errors
/// [`BindError`].
pub fn bind_udp(addr: &ListenAddr) -> Result<UdpSocket, BindError> {
    bind_at(addr, udp)
}

/// Any port for datagrams to this peer.
pub(super) fn any_udp(peer: SocketAddr) -> io::Result<UdpSocket> {
    match peer {
        SocketAddr::V4(_) => udp((Ipv4Addr::UNSPECIFIED, 0).into()),
        SocketAddr::V6(_) => udp((Ipv6Addr::UNSPECIFIED, 0).into()),
    }
}

fn bind_at<S>(
    addr: &ListenAddr,
    one: impl Fn(SocketAddr) -> io::Result<S>,
) -> Result<S, BindError> {
    let result = match &addr.host {
        None => all(addr.port, one),
        Some(Host::Ip(ip)) => one(SocketAddr::new(*ip, addr.port)),
        Some(Host::Name(name)) => known(name).and_then(|ip| one(SocketAddr::new(ip, addr.port))),
    };
    result.map_err(|e| BindError::new(addr, e))
}

fn all<S>(port: u16, one: impl Fn(SocketAddr) -> io::Result<S>) -> io::Result<S> {
    match one((Ipv6Addr::UNSPECIFIED, port).into()) {
        // IPv6 is switched off, or not built in.
        Err(e)
            if !matches!(e.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) =>
        {
            one((Ipv4Addr::UNSPECIFIED, port).into())
        }
        other => other,
    }
}

/// Only `localhost` and what /etc/hosts says: a service must not move with the DNS.
fn known(name: &str) -> io::Result<IpAddr> {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    super::resolve::in_hosts(&hosts, name)
        .first()
        .copied()
        .or_else(|| (name == "localhost").then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)))
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::AddrNotAvailable, "the name is not in /etc/hosts")
        })
}

fn tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // So that a port whose old connections are in TIME_WAIT can be taken again.
    socket.set_reuse_address(true)?;
    // As GOST's; connections have it of their listener.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // No address reuse: two sockets would share the datagrams.
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    UdpSocket::from_std(socket.into())
}
