//! What the handlers of SOCKS and relay have in common: hearing a client, granting, refusing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::reply::refuse;
use super::{Access, Exchanged, Handler, HandlerError, cut};
use crate::io::{BoxIo, Exchange};

/// For the answer that grants: it has room at once, unless the client lets our answers to its pings
/// pile up.
const ANSWER: Duration = Duration::from_secs(10);

/// Why a client is not served, and what it hears of that.
pub(super) struct Refused {
    pub(super) error: HandlerError,
    pub(super) answer: Vec<u8>,
}

impl From<HandlerError> for Refused {
    fn from(error: HandlerError) -> Self {
        Self { error, answer: Vec::new() }
    }
}

impl Handler {
    /// What `asking` hears, in time.
    pub(super) async fn heard<T>(
        &self,
        within: Duration,
        stop: &CancellationToken,
        asking: impl Future<Output = Result<T, Refused>>,
    ) -> Result<T, Refused> {
        tokio::select! {
            heard = tokio::time::timeout(within, asking) => {
                heard.unwrap_or_else(|_| Err(HandlerError::Slow.into()))
            }
            () = stop.cancelled() => Err(HandlerError::Stopped.into()),
        }
    }

    /// Gives the client an answer, in a message of its own.
    pub(super) async fn answered(
        &self,
        client: &mut Exchange,
        answer: &[u8],
        stop: &CancellationToken,
    ) -> Result<(), Refused> {
        let writing = async { Ok(client.write(answer).await.map_err(HandlerError::ClientGone)?) };
        self.heard(ANSWER, stop, writing).await
    }

    /// Tells the client that the way is open, and pipes.
    pub(super) async fn granted(
        &self,
        client: Exchange,
        answer: &[u8],
        upstream: BoxIo,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        Ok(Exchanged::Tunnel(self.told(client, answer, stop).await?, upstream))
    }

    /// Tells the client that it is served: what follows on its stream is payload.
    pub(super) async fn told(
        &self,
        mut client: Exchange,
        answer: &[u8],
        stop: &CancellationToken,
    ) -> Result<BoxIo, HandlerError> {
        match self.answered(&mut client, answer, stop).await {
            Ok(()) => Ok(client.into_io()),
            Err(Refused { error, .. }) => Err(error),
        }
    }

    /// The end of a client that was not heard to its end, or did not prove who it is.
    pub(super) async fn unproven(
        &self,
        mut client: Exchange,
        Refused { error, answer }: Refused,
        access: &Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        if matches!(error, HandlerError::WrongPassword) {
            self.brake(access.peer.ip(), client.departed(), stop).await?;
        }
        self.refused(client, answer, error).await
    }

    /// Tells the client why not, ends its stream, and counts.
    pub(super) async fn refused(
        &self,
        client: Exchange,
        answer: Vec<u8>,
        error: HandlerError,
    ) -> Result<Exchanged, HandlerError> {
        match &error {
            HandlerError::Stopped => {
                cut(&mut client.into_io()).await;
                return Err(error);
            }
            HandlerError::Unauthorized | HandlerError::WrongPassword => {
                self.metrics.auth_failures.inc()
            }
            HandlerError::ClientGone(_) => return Err(error),
            _ => {}
        }
        if !answer.is_empty() {
            refuse(client.into_async(), &answer).await;
        }
        Err(error)
    }
}
