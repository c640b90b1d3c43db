//! Connector `socks5`: SOCKS5 with or without a user name and password.

use std::net::Ipv4Addr;

use super::ConnectError;
use crate::base::{Host, ListenAddr, Target};
use crate::config::model::Socks5ConnectorConfig;
use crate::io::{BoxIo, Exchange};
use crate::proto::address::{Address, MAX_ADDRESS};
use crate::proto::socks5::{
    Choice, Greeting, Login, LoginReply, Reply, Request, command, method, reply,
};

/// The longest answer: a bound name.
const MAX_MESSAGE: usize = 3 + MAX_ADDRESS;

pub(super) async fn connect(
    io: BoxIo,
    config: &Socks5ConnectorConfig,
    target: &Target,
) -> Result<BoxIo, ConnectError> {
    let mut node = Exchange::new(io);
    greet(&mut node, config).await?;
    let mut address = Address::from(target);
    // As GOST: a target without a host is the node itself.
    address.host.get_or_insert(Host::Ip(Ipv4Addr::LOCALHOST.into()));
    ask(&mut node, command::CONNECT, address).await?;
    Ok(node.into_io())
}

/// Asks the node to listen: where it does.
pub(super) async fn bind(
    node: &mut Exchange,
    config: &Socks5ConnectorConfig,
    addr: &ListenAddr,
) -> Result<Address, ConnectError> {
    greet(node, config).await?;
    ask(node, command::MUX_BIND, addr.into()).await.map_err(|error| match error {
        ConnectError::Socks5(reply::NOT_ALLOWED) => ConnectError::BindForbidden,
        ConnectError::Socks5(code @ reply::FAILURE) => ConnectError::NotBound(code),
        other => other,
    })
}

/// Who came, as a stream of a port that was bound begins.
pub(super) async fn came(stream: &mut Exchange) -> Result<Address, ConnectError> {
    let Reply { code, address } = stream.read(MAX_MESSAGE).await.map_err(ConnectError::answer)?;
    match code {
        reply::OK => Ok(address),
        code => Err(ConnectError::Socks5(code)),
    }
}

/// A stream for datagrams: GOST's UDP-over-TCP, whose packets follow on it.
pub(super) async fn udp_tun(
    io: BoxIo,
    config: &Socks5ConnectorConfig,
) -> Result<BoxIo, ConnectError> {
    let mut node = Exchange::new(io);
    greet(&mut node, config).await?;
    ask(&mut node, command::UDP_TUN, Address::unspecified()).await?;
    Ok(node.into_io())
}

/// The same as RFC 1928 has it: the node takes packets at a port of its own, whose address is
/// returned, as long as the stream lives.
pub(super) async fn udp_associate(
    io: BoxIo,
    config: &Socks5ConnectorConfig,
) -> Result<(BoxIo, Address), ConnectError> {
    let mut node = Exchange::new(io);
    greet(&mut node, config).await?;
    let bound = ask(&mut node, command::UDP_ASSOCIATE, Address::unspecified()).await?;
    Ok((node.into_io(), bound))
}

/// Agrees on a method and proves who we are.
async fn greet(node: &mut Exchange, config: &Socks5ConnectorConfig) -> Result<(), ConnectError> {
    let mut offered = vec![method::NONE];
    offered.extend(config.auth.is_some().then_some(method::PASSWORD));
    node.write(&Greeting(offered.clone()).encode()).await.map_err(ConnectError::Io)?;
    let Choice(chosen) = node.read(2).await.map_err(ConnectError::answer)?;
    if !offered.contains(&chosen) {
        return Err(ConnectError::NoMethod);
    }
    let Some(auth) = config.auth.as_ref().filter(|_| chosen == method::PASSWORD) else {
        return Ok(());
    };
    let login = Login { username: auth.username.clone(), password: auth.password.clone() };
    node.write(&login.encode()).await.map_err(ConnectError::Io)?;
    match node.read(2).await.map_err(ConnectError::answer)? {
        LoginReply(true) => Ok(()),
        LoginReply(false) => Err(ConnectError::Unauthorized),
    }
}

/// Sends a command and waits for its reply: what it bound.
async fn ask(node: &mut Exchange, command: u8, address: Address) -> Result<Address, ConnectError> {
    node.write(&Request { command, address }.encode()).await.map_err(ConnectError::Io)?;
    let Reply { code, address } = node.read(MAX_MESSAGE).await.map_err(ConnectError::answer)?;
    match code {
        reply::OK => Ok(address),
        code => Err(ConnectError::Socks5(code)),
    }
}
