//! Connector `socks4`: SOCKS4, or 4a for a name.

use super::ConnectError;
use crate::base::{Host, Target};
use crate::config::model::Socks4ConnectorConfig;
use crate::io::{BoxIo, Exchange};
use crate::proto::socks4::{CONNECT, Reply, Request, reply};

pub(super) async fn connect(
    io: BoxIo,
    config: &Socks4ConnectorConfig,
    target: &Target,
) -> Result<BoxIo, ConnectError> {
    let by_address = matches!(target.host, Some(Host::Ip(ip)) if ip.is_ipv4());
    if config.disable_4a && !by_address {
        // A route has resolved a name before it comes here; this is an IPv6 address.
        let message = "SOCKS4 without 4a takes an IPv4 address only; remove disable4a";
        return Err(ConnectError::Cannot(message));
    }
    let user = config.user.clone().unwrap_or_default();
    let request = Request { command: CONNECT, target: target.clone(), user };
    let mut node = Exchange::new(io);
    node.write(&request.encode()).await.map_err(ConnectError::Io)?;
    let Reply(code) = node.read(8).await.map_err(ConnectError::answer)?;
    match code {
        reply::OK => Ok(node.into_io()),
        reply::UNAUTHORIZED => Err(ConnectError::Unauthorized),
        code => Err(ConnectError::Socks4(code)),
    }
}
