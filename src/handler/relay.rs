//! Handler `relay`: GOST's own protocol, to the target that the client asks for or to the
//! forwarder's.
//!
//! The response is sent as soon as the target is reached, as GOST does with `nodelay`: it suits
//! every client, while a held one is a deadlock with those that wait for it.

use tokio_util::sync::CancellationToken;

use super::datagrams::relayed;
use super::talk::Refused;
use super::{Access, Exchanged, Handler, HandlerError, auth};
use crate::base::{Network, Target};
use crate::config::model::RelayHandlerConfig;
use crate::io::{BoxIo, Exchange, ReadError};
use crate::proto::address::AddressError;
use crate::proto::relay::{RelayError, Request, Response, command, status};
use crate::route::RouteError;

/// The longest request: its header, and features of 64 KiB together.
const MAX_MESSAGE: usize = 4 + 65535;

impl Handler {
    /// One client, up to the tunnel.
    pub(super) async fn relay(
        &self,
        config: &RelayHandlerConfig,
        client: BoxIo,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        let mut client = Exchange::new(client);
        let asking = ask(config, &mut client, access);
        let request = match self.heard(config.read_timeout, stop, asking).await {
            Ok(request) => request,
            Err(refused) => return self.unproven(client, refused, access, stop).await,
        };
        if access.user.is_some() {
            self.passwords.right(access.peer.ip());
        }
        self.requested(access)?;
        let answer = |status| Response::new(status).encode();
        // As GOST: a forwarder goes its own way, whatever the client wants.
        if config.forward.is_some() {
            return match self.forward_to(request.network, access, client.departed(), stop).await {
                Ok(upstream) => {
                    let client = self.told(client, &answer(status::OK), stop).await?;
                    Ok(relayed(request.network, client, upstream))
                }
                Err(error @ HandlerError::Route(RouteError::NoTarget)) => {
                    self.refused(client, answer(status::SERVICE_UNAVAILABLE), error).await
                }
                Err(error) => self.refused(client, answer(status::HOST_UNREACHABLE), error).await,
            };
        }
        if config.bind && request.command == command::BIND {
            return match request.network {
                Network::Tcp => self.relay_bind(config, &request, client, access, stop).await,
                Network::Udp => {
                    self.relay_association(config, &request, client, access, stop).await
                }
            };
        }
        let target = match wanted(&request) {
            Ok(target) => target,
            Err(Refused { error, answer }) => return self.refused(client, answer, error).await,
        };
        access.target = Some(target.clone());
        if let Err(error) = self.check_target(request.network, &target) {
            return self.refused(client, answer(status::FORBIDDEN), error).await;
        }
        let upstream = match request.network {
            Network::Tcp => self.connect(&target, access, client.departed(), stop).await,
            Network::Udp => self.datagrams(&target, access, client.departed(), stop).await,
        };
        match upstream {
            Ok(upstream) => {
                let client = self.told(client, &answer(status::OK), stop).await?;
                Ok(relayed(request.network, client, upstream))
            }
            Err(error) => self.refused(client, answer(status::NETWORK_UNREACHABLE), error).await,
        }
    }
}

/// Hears what a client wants, and whether it may.
async fn ask(
    config: &RelayHandlerConfig,
    client: &mut Exchange,
    access: &mut Access,
) -> Result<Request, Refused> {
    let request: Request = client.read(MAX_MESSAGE).await.map_err(|error| {
        let answer = match &error {
            ReadError::Malformed(RelayError::Address(AddressError::Host)) => {
                Response::new(status::BAD_REQUEST).encode()
            }
            _ => Vec::new(),
        };
        Refused { error: HandlerError::unreadable(error), answer }
    })?;
    if let Some(users) = &config.users {
        let proven = request
            .auth
            .as_ref()
            .filter(|login| auth::proves(users, &login.username, login.password.expose()));
        let Some(login) = proven else {
            let answer = Response::new(status::UNAUTHORIZED).encode();
            let error = match request.auth {
                Some(_) => HandlerError::WrongPassword,
                None => HandlerError::Unauthorized,
            };
            return Err(Refused { error, answer });
        };
        access.user = Some(login.username.clone());
    }
    Ok(request)
}

/// The target of a CONNECT.
fn wanted(request: &Request) -> Result<Target, Refused> {
    let refused = |status, error| Refused { error, answer: Response::new(status).encode() };
    match request.command {
        0 | command::CONNECT => {}
        // Switched off, as GOST has it unless `bind` is set.
        command::BIND => {
            return Err(refused(status::FORBIDDEN, HandlerError::Disabled(request.command)));
        }
        other => return Err(refused(status::BAD_REQUEST, HandlerError::Disabled(other))),
    }
    let none = || HandlerError::BadTarget("no address".into());
    let address = request.address.as_ref().ok_or_else(|| refused(status::BAD_REQUEST, none()))?;
    address
        .target()
        .ok_or_else(|| refused(status::BAD_REQUEST, HandlerError::BadTarget(address.to_string())))
}
