//! A bound UDP port and what its sources become.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Surroundings as Sockets;
use crate::base::ListenAddr;
use crate::engine::layout::Content;
use crate::engine::service::Services;
use crate::io::{Accept, Surroundings};
use crate::net::listen::{self, BindError};
use crate::net::udp::listener::{self, Taker};

/// A port for datagrams. Dropping it ends it for new sources; those that have a stream keep the port
/// as long as that.
pub(in crate::engine) struct UdpPort {
    local: SocketAddr,
    taker: Arc<ArcSwapOption<Taker>>,
    stop: CancellationToken,
    tracker: TaskTracker,
    /// Bound, and not received from before it is known whose the datagrams are.
    idle: Option<UdpSocket>,
}

impl Drop for UdpPort {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl UdpPort {
    /// Takes the port. Datagrams wait in the kernel for the first [`route`](Self::route).
    pub(super) fn bind(addr: &ListenAddr, around: &Sockets) -> Result<Self, BindError> {
        let socket = listen::bind_udp(addr)?;
        let local = socket.local_addr().map_err(|e| BindError::new(addr, e))?;
        Ok(Self {
            local,
            taker: Arc::default(),
            stop: CancellationToken::new(),
            tracker: around.tracker.clone(),
            idle: Some(socket),
        })
    }

    /// The address that the kernel gave.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends new sources to another service.
    pub(super) fn route(&mut self, content: &Content, services: &Services) {
        let Content::Udp(key, config) = content else { return };
        let Some(service) = services.get(key) else { return };
        let Surroundings { metrics, memory, .. } = service.surroundings();
        let taker = Taker { accept: service, config: config.clone(), metrics, memory };
        self.taker.store(Some(Arc::new(taker)));
        if let Some(socket) = self.idle.take() {
            let taker = self.taker.clone();
            let receiving = listener::run(socket, self.stop.clone(), move || taker.load_full());
            self.tracker.spawn(receiving);
        }
    }
}
