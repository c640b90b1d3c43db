//! Telling the protocol by its first byte, as GOST's `auto` does.

use std::future::poll_fn;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Access, Exchanged, Handler, HandlerError, cut};
use crate::config::model::AutoHandlerConfig;
use crate::io::{BoxIo, Chunk, Io, Prefixed};

/// For the first byte. GOST waits forever.
const FIRST_BYTE: Duration = Duration::from_secs(10);

impl Handler {
    /// Serves a client by the protocol that it begins to speak.
    pub(super) async fn auto(
        &self,
        config: &AutoHandlerConfig,
        mut client: BoxIo,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        let mut chunk = Chunk::new();
        let first = poll_fn(|cx| {
            if let Err(e) = client.upkeep(cx) {
                return std::task::Poll::Ready(Err(e));
            }
            client.poll_read(cx, &mut chunk)
        });
        let read = tokio::select! {
            read = tokio::time::timeout(FIRST_BYTE, first) => read,
            () = stop.cancelled() => {
                cut(&mut client).await;
                return Err(HandlerError::Stopped);
            }
        };
        read.map_err(|_| HandlerError::NoRequest)?.map_err(HandlerError::ClientGone)?;
        let Some(first) = chunk.data().first().copied() else {
            return Err(HandlerError::NoRequest);
        };
        let speaks = config.speaks;
        let client = Box::new(Prefixed::new(chunk, client));
        match first {
            4 if speaks.socks4 => self.socks4(&config.socks4, client, access, stop).await,
            5 if speaks.socks5 => self.socks5(&config.socks5, client, access, stop).await,
            // Nothing but HTTP can begin otherwise.
            0..=3 | 6.. if speaks.http => self.http(&config.http, client, access, stop).await,
            4 => Err(HandlerError::NotSpoken("SOCKS4")),
            5 => Err(HandlerError::NotSpoken("SOCKS5")),
            _ => Err(HandlerError::NotSpoken("HTTP")),
        }
    }
}
