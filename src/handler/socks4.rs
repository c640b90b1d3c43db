//! Handler `socks4`, as GOST's: CONNECT of SOCKS4 and 4a.

use tokio_util::sync::CancellationToken;

use super::talk::Refused;
use super::{Access, Exchanged, Handler, HandlerError};
use crate::base::Network;
use crate::config::model::Socks4HandlerConfig;
use crate::io::{BoxIo, Exchange, ReadError};
use crate::proto::socks4::{CONNECT, Reply, Request, Socks4Error, reply};

/// The longest request: user id and name of 255 bytes each.
const MAX_MESSAGE: usize = 8 + 256 + 256;

impl Handler {
    /// One client of the proxy, up to the tunnel.
    pub(super) async fn socks4(
        &self,
        config: &Socks4HandlerConfig,
        client: BoxIo,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        let mut client = Exchange::new(client);
        let refusal = |code| Reply(code).encode().to_vec();
        let asking = async {
            let request: Request = client.read(MAX_MESSAGE).await.map_err(|error| {
                // No host can be like that, so none is reached.
                let answer = match &error {
                    ReadError::Malformed(Socks4Error::Target) => refusal(reply::FAILED),
                    _ => Vec::new(),
                };
                Refused { error: HandlerError::unreadable(error), answer }
            })?;
            // A user id proves nothing, and every user has a password.
            if config.users.is_some() {
                let answer = refusal(reply::UNAUTHORIZED);
                return Err(Refused { error: HandlerError::Unauthorized, answer });
            }
            Ok(request)
        };
        let request = match self.heard(config.read_timeout, stop, asking).await {
            Ok(request) => request,
            Err(Refused { error, answer }) => return self.refused(client, answer, error).await,
        };
        self.requested(access)?;
        if request.command != CONNECT {
            // As GOST: closed without a reply.
            return Err(HandlerError::Disabled(request.command));
        }
        let target = request.target;
        access.target = Some(target.clone());
        if let Err(error) = self.check_target(Network::Tcp, &target) {
            return self.refused(client, refusal(reply::NOT_ALLOWED), error).await;
        }
        match self.connect(&target, access, client.departed(), stop).await {
            Ok(upstream) => self.granted(client, &refusal(reply::OK), upstream, stop).await,
            Err(error) => self.refused(client, refusal(reply::FAILED), error).await,
        }
    }
}
