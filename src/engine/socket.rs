//! Where streams come in, and which services they go to.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::layout::{Content, Medium, SocketId};
use super::plan::{Front, Ports};
use super::service::Services;
use crate::base::{Bound, ListenAddr, Reason};
use crate::metrics::Metrics;
use crate::net::listen::BindError;
use crate::transport::ws_server::Handshakes;

mod remote;
mod tcp;
mod udp;

use remote::RemotePort;
use tcp::TcpSocket;
use udp::UdpPort;

/// Handshakes that may be in flight on the front ports together, and those of one source address (or
/// /64) on them or on a tunnel's own port: a tenant's limits cannot apply before Host and path say whose
/// they are. A process without front ports has one tenant: there they are those of all ports, and a
/// client may open all its tunnels at once, as to gost.
const HANDSHAKES: usize = 1024;
const HANDSHAKES_OF_A_SOURCE: usize = 64;

/// Handshakes that may be in flight on a tunnel's own port: what is slow there stops nobody else.
const HANDSHAKES_OF_A_PORT: usize = 128;

/// What every socket shares.
pub(super) struct Surroundings {
    handshakes: Arc<Handshakes>,
    of_a_source: usize,
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
    /// Of a process with these ports.
    pub(super) fn new(ports: &Ports, tracker: TaskTracker, metrics: Metrics) -> Self {
        let total = ports.handshakes.unwrap_or(HANDSHAKES);
        let (name, of_a_source) = match ports.fronts.is_empty() {
            true => ("all", total),
            false => ("front", ports.handshakes_of_source.unwrap_or(HANDSHAKES_OF_A_SOURCE)),
        };
        let handshakes =
            Handshakes::new(name, total, of_a_source, Bound::FrontHandshakes, &metrics);
        let (arriving, changed) = (TaskTracker::new(), Arc::default());
        let fronts = ports.fronts.clone();
        Self { handshakes, of_a_source, fronts, tracker, arriving, metrics, changed }
    }

    /// The handshakes of a port: a tunnel's own one has its own.
    fn handshakes_of(&self, addr: &ListenAddr) -> Arc<Handshakes> {
        if self.fronts.is_empty() || self.is_front(addr) {
            return self.handshakes.clone();
        }
        let (total, of_a_source) = (HANDSHAKES_OF_A_PORT, self.of_a_source);
        Handshakes::new(addr.to_string(), total, of_a_source, Bound::PortHandshakes, &self.metrics)
    }

    fn is_front(&self, addr: &ListenAddr) -> bool {
        self.fronts.iter().any(|front| front.addr == *addr)
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
