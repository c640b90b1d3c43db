//! Where streams come in, and which services they go to.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::layout::{Content, Medium, SocketId};
use super::service::Services;
use crate::metrics::Metrics;
use crate::net::listen::BindError;
use crate::transport::ws_server::Handshakes;

mod tcp;
mod udp;

use tcp::TcpSocket;
use udp::UdpPort;

/// Handshakes of the process that may be in flight, and where tenants share a front port, those of
/// one source address (or /64): a tenant's limits cannot apply before Host and path say whose they
/// are. Without tenants a client may open all its tunnels at once, as to gost.
const HANDSHAKES: usize = 1024;
const HANDSHAKES_OF_A_SOURCE: usize = 64;

/// What every socket shares.
pub(super) struct Surroundings {
    handshakes: Arc<Handshakes>,
    tracker: TaskTracker,
    metrics: Metrics,
}

impl Surroundings {
    /// `shared`: with front ports.
    pub(super) fn new(shared: bool, tracker: TaskTracker, metrics: Metrics) -> Self {
        let of_a_source = if shared { HANDSHAKES_OF_A_SOURCE } else { HANDSHAKES };
        Self { handshakes: Handshakes::new(HANDSHAKES, of_a_source), tracker, metrics }
    }
}

/// An address that was taken. Dropping it gives the address back; streams that came in live on.
pub(super) enum Socket {
    Tcp(TcpSocket),
    Udp(UdpPort),
}

impl Socket {
    /// Takes the address. Nothing comes in before the first [`route`](Self::route).
    pub(super) fn bind(id: &SocketId, around: &Surroundings) -> Result<Self, BindError> {
        Ok(match id.medium {
            Medium::Tcp => Self::Tcp(TcpSocket::bind(&id.addr, around)?),
            Medium::Udp => Self::Udp(UdpPort::bind(&id.addr, around)?),
            // Refused by the plan.
            Medium::Remote => {
                let source = std::io::ErrorKind::Unsupported.into();
                return Err(BindError::new(&id.addr, source));
            }
        })
    }

    /// The address that the kernel gave.
    pub(super) fn local(&self) -> SocketAddr {
        match self {
            Self::Tcp(socket) => socket.local(),
            Self::Udp(port) => port.local(),
        }
    }

    /// Sends what comes in from now on to other services.
    pub(super) fn route(&mut self, content: &Content, services: &Services) {
        match self {
            Self::Tcp(socket) => socket.route(content, services),
            Self::Udp(port) => port.route(content, services),
        }
    }
}
