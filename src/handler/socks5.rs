//! Handler `socks5`, as GOST's: CONNECT, BIND and datagrams, with or without a user name and
//! password.

use tokio_util::sync::CancellationToken;

use super::talk::Refused;
use super::{Access, Exchanged, Handler, HandlerError, auth};
use crate::base::Network;
use crate::config::model::Socks5HandlerConfig;
use crate::io::{BoxIo, Exchange, ReadError};
use crate::proto::address::AddressError;
use crate::proto::socks5::{
    Choice, Greeting, Login, LoginReply, Reply, Request, Socks5Error, command, method, reply,
};

/// The longest message: user name and password of 255 bytes each.
const MAX_MESSAGE: usize = 3 + 255 + 255;

impl Handler {
    /// One client of the proxy, up to the tunnel.
    pub(super) async fn socks5(
        &self,
        config: &Socks5HandlerConfig,
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
        let refusal = |code| Reply::new(code).encode();
        match request.command {
            command::CONNECT => {}
            command::BIND | command::MUX_BIND if config.bind => {
                return self.socks5_bind(config, &request, client, access, stop).await;
            }
            command::UDP_ASSOCIATE if config.udp_associate => {
                return self.udp_associate(config, client, access, stop).await;
            }
            command::UDP_TUN if tunnels(config, &request) => {
                return self.udp_tun(config, &request.address, client, access, stop).await;
            }
            // Switched off, as GOST has it unless `bind` or `udp` is set.
            command::BIND | command::UDP_ASSOCIATE | command::MUX_BIND | command::UDP_TUN => {
                let error = HandlerError::Disabled(request.command);
                return self.refused(client, refusal(reply::NOT_ALLOWED), error).await;
            }
            other => {
                let error = HandlerError::Disabled(other);
                return self.refused(client, refusal(reply::UNKNOWN_COMMAND), error).await;
            }
        }
        let Some(target) = request.address.target() else {
            let error = HandlerError::BadTarget(request.address.to_string());
            return self.refused(client, refusal(reply::UNREACHABLE), error).await;
        };
        access.target = Some(target.clone());
        if let Err(error) = self.check_target(Network::Tcp, &target) {
            return self.refused(client, refusal(reply::NOT_ALLOWED), error).await;
        }
        match self.connect(&target, access, client.departed(), stop).await {
            Ok(upstream) => self.granted(client, &refusal(reply::OK), upstream, stop).await,
            Err(error) => self.refused(client, refusal(reply::UNREACHABLE), error).await,
        }
    }
}

/// Whether GOST's UDP-over-TCP is on; with a port it is GOST's BIND for datagrams.
fn tunnels(config: &Socks5HandlerConfig, request: &Request) -> bool {
    if request.address.port == 0 { config.udp } else { config.bind }
}

/// Greets, lets the client prove who it is, and hears what it wants.
async fn ask(
    config: &Socks5HandlerConfig,
    client: &mut Exchange,
    access: &mut Access,
) -> Result<Request, Refused> {
    let Greeting(offered) = client.read(MAX_MESSAGE).await.map_err(HandlerError::unreadable)?;
    let wanted = if config.users.is_some() { method::PASSWORD } else { method::NONE };
    if !offered.contains(&wanted) {
        let answer = Choice(method::NO_ACCEPTABLE).encode().to_vec();
        return Err(Refused { error: HandlerError::Unauthorized, answer });
    }
    client.write(&Choice(wanted).encode()).await.map_err(HandlerError::ClientGone)?;
    if let Some(users) = &config.users {
        let login: Login = client.read(MAX_MESSAGE).await.map_err(HandlerError::unreadable)?;
        if !auth::proves(users, &login.username, login.password.expose()) {
            let answer = LoginReply(false).encode().to_vec();
            return Err(Refused { error: HandlerError::WrongPassword, answer });
        }
        access.user = Some(login.username);
        client.write(&LoginReply(true).encode()).await.map_err(HandlerError::ClientGone)?;
    }
    client.read(MAX_MESSAGE).await.map_err(|error| {
        let code = match &error {
            ReadError::Malformed(Socks5Error::Address(AddressError::Type(_))) => {
                reply::UNKNOWN_ADDRESS
            }
            // No name can be like that, so none is reached.
            ReadError::Malformed(Socks5Error::Address(AddressError::Host)) => reply::UNREACHABLE,
            _ => return HandlerError::unreadable(error).into(),
        };
        let answer = Reply::new(code).encode();
        Refused { error: HandlerError::unreadable(error), answer }
    })
}
