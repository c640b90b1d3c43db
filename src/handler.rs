//! What is done with an accepted stream.
//!
//! Floor 7. A [`Handler`] talks to the client, asks its route for a stream to the target, and
//! pipes. One access line and one set of counts per stream, whatever the protocol.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::{CloseReason, Closed, ServiceKey, Target};
use crate::config::model::{HandlerConfig, ListenerConfig, ServiceConfig};
use crate::io::{BoxIo, Direction, Ending, Inbound, PipeOptions, ended, pipe};
use crate::metrics::ServiceMetrics;
use crate::net::dial::{Dial, DialError};
use crate::route::{Route, RouteError};

mod access;
mod auth;
mod auto;
mod error;
mod http;
mod reply;
#[cfg(test)]
mod tests;

pub use error::HandlerError;

use access::Access;

/// How long a farewell may take when a stream is cut.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a handler needs from its surroundings.
#[derive(Clone)]
pub struct HandlerContext {
    /// Opens connections.
    pub dialer: Arc<dyn Dial>,
    /// The service's series.
    pub metrics: ServiceMetrics,
    /// The service, with its origin.
    pub key: ServiceKey,
}

/// A service's handler with its route. Cheap to share; one value serves every stream.
pub struct Handler {
    config: HandlerConfig,
    linger: Duration,
    route: Route,
    metrics: ServiceMetrics,
    key: ServiceKey,
}

/// What comes out of the exchange with the client.
enum Exchanged {
    /// A way to the target: pipe.
    Tunnel(BoxIo, BoxIo),
    /// Everything is already done.
    Done(Closed),
}

impl Handler {
    /// Builds it; nothing is started.
    pub fn build(config: &ServiceConfig, context: HandlerContext) -> Self {
        let HandlerContext { dialer, metrics, key } = context;
        let linger = match &config.listener {
            ListenerConfig::Tcp(listener) => listener.linger_timeout,
            ListenerConfig::Ws(listener) => listener.linger_timeout,
        };
        let route = Route::new(config, key.origin.clone(), dialer);
        Self { config: config.handler.clone(), linger, route, metrics, key }
    }

    /// Serves one stream to its end, writes its access line and counts it. `stop` cuts it: the
    /// client gets Close 1012 if it came over a WebSocket.
    ///
    /// # Errors
    /// [`HandlerError`], already logged and counted: there was no tunnel.
    pub async fn serve(
        &self,
        inbound: Inbound,
        stop: &CancellationToken,
    ) -> Result<Closed, HandlerError> {
        let _active = access::Active::new(&self.metrics);
        let mut access = Access::new(inbound.peer);
        let result = self.tunnel(inbound.io, &mut access, stop).await;
        self.metrics.ended(match &result {
            Ok(closed) => closed.reason.as_str(),
            Err(e) => e.label(),
        });
        access.log(&self.key, &result);
        result
    }

    async fn tunnel(
        &self,
        client: BoxIo,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<Closed, HandlerError> {
        // Boxed: an idle tunnel must not carry the space of its exchange along.
        let exchanged = Box::pin(self.exchange(client, access, stop)).await?;
        let (mut client, mut target) = match exchanged {
            Exchanged::Tunnel(client, target) => (client, target),
            Exchanged::Done(closed) => return Ok(closed),
        };
        let idle = match &self.config {
            HandlerConfig::Auto(http) | HandlerConfig::Http(http) => http.idle_timeout,
            HandlerConfig::Forward(forward) => forward.idle_timeout,
        };
        let options = PipeOptions { idle, linger: self.linger };
        Ok(pipe(&mut client, &mut target, options, stop, |direction, n| self.count(direction, n))
            .await)
    }

    async fn exchange(
        &self,
        client: BoxIo,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        match &self.config {
            HandlerConfig::Auto(config) => {
                let client = auto::http_only(client, stop).await?;
                self.http(config, client, access, stop).await
            }
            HandlerConfig::Http(config) => self.http(config, client, access, stop).await,
            HandlerConfig::Forward(config) => {
                access.target = Some(config.target.clone());
                let mut client = client;
                match self.connect(&config.target, stop).await {
                    Ok(target) => Ok(Exchanged::Tunnel(client, target)),
                    Err(HandlerError::Stopped) => {
                        ended(&mut client, Ending::Restart, FAREWELL).await;
                        Err(HandlerError::Stopped)
                    }
                    Err(e) => Err(e),
                }
            }
        }
    }

    /// A stream to `target`, with its metrics.
    async fn connect(
        &self,
        target: &Target,
        stop: &CancellationToken,
    ) -> Result<BoxIo, HandlerError> {
        let started = Instant::now();
        let result = tokio::select! {
            result = self.route.connect(target) => result,
            () = stop.cancelled() => return Err(HandlerError::Stopped),
        };
        self.metrics.dial_seconds.observe(started.elapsed().as_secs_f64());
        result.map_err(|e| {
            self.metrics.dial_failed(e.label());
            if let RouteError::Dial(DialError::EgressDenied { why, .. }) = &e {
                self.metrics.egress_denied(why.as_str());
            }
            HandlerError::Route(e)
        })
    }

    fn count(&self, direction: Direction, n: u64) {
        match direction {
            Direction::Up => self.metrics.bytes_up.inc_by(n),
            Direction::Down => self.metrics.bytes_down.inc_by(n),
        }
    }
}

/// The end of a stream without payload.
fn nothing(reason: CloseReason) -> Closed {
    Closed { reason, up: 0, down: 0 }
}
