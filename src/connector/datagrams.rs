//! Datagrams through a node: to one target, or each to its own.

use std::net::Ipv4Addr;

use super::{ConnectError, DIRECT, http, relay, socks5};
use crate::base::{Host, Network, Target};
use crate::config::model::ConnectorConfig;
use crate::io::BoxIo;
use crate::io::datagrams::{Addressed, Framed, Framing, MAX_DATAGRAM};
use crate::proto::address::Address;
use crate::proto::relay::command;

const SOCKS4: ConnectError =
    ConnectError::Cannot("SOCKS4 carries no datagrams; use connector relay, socks5 or http");
const FORWARD: ConnectError = ConnectError::Cannot(
    "connector forward carries no datagrams; use relay, and a relay with a target at the node",
);

/// Datagrams to one target. A name goes as it is: it means something there.
pub(super) async fn connect(
    io: BoxIo,
    config: &ConnectorConfig,
    target: &Target,
) -> Result<BoxIo, ConnectError> {
    if let ConnectorConfig::Relay(config) = config {
        let asked = (command::CONNECT, Network::Udp);
        let io = relay::ask(io, config, asked, target.into()).await?;
        return Ok(Box::new(Framed::new(io, Framing::Lengths, MAX_DATAGRAM)));
    }
    let packets = match config {
        // GOST's node looks at the target too, before it looks at each datagram's.
        ConnectorConfig::Http(config) => {
            let io = http::ask(io, config, &target.to_string(), Network::Udp).await?;
            Box::new(Framed::new(io, Framing::Packets, MAX_DATAGRAM))
        }
        _ => associate(io, config, MAX_DATAGRAM).await?,
    };
    let mut address = Address::from(target);
    // As with streams: a target without a host is the node itself.
    address.host.get_or_insert(Host::Ip(Ipv4Addr::LOCALHOST.into()));
    Ok(Box::new(Addressed::new(packets, address)))
}

/// Packets.
pub(super) async fn associate(
    io: BoxIo,
    config: &ConnectorConfig,
    longest: usize,
) -> Result<BoxIo, ConnectError> {
    let io = match config {
        ConnectorConfig::Relay(config) => {
            let asked = (command::BIND, Network::Udp);
            relay::ask(io, config, asked, Address::unspecified()).await?
        }
        ConnectorConfig::Socks5(config) => socks5::udp_tun(io, config).await?,
        ConnectorConfig::Http(config) => {
            http::ask(io, config, &Address::unspecified().to_string(), Network::Udp).await?
        }
        ConnectorConfig::Socks4(_) => return Err(SOCKS4),
        ConnectorConfig::Forward => return Err(FORWARD),
        ConnectorConfig::Direct => return Err(DIRECT),
    };
    Ok(Box::new(Framed::new(io, Framing::Packets, longest)))
}
