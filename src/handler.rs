//! What is done with an accepted stream.
//!
//! Floor 7. A [`Handler`] talks to the client, asks its route for a stream to the target, and
//! pipes. One access line and one set of counts per stream, whatever the protocol.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::{CloseReason, Closed, Network, ServiceKey, Target};
use crate::config::model::{Bypass, HandlerConfig, ListenerConfig, ServiceConfig};
use crate::gate::{Entry, Meter, Passwords, bypass};
use crate::io::memory::Share;
use crate::io::{AsyncIo, BoxIo, Direction, Ending, Inbound, PipeOptions, ended, pipe};
use crate::metrics::ServiceMetrics;
use crate::net::dial::Dial;
use crate::net::tls::TlsClients;
use crate::route::{Ask, ForwardAsk, Forwarder, NodeError, Route, RouteContext, RouteError, To};

mod access;
mod auth;
mod auto;
mod bind;
mod datagrams;
mod error;
mod http;
mod relay;
mod reply;
mod socks4;
mod socks5;
mod talk;
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
    /// What shakes hands with nodes.
    pub clients: Arc<TlsClients>,
    /// The service, with its origin.
    pub key: ServiceKey,
    /// Where what waits in its streams counts.
    pub memory: Share,
    /// The service takes no new connections: what waits for somebody to come is to end.
    pub stopping: CancellationToken,
    /// The service's wrong passwords, whatever handler it has.
    pub passwords: Arc<Passwords>,
}

/// A service's handler with its route. Cheap to share; one value serves every stream.
pub struct Handler {
    config: HandlerConfig,
    /// What its streams are made of.
    network: Network,
    linger: Duration,
    /// `ttl` of a udp listener: silence that ends a source's stream.
    ttl: Option<Duration>,
    route: Route,
    /// The targets of a handler that does not ask its client.
    forwarder: Option<Forwarder>,
    bypasses: Vec<Arc<Bypass>>,
    metrics: ServiceMetrics,
    key: ServiceKey,
    memory: Share,
    stopping: CancellationToken,
    passwords: Arc<Passwords>,
}

/// What comes out of the exchange with the client.
enum Exchanged {
    /// A way to the target: pipe.
    Tunnel(BoxIo, BoxIo),
    /// The same, of datagrams that the client wraps in its protocol.
    Datagrams(BoxIo, BoxIo),
    /// Everything is already done.
    Done(Closed),
}

impl Handler {
    /// Builds it; nothing is started.
    ///
    /// # Errors
    /// [`NodeError`] names the node of the chain that can never be dialled.
    pub fn build(config: &ServiceConfig, context: HandlerContext) -> Result<Self, NodeError> {
        let HandlerContext { dialer, metrics, clients, key, memory, stopping, passwords } = context;
        let linger = match &config.listener {
            ListenerConfig::Tcp(listener) => listener.linger_timeout,
            ListenerConfig::Ws(listener) => listener.linger_timeout,
            ListenerConfig::Rtcp(listener) => listener.linger_timeout,
            // Datagrams have no half-close.
            ListenerConfig::Udp(listener) => listener.ttl,
        };
        let (network, ttl) = match &config.listener {
            ListenerConfig::Udp(listener) => (Network::Udp, Some(listener.ttl)),
            _ => (Network::Tcp, None),
        };
        let context = RouteContext {
            origin: key.origin.clone(),
            dialer,
            metrics: metrics.clone(),
            clients,
            memory: memory.clone(),
        };
        Ok(Self {
            config: config.handler.clone(),
            network,
            linger,
            ttl,
            route: Route::build(config, &config.chain, context)?,
            forwarder: config.handler.forward().map(Forwarder::new),
            bypasses: config.gates.bypasses.clone(),
            metrics,
            key,
            memory,
            stopping,
            passwords,
        })
    }

    /// Serves one stream to its end, writes its access line and counts it. `stop` cuts it: the
    /// client gets Close 1012 if it came over a WebSocket. `meter` is for what the client sends
    /// beside the stream, which is metered already. `entry` has its place once the request is finished.
    ///
    /// # Errors
    /// [`HandlerError`], already logged and counted: there was no tunnel.
    pub async fn serve(
        &self,
        inbound: Inbound,
        entry: Entry,
        meter: Option<Meter>,
        idle: Option<Duration>,
        stop: &CancellationToken,
    ) -> Result<Closed, HandlerError> {
        let _active = access::Active::new(&self.metrics);
        let mut access = Access::new(inbound.peer, inbound.local, meter, entry);
        access.idle = idle;
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
        let displaced = access.entry.displaced();
        let exchange = async {
            tokio::select! {
                biased;
                exchanged = self.exchange(client, access, stop) => exchanged,
                () = displaced => Err(HandlerError::Displaced),
            }
        };
        let exchanged = Box::pin(exchange).await?;
        let (mut client, mut target, wrapped) = match exchanged {
            Exchanged::Tunnel(client, target) => (client, target, false),
            Exchanged::Datagrams(client, target) => (client, target, true),
            Exchanged::Done(closed) => return Ok(closed),
        };
        let idle = match &self.config {
            HandlerConfig::Auto(auto) => auto.http.idle_timeout,
            HandlerConfig::Http(http) => http.idle_timeout,
            HandlerConfig::Forward(forward) => forward.idle_timeout,
            // As in GOST, these have none.
            HandlerConfig::Socks4(_) | HandlerConfig::Socks5(_) | HandlerConfig::Relay(_) => None,
        };
        let datagrams = wrapped.then_some(datagrams::IDLE);
        let idle = idle.into_iter().chain(self.ttl).chain(datagrams).chain(access.idle).min();
        let options = PipeOptions { idle, linger: self.linger };
        Ok(pipe(&mut client, &mut target, options, stop, &self.memory, |direction, n| {
            count(&self.metrics, direction, n);
        })
        .await)
    }

    async fn exchange(
        &self,
        client: BoxIo,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        match &self.config {
            HandlerConfig::Auto(config) => self.auto(config, client, access, stop).await,
            HandlerConfig::Socks4(config) => self.socks4(config, client, access, stop).await,
            HandlerConfig::Socks5(config) => self.socks5(config, client, access, stop).await,
            HandlerConfig::Relay(config) => self.relay(config, client, access, stop).await,
            HandlerConfig::Http(config) => self.http(config, client, access, stop).await,
            HandlerConfig::Forward(_) => self.port_forward(client, access, stop).await,
        }
    }

    /// Whether it asks its clients what they want.
    pub fn asks(&self) -> bool {
        !matches!(self.config, HandlerConfig::Forward(_))
    }

    /// The client's request is finished, and it has proved who it is: the stream takes its place.
    fn requested(&self, access: &mut Access) -> Result<(), HandlerError> {
        access.entry.requested().map_err(|why| {
            self.metrics.limited(why.as_str());
            HandlerError::Limited
        })
    }

    async fn port_forward(
        &self,
        mut client: BoxIo,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        self.requested(access)?;
        let target = match self.network {
            Network::Tcp => {
                let mut waiting = AsyncIo::new(client);
                let leaves = waiting.departed();
                let target = self.forward_to(Network::Tcp, access, leaves, stop).await;
                client = waiting.into_io(&[]);
                target
            }
            // A source of datagrams has no end that could be seen.
            Network::Udp => self.forward_to(Network::Udp, access, pending(), stop).await,
        };
        if matches!(target, Err(HandlerError::Stopped)) {
            cut(&mut client).await;
        }
        Ok(Exchanged::Tunnel(client, target?))
    }

    /// Whether the service lets its clients go to `target`. Asked before the dial; the refusal is
    /// the protocol's own (403, reply 2, code 92, status 3), as in GOST.
    fn check_target(&self, network: Network, target: &Target) -> Result<(), HandlerError> {
        if bypass::matches(&self.bypasses, network, target) {
            self.metrics.refused("bypass");
            return Err(HandlerError::Bypassed);
        }
        Ok(())
    }

    /// A stream to one of the forwarder's targets, with its metrics.
    async fn forward_to(
        &self,
        network: Network,
        access: &mut Access,
        leaves: impl Future<Output = io::Error>,
        stop: &CancellationToken,
    ) -> Result<BoxIo, HandlerError> {
        let Some(forwarder) = &self.forwarder else {
            return Err(HandlerError::Route(RouteError::NoTarget));
        };
        let Access { peer, user, target, .. } = access;
        let ask = ForwardAsk { network, client: *peer, user: user.as_deref() };
        let connecting = async {
            match forwarder.connect(&self.route, &ask).await {
                Ok((reached, io)) => {
                    *target = Some(reached);
                    Ok(io)
                }
                Err((tried, error)) => {
                    *target = tried;
                    Err(error)
                }
            }
        };
        self.connected(connecting, leaves, stop).await
    }

    /// A stream to `target`, with its metrics.
    async fn connect(
        &self,
        target: &Target,
        access: &Access,
        leaves: impl Future<Output = io::Error>,
        stop: &CancellationToken,
    ) -> Result<BoxIo, HandlerError> {
        let (client, user) = (access.peer, access.user.as_deref());
        let ask = Ask { network: Network::Tcp, to: To::Target(target), client, user };
        self.connected(self.route.connect(&ask), leaves, stop).await
    }

    /// What `connecting` brings, for as long as there is a client to bring it to.
    async fn connected(
        &self,
        connecting: impl Future<Output = Result<BoxIo, RouteError>>,
        leaves: impl Future<Output = io::Error>,
        stop: &CancellationToken,
    ) -> Result<BoxIo, HandlerError> {
        let started = Instant::now();
        let result = tokio::select! {
            result = connecting => result,
            gone = leaves => return Err(HandlerError::ClientGone(gone)),
            () = stop.cancelled() => return Err(HandlerError::Stopped),
        };
        self.metrics.dial_seconds.observe(started.elapsed().as_secs_f64());
        result.map_err(|e| {
            self.metrics.dial_failed(e.label());
            if let Some(why) = e.egress_denied() {
                self.metrics.egress_denied(why.as_str());
            }
            HandlerError::Route(e)
        })
    }
}

fn count(metrics: &ServiceMetrics, direction: Direction, n: u64) {
    match direction {
        Direction::Up => metrics.bytes_up.inc_by(n),
        Direction::Down => metrics.bytes_down.inc_by(n),
    }
}

/// Ends a client's stream because the service goes: Close 1012 over a WebSocket.
async fn cut(client: &mut BoxIo) {
    ended(client, Ending::Restart, FAREWELL).await;
}

/// The end of a stream without payload.
fn nothing(reason: CloseReason) -> Closed {
    Closed { reason, up: 0, down: 0 }
}
