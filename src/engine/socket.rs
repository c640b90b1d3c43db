//! Where streams come in, and which services they go to.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::layout::{Content, Medium, SocketId};
use super::plan::Front;
use super::service::Services;
use crate::base::{ListenAddr, Reason};
use crate::metrics::Metrics;
use crate::net::listen::BindError;
use crate::transport::ws_server::Handshakes;

mod remote;
mod tcp;
mod udp;

use remote::RemotePort;
use tcp::TcpSocket;
use udp::UdpPort;

/// Handshakes of the process that may be in flight, and where tenants share a front port, those of
/// one source address (or /64): a tenant's limits cannot apply before Host and path say whose they
/// are. Without tenants a client may open all its tunnels at once, as to gost.
pub(super) const HANDSHAKES: usize = 1024;
const HANDSHAKES_OF_A_SOURCE: usize = 64;

/// What every socket shares.
pub(super) struct Surroundings {
    handshakes: Arc<Handshakes>,
    fronts: Vec<Front>,
    tracker: TaskTracker,
    /// Sockets that accept, and connections that are not with their service yet.
    pub arriving: TaskTracker,
    metrics: Metrics,
    /// A socket stands otherwise than before.
    pub changed: Arc<Notify>,
}

/// How a socket stands: the address that it has, or why it has none.
pub(super) type Standing = Result<SocketAddr, (Reason, String)>;

impl Surroundings {
    /// Of a process with these front ports, and so many handshakes in flight.
    pub(super) fn new(
        fronts: &[Front],
        handshakes: usize,
        tracker: TaskTracker,
        metrics: Metrics,
    ) -> Self {
        let of_a_source = if fronts.is_empty() { handshakes } else { HANDSHAKES_OF_A_SOURCE };
        let handshakes = Handshakes::new(handshakes, of_a_source);
        let (fronts, arriving, changed) = (fronts.to_vec(), TaskTracker::new(), Arc::default());
        Self { handshakes, fronts, tracker, arriving, metrics, changed }
    }

    /// Whether an address is a front port that speaks TLS.
    fn is_tls_front(&self, addr: &ListenAddr) -> bool {
        self.fronts.iter().any(|front| front.tls && front.addr == *addr)
    }
}

/// An address that was taken. Dropping it gives the address back; streams that came in live on.
pub(super) enum Socket {
    Tcp(TcpSocket),
    Udp(UdpPort),
    Remote(RemotePort),
}

impl Socket {
    /// Takes the address. Nothing comes in before the first [`route`](Self::route). One of another
    /// machine is had later, or not: see its [`standing`](Self::standing).
    pub(super) fn bind(id: &SocketId, around: &Surroundings) -> Result<Self, BindError> {
        Ok(match id.medium {
            Medium::Tcp => Self::Tcp(TcpSocket::bind(&id.addr, around)?),
            Medium::Udp => Self::Udp(UdpPort::bind(&id.addr, around)?),
            Medium::Remote => Self::Remote(RemotePort::new(id, around)),
        })
    }

    /// The address that the kernel gave, or the node.
    pub(super) fn standing(&self) -> Standing {
        match self {
            Self::Tcp(socket) => Ok(socket.local()),
            Self::Udp(port) => Ok(port.local()),
            Self::Remote(port) => port.standing(),
        }
    }

    /// Whether it takes connections.
    pub(super) fn is_bound(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Udp(_) => true,
            Self::Remote(port) => port.is_bound(),
        }
    }

    /// What has this address and is kept until another one is had.
    pub(super) fn reclaim(&mut self, id: &SocketId) -> Option<Self> {
        match self {
            Self::Remote(port) => port.reclaim(&id.addr).map(Self::Remote),
            Self::Tcp(_) | Self::Udp(_) => None,
        }
    }

    /// Gives the address back, or leaves it to the socket that takes its place until that one has
    /// its own; whether it is given back now.
    pub(super) fn release(self, next: Option<&mut Self>) -> bool {
        if let (Self::Remote(port), Some(Self::Remote(next))) = (self, next) {
            next.follow(port);
            return false;
        }
        true
    }

    /// Sends what comes in from now on to other services.
    pub(super) fn route(&mut self, content: &Content, services: &Services) {
        match self {
            Self::Tcp(socket) => socket.route(content, services),
            Self::Udp(port) => port.route(content, services),
            Self::Remote(port) => port.route(content, services),
        }
    }
}
