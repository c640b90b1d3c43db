//! Telling the protocol by its first byte, as GOST's `auto` does.

use std::future::poll_fn;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{FAREWELL, HandlerError};
use crate::io::{BoxIo, Chunk, Ending, Io, Prefixed, ended};

/// For the first byte. GOST waits forever.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// The stream again, if it is not SOCKS.
pub(super) async fn http_only(
    mut client: BoxIo,
    stop: &CancellationToken,
) -> Result<BoxIo, HandlerError> {
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
            ended(&mut client, Ending::Restart, FAREWELL).await;
            return Err(HandlerError::Stopped);
        }
    };
    read.map_err(|_| HandlerError::NoRequest)?.map_err(HandlerError::ClientGone)?;
    match chunk.data().first() {
        None => Err(HandlerError::NoRequest),
        Some(4) => Err(HandlerError::Unsupported("SOCKS4")),
        Some(5) => Err(HandlerError::Unsupported("SOCKS5")),
        Some(_) => Ok(Box::new(Prefixed::new(chunk, client))),
    }
}
