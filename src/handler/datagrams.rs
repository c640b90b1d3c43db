//! Datagrams of a proxy's client: to a target, or each to its own.
//!
//! What the pipe counts of an association is packets: payload, and the address before it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Access, Exchanged, Handler, HandlerError};
use crate::base::{ListenAddr, Network, Target};
use crate::config::model::{RelayHandlerConfig, Socks5HandlerConfig};
use crate::gate::{Limited, Screened};
use crate::io::datagrams::{Controlled, Framed, Framing, MAX_DATAGRAM};
use crate::io::{BoxIo, Exchange};
use crate::net::udp::Associated;
use crate::proto::address::Address;
use crate::proto::relay::{self, Response, status};
use crate::proto::socks5::{Reply, reply};
use crate::route::{Ask, RouteError, To};

/// Silence that ends them. Theirs is a port of ours, and a client that is gone without a word would
/// keep it. A NAT keeps a mapping of UDP as long (RFC 4787 REQ-5); GOST keeps the port for ever.
pub(super) const IDLE: Duration = Duration::from_secs(300);

impl Handler {
    /// A way for datagrams to `target`, with its metrics.
    pub(super) async fn datagrams(
        &self,
        target: &Target,
        access: &Access,
        leaves: impl Future<Output = io::Error>,
        stop: &CancellationToken,
    ) -> Result<BoxIo, HandlerError> {
        self.way(To::Target(target), access, leaves, stop).await
    }

    /// A way for packets, each to where it says, unless the service's bypasses match that.
    pub(super) async fn association(
        &self,
        longest: u32,
        access: &Access,
        leaves: impl Future<Output = io::Error>,
        stop: &CancellationToken,
    ) -> Result<BoxIo, HandlerError> {
        let packets = self.way(To::Each { longest: size(longest) }, access, leaves, stop).await?;
        Ok(self.screened(packets))
    }

    async fn way(
        &self,
        to: To<'_>,
        access: &Access,
        leaves: impl Future<Output = io::Error>,
        stop: &CancellationToken,
    ) -> Result<BoxIo, HandlerError> {
        let (client, user) = (access.peer, access.user.as_deref());
        let ask = Ask { network: Network::Udp, to, client, user };
        self.connected(self.route.connect(&ask), leaves, stop).await
    }

    /// Packets at a port that the client asked for (`bind`).
    fn bound(&self, addr: &Address, longest: u32) -> Result<(BoxIo, SocketAddr), HandlerError> {
        let addr: ListenAddr = addr.listen();
        let bound = self.route.bind_udp(&addr, size(longest)).map_err(HandlerError::Route);
        bound.map(|(packets, local)| (self.screened(packets), local))
    }

    fn screened(&self, packets: BoxIo) -> BoxIo {
        if self.bypasses.is_empty() {
            return packets;
        }
        Box::new(Screened::new(packets, self.bypasses.clone(), self.metrics.clone()))
    }

    /// GOST's UDP-over-TCP: packets on the client's own stream, to everywhere or, if `wanted` has a
    /// port and `bind` is on, at that port.
    pub(super) async fn udp_tun(
        &self,
        config: &Socks5HandlerConfig,
        wanted: &Address,
        mut client: Exchange,
        access: &Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        let longest = config.udp_buffer_size;
        let way = match wanted.port {
            0 => {
                let way = self.association(longest, access, client.departed(), stop).await;
                way.map(|way| (way, None))
            }
            _ => self.bound(wanted, longest).map(|(way, local)| (way, Some(local))),
        };
        let (packets, local) = match way {
            Ok(way) => way,
            Err(error) => {
                return self.refused(client, Reply::new(reply::FAILURE).encode(), error).await;
            }
        };
        let address = local.map_or_else(Address::unspecified, Address::from);
        let answer = Reply { code: reply::OK, address }.encode();
        let client = self.told(client, &answer, stop).await?;
        Ok(packets_on(client, longest, packets))
    }

    /// RFC 1928's UDP ASSOCIATE: packets at a port of ours, as long as the client's stream lives.
    pub(super) async fn udp_associate(
        &self,
        config: &Socks5HandlerConfig,
        mut client: Exchange,
        access: &Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        let refusal = Reply::new(reply::FAILURE).encode();
        let packets = {
            let longest = config.udp_buffer_size;
            self.association(longest, access, client.departed(), stop).await
        };
        let packets = match packets {
            Ok(packets) => packets,
            Err(error) => return self.refused(client, refusal, error).await,
        };
        let (local, peer) = (access.local.ip(), access.peer.ip());
        let (port, address) = match Associated::at(local, peer, self.metrics.clone()) {
            Ok(taken) => taken,
            Err(e) => {
                let error = HandlerError::Route(RouteError::Port(e));
                return self.refused(client, refusal, error).await;
            }
        };
        let answer = Reply { code: reply::OK, address: address.into() }.encode();
        let control = self.told(client, &answer, stop).await?;
        let longest = size(config.udp_buffer_size);
        let mut client: BoxIo = Box::new(Controlled::new(Box::new(port), control, longest));
        if let Some(meter) = &access.meter {
            // Only the stream that says how long it lives is metered already.
            client = Box::new(Limited::new(client, meter.clone(), true));
        }
        Ok(Exchanged::Datagrams(client, packets))
    }

    /// Relay's UDP association, which GOST asks for as a BIND of no address; with an address, its
    /// BIND of a port for datagrams.
    pub(super) async fn relay_association(
        &self,
        config: &RelayHandlerConfig,
        request: &relay::Request,
        mut client: Exchange,
        access: &Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        let longest = config.udp_buffer_size;
        let wanted = request.address.clone().unwrap_or_default();
        let way = match wanted.listen() {
            ListenAddr { host: None, port: 0 } => {
                let way = self.association(longest, access, client.departed(), stop).await;
                way.map(|way| (way, None))
            }
            _ => self.bound(&wanted, longest).map(|(way, local)| (way, Some(local))),
        };
        let (packets, local) = match way {
            Ok(way) => way,
            Err(error) => {
                let status = match error {
                    HandlerError::Route(RouteError::Port(_)) => status::SERVICE_UNAVAILABLE,
                    _ => status::NETWORK_UNREACHABLE,
                };
                return self.refused(client, Response::new(status).encode(), error).await;
            }
        };
        let address = local.map_or_else(Address::unspecified, Address::from);
        let answer = Response { status: status::OK, address: Some(address) }.encode();
        let client = self.told(client, &answer, stop).await?;
        Ok(packets_on(client, longest, packets))
    }
}

/// Packets on a client's stream, as UDP over SOCKS5, over HTTP and over relay without a target have
/// them.
pub(super) fn packets_on(client: BoxIo, longest: u32, packets: BoxIo) -> Exchanged {
    let client = Framed::new(client, Framing::Packets, size(longest));
    Exchanged::Datagrams(Box::new(client), packets)
}

/// Relay's stream to a target: what it carries of datagrams begins with their length.
pub(super) fn relayed(network: Network, client: BoxIo, upstream: BoxIo) -> Exchanged {
    match network {
        Network::Tcp => Exchanged::Tunnel(client, upstream),
        Network::Udp => {
            let client = Framed::new(client, Framing::Lengths, MAX_DATAGRAM);
            Exchanged::Datagrams(Box::new(client), upstream)
        }
    }
}

fn size(longest: u32) -> usize {
    usize::try_from(longest).unwrap_or(MAX_DATAGRAM)
}
