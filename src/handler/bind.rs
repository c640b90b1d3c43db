//! BIND: a port of this machine for a client, and those who come to it.
//!
//! The port lasts as long as the client's stream. Who comes to it is asked nothing: as in GOST the
//! service's gates are about its own clients.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::talk::Refused;
use super::{Access, Exchanged, Handler, HandlerError};
use crate::base::{Host, ListenAddr, Target};
use crate::config::model::{RelayHandlerConfig, Socks5HandlerConfig};
use crate::io::Exchange;
use crate::net::{accept, listen};
use crate::proto::address::Address;
use crate::proto::{relay, socks5};

mod session;

use session::Peers;

/// What a client may say before anybody has come, in bytes.
const EARLY: usize = 64 * 1024;

/// A port that was taken for a client.
struct Port {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Handler {
    /// Relay's BIND of streams: everybody who comes, as streams of a session.
    pub(super) async fn relay_bind(
        &self,
        config: &RelayHandlerConfig,
        request: &relay::Request,
        client: Exchange,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        // Without an address: any port, as in GOST.
        let wanted = request.address.clone().unwrap_or_default().listen();
        let port = match take(&wanted, access) {
            Ok(port) => port,
            Err(error) => {
                let answer = relay::Response::new(relay::status::SERVICE_UNAVAILABLE).encode();
                return self.refused(client, answer, error).await;
            }
        };
        let say = |addr: SocketAddr| {
            let (status, address) = (relay::status::OK, Some(Address::from(addr)));
            relay::Response { status, address }.encode()
        };
        let peers = Peers { mux: config.mux, came: say };
        let granted = say(port.addr);
        self.brings_all(client, &granted, port, peers, access, stop).await
    }

    /// SOCKS5's BIND, for one who comes, and GOST's, for everybody.
    pub(super) async fn socks5_bind(
        &self,
        config: &Socks5HandlerConfig,
        request: &socks5::Request,
        client: Exchange,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        let port = match take(&request.address.listen(), access) {
            Ok(port) => port,
            Err(error) => {
                let answer = socks5::Reply::new(socks5::reply::FAILURE).encode();
                return self.refused(client, answer, error).await;
            }
        };
        let say = |addr: SocketAddr| {
            socks5::Reply { code: socks5::reply::OK, address: addr.into() }.encode()
        };
        // Where every address listens, the client hears the one by which it came, as from GOST.
        let mut seen = port.addr;
        if seen.ip().is_unspecified() {
            seen.set_ip(access.local.ip().to_canonical());
        }
        if request.command == socks5::command::MUX_BIND {
            let peers = Peers { mux: config.mux, came: say };
            return self.brings_all(client, &say(seen), port, peers, access, stop).await;
        }
        self.brings_one(client, &say(seen), port, say, access, stop).await
    }

    /// Tells the client of its port, and of the first who comes to it: the stream is theirs then.
    async fn brings_one(
        &self,
        client: Exchange,
        granted: &[u8],
        port: Port,
        came: fn(SocketAddr) -> Vec<u8>,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        let mut client = self.listening(client, granted, &port, access, stop).await?;
        let arrived = tokio::select! {
            () = client.ended(EARLY) => {
                let kind = std::io::ErrorKind::ConnectionAborted;
                Err(HandlerError::ClientGone(kind.into()))
            }
            arrived = accept::next(&port.listener) => Ok(arrived),
            () = stop.cancelled() => Err(HandlerError::Stopped),
            // Nobody has come, so nothing is cut short.
            () = self.stopping.cancelled() => Err(HandlerError::Stopped),
        };
        drop(port);
        match arrived {
            Ok((stream, peer)) => {
                access.target = Some(target(peer));
                self.granted(client, &came(peer), Box::new(stream), stop).await
            }
            Err(error) => self.refused(client, Vec::new(), error).await,
        }
    }

    /// Tells the client where its port is.
    async fn listening(
        &self,
        mut client: Exchange,
        granted: &[u8],
        port: &Port,
        access: &Access,
        stop: &CancellationToken,
    ) -> Result<Exchange, HandlerError> {
        if let Err(Refused { error, .. }) = self.answered(&mut client, granted, stop).await {
            return Err(error);
        }
        let user = access.user.as_deref().unwrap_or_default();
        tracing::info!(
            service = %self.key, peer = %access.peer, user, addr = %port.addr,
            "listening for a client"
        );
        Ok(client)
    }
}

/// Takes the port that a client asks for.
fn take(wanted: &ListenAddr, access: &mut Access) -> Result<Port, HandlerError> {
    access.target = Some(Target { host: wanted.host.clone(), port: wanted.port });
    let listener = listen::bind(wanted).map_err(HandlerError::NotBound)?;
    let addr = listener.local_addr();
    let addr = addr.map_err(|e| HandlerError::NotBound(listen::BindError::new(wanted, e)))?;
    access.target = Some(target(addr));
    Ok(Port { listener, addr })
}

/// An address in the access line.
fn target(addr: SocketAddr) -> Target {
    Target { host: Some(Host::Ip(addr.ip())), port: addr.port() }
}
