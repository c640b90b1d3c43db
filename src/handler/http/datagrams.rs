//! GOST's UDP over HTTP: `X-Gost-Protocol: udp`, then packets on the same stream.

use tokio_util::sync::CancellationToken;

use super::{answered, target_of};
use crate::base::Network;
use crate::config::model::HttpHandlerConfig;
use crate::handler::datagrams::packets_on;
use crate::handler::reply::{self, Refusal, refusal, refuse};
use crate::handler::{Access, Exchanged, Handler, HandlerError};
use crate::io::{AsyncIo, BoxIo, Read};
use crate::proto::http1::RequestHead;

impl Handler {
    /// A client that asked for packets, and is who it says.
    pub(super) async fn http_datagrams(
        &self,
        config: &HttpHandlerConfig,
        mut client: AsyncIo,
        read: &Read<RequestHead>,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        let result = self.way_for_packets(config, &read.value, &mut client, access, stop).await;
        let packets = match result {
            Ok(packets) => packets,
            Err(error @ HandlerError::ClientGone(_)) => return Err(error),
            Err(error) => {
                let answer = match &error {
                    HandlerError::NoDatagrams | HandlerError::Bypassed => Refusal::Forbidden,
                    _ => Refusal::Unavailable,
                };
                refuse(client, refusal(answer, config, false).as_bytes()).await;
                return Err(error);
            }
        };
        answered(&mut client, &reply::carries_datagrams(config), stop).await?;
        Ok(packets_on(client.into_io(read.leftover()), config.udp_buffer_size, packets))
    }

    async fn way_for_packets(
        &self,
        config: &HttpHandlerConfig,
        head: &RequestHead,
        client: &mut AsyncIo,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<BoxIo, HandlerError> {
        if !config.udp {
            return Err(HandlerError::NoDatagrams);
        }
        // Whoever wants one target names it here too; the others name none that can be.
        access.target = target_of(head).ok();
        if let Some(target) = &access.target {
            self.check_target(Network::Udp, target)?;
        }
        self.association(config.udp_buffer_size, access, client.departed(), stop).await
    }
}
