//! A TCP connection of a listener `tcp` or `tls` on its way to the service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::arrival::{self, Arriving, Trust};
use super::ws_server::Handshakes;
use crate::config::model::TcpKeepalive;
use crate::io::{Accept, AsyncIo, Inbound};
use crate::metrics::Metrics;
use crate::net::dial::set_keepalive;
use crate::net::tls::{TlsServer, accept};

/// For a PROXY header and the TLS handshake behind it. GOST has no limit of its own.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How connections of one listener arrive.
#[derive(Clone, Default)]
pub struct TcpEndpoint {
    /// `keepalive`.
    pub keepalive: Option<TcpKeepalive>,
    /// Whose PROXY headers count.
    pub trust: Trust,
    /// The TLS of `tls`.
    pub tls: Option<TlsServer>,
}

impl TcpEndpoint {
    /// Whether the client speaks before the service hears of it. Else [`direct`](Self::direct) will
    /// do, without a task.
    pub fn waits(&self, peer: SocketAddr) -> bool {
        self.tls.is_some() || self.trust.header_of(peer)
    }

    /// Hands a connection to its service.
    pub fn direct(&self, stream: TcpStream, peer: SocketAddr, accept: &dyn Accept) {
        let Ok(local) = stream.local_addr() else { return };
        self.keep_alive(&stream, peer);
        accept.accept(Inbound { io: Box::new(stream), peer, local });
    }

    /// Reads the PROXY header and shakes hands, then hands the stream to its service. Ends when its
    /// socket is given up, shortly after. Spawn it.
    pub async fn arrive(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        to: Arc<dyn Accept>,
        handshakes: Arc<Handshakes>,
        metrics: Metrics,
        connection: Arriving,
    ) {
        let count = |result| metrics.handshakes.with_label_values(&[result]).inc();
        let Ok(local) = stream.local_addr() else { return };
        let Some(mut permit) = handshakes.enter(peer.ip()) else { return count("limited") };
        let gone = permit.gone();
        self.keep_alive(&stream, peer);
        let began = Instant::now();
        let until = began + HANDSHAKE_TIMEOUT;
        // Its handshake is over with its end.
        let arriving = async move {
            let mut io = AsyncIo::new(stream);
            let mut client = peer;
            if self.trust.header_of(peer) {
                match arrival::named_client(&mut io).await {
                    Ok(named) => {
                        client = named.unwrap_or(peer);
                        if !permit.is_of(client.ip()) {
                            count("limited");
                            return None;
                        }
                    }
                    Err(error) => {
                        count("failed");
                        tracing::debug!(%peer, %error, "no client behind the proxy");
                        return None;
                    }
                }
            }
            let Some(tls) = self.tls else {
                let (early, stream) = io.into_parts(&[]);
                let io = AsyncIo::new(Box::new(stream) as _).into_io(early.data());
                return Some(Inbound { io, peer: client, local });
            };
            match timeout_at(until, Box::pin(accept(io, |_| Some(tls)))).await {
                Ok(Ok(stream)) => Some(Inbound { io: Box::new(stream), peer: client, local }),
                Ok(Err(error)) => {
                    count("tls_failed");
                    error.log(peer);
                    None
                }
                Err(_) => {
                    count("timeout");
                    tracing::debug!(%peer, "no TLS in time");
                    None
                }
            }
        };
        let inbound = tokio::select! {
            inbound = arriving => inbound,
            () = connection.late() => None,
            () = gone.cancelled() => {
                count("displaced");
                None
            }
        };
        if let Some(inbound) = inbound {
            count("ok");
            metrics.handshake_seconds.observe(began.elapsed().as_secs_f64());
            to.accept(inbound);
        }
        drop(connection);
    }

    fn keep_alive(&self, stream: &TcpStream, peer: SocketAddr) {
        if let Some(keepalive) = &self.keepalive
            && let Err(error) = set_keepalive(stream, keepalive)
        {
            tracing::debug!(%peer, %error, "cannot set keepalive");
        }
    }
}
