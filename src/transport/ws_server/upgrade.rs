//! The request that becomes a WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, StatusCode, Version};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::reject::Rejection;
use super::session;
use super::table::Endpoint;
use super::{Connection, Shared};
use crate::io::{AsyncIo, BoxIo, Chunk, Inbound, Io, Prefixed};
use crate::net::dial::set_keepalive;
use crate::net::tls::ServerStream;
use crate::transport::arrival::forwarded_client;
use crate::transport::{Ping, WsIo};

/// For the write of the 101, if the listener has no `handshakeTimeout`.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A request that may be upgraded, and the service that it is for.
pub(super) struct Upgrade {
    endpoint: Arc<Endpoint>,
    connection: Arc<Connection>,
    on_upgrade: OnUpgrade,
    accept_key: String,
    /// The client, as far as trusted proxies name it.
    client: SocketAddr,
    /// A place in the service's backlog.
    place: OwnedSemaphorePermit,
}

impl FromRequestParts<Arc<Shared>> for Upgrade {
    type Rejection = Rejection;

    async fn from_request_parts(
        parts: &mut Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Rejection> {
        let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        // The target's authority wins over the header (RFC 9112 section 3.2.2).
        let host = parts.uri.authority().map(|authority| authority.as_str()).or(header);
        if host.is_none() && parts.version == Version::HTTP_11 {
            return Err(Rejection::NoHost);
        }
        let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy();
        let table = shared.table.load();
        let Some(found) = table.find(host.unwrap_or_default(), &path) else {
            tracing::debug!(host, path = &*path, "no service has this host and path");
            return Err(Rejection::NotFound);
        };
        let connection =
            parts.extensions.get::<Arc<Connection>>().ok_or(Rejection::NotWebSocket)?;
        if found.policy.as_ref().is_some_and(|own| !connection.is_under(own, table.policies())) {
            tracing::debug!(host, "the handshake was for another host");
            return Err(Rejection::Misdirected);
        }
        let endpoint = &found.endpoint;
        connection.permit.lock().take();
        let accept_key = checked(&parts.method, &parts.headers)?;
        let on_upgrade = parts.extensions.remove::<OnUpgrade>().ok_or(Rejection::NotWebSocket)?;
        let connection =
            parts.extensions.get::<Arc<Connection>>().ok_or(Rejection::NotWebSocket)?.clone();
        let place = endpoint.upgrading.clone().try_acquire_owned().map_err(|_| Rejection::Busy)?;
        let client = endpoint.trust.client(connection.peer, connection.named);
        let client = forwarded_client(&parts.headers, &endpoint.trust.proxies, client);
        let endpoint = endpoint.clone();
        Ok(Self { endpoint, connection, on_upgrade, accept_key, client, place })
    }
}

/// gorilla/websocket's checks in its order; the value of Sec-WebSocket-Accept. Any Origin will do.
fn checked(method: &Method, headers: &HeaderMap) -> Result<String, Rejection> {
    if !has_token(headers, CONNECTION.as_str(), "upgrade")
        || !has_token(headers, UPGRADE.as_str(), "websocket")
    {
        return Err(Rejection::NotWebSocket);
    }
    if method != Method::GET {
        return Err(Rejection::NotGet);
    }
    if !has_token(headers, "sec-websocket-version", "13") {
        return Err(Rejection::NotWebSocket);
    }
    let key = headers.get("sec-websocket-key").ok_or(Rejection::NotWebSocket)?;
    match STANDARD.decode(key) {
        Ok(nonce) if nonce.len() == 16 => Ok(derive_accept_key(key.as_bytes())),
        _ => Err(Rejection::NotWebSocket),
    }
}

/// Whether a header that is a list has this element, in any case.
fn has_token(headers: &HeaderMap, name: &str, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// The one fallback of a socket's router.
pub(super) async fn serve(
    State(shared): State<Arc<Shared>>,
    upgrade: Result<Upgrade, Rejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade.start(&shared),
        Err(rejection) => {
            shared.count(rejection.label());
            rejection.into_response()
        }
    }
}

impl Upgrade {
    /// Answers 101, and hands the stream to the service once that is written.
    fn start(self, shared: &Arc<Shared>) -> Response {
        let response = self.response();
        let Self { endpoint, connection, on_upgrade, client, place, .. } = self;
        let counter = shared.clone();
        shared.tracker.spawn(async move {
            let within = endpoint.config.handshake_timeout.unwrap_or(HANDSHAKE_TIMEOUT);
            let upgraded = match tokio::time::timeout(within, on_upgrade).await {
                Ok(Ok(upgraded)) => upgraded,
                Ok(Err(e)) => {
                    counter.count("failed");
                    tracing::debug!(peer = %connection.peer, error = %e, "no upgrade");
                    return;
                }
                Err(_) => {
                    counter.count("timeout");
                    tracing::debug!(peer = %connection.peer, "no upgrade in time");
                    return;
                }
            };
            drop(place);
            let Some(io) = stream(upgraded, &endpoint) else { return };
            counter.count("ok");
            let (peer, local) = (client, connection.local);
            let Some(accept) = endpoint.accept.clone().session(peer) else { return };
            let inbound = Inbound { io, peer, local };
            match endpoint.config.mux {
                None => accept.accept(inbound),
                Some(config) => session::serve(inbound, config, &*accept, &counter.tracker).await,
            }
        });
        response
    }

    fn response(&self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(key) = HeaderValue::from_str(&self.accept_key) {
            headers.insert("sec-websocket-accept", key);
        }
        for (name, value) in &self.endpoint.config.header {
            // As gorilla: control characters must not end the header.
            let value = value.replace(|c: char| c <= '\x1f' || c == '\x7f', " ");
            match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                (Ok(name), Ok(value)) => {
                    headers.append(name, value);
                }
                _ => tracing::warn!(header = name, "not a legal header, left out of the 101"),
            }
        }
        response
    }
}

/// The raw socket with our framing on it.
fn stream(upgraded: Upgraded, endpoint: &Endpoint) -> Option<BoxIo> {
    match upgraded.downcast::<TokioIo<AsyncIo<TcpStream>>>() {
        Ok(parts) => {
            let (early, stream) = parts.io.into_inner().into_parts(&parts.read_buf);
            set_up(&stream, endpoint);
            Some(framed(stream, early, endpoint))
        }
        Err(upgraded) => {
            let parts = upgraded.downcast::<TokioIo<ServerStream<TcpStream>>>().ok()?;
            let stream = parts.io.into_inner();
            set_up(stream.get_ref().0.get_ref(), endpoint);
            Some(framed(stream, Chunk::from_slice(&parts.read_buf), endpoint))
        }
    }
}

fn set_up(stream: &TcpStream, endpoint: &Endpoint) {
    if let Some(keepalive) = &endpoint.config.keepalive {
        // Fails only on a socket that is already gone; its first read says so.
        let _ = set_keepalive(stream, keepalive);
    }
}

fn framed(stream: impl Io, early: Chunk, endpoint: &Endpoint) -> BoxIo {
    // Our Pings keep proxies on the way from cutting a silent tunnel; a client need not answer.
    let ping = endpoint.config.ping_interval.map(|interval| Ping { interval, required: false });
    if early.is_empty() {
        return Box::new(WsIo::server(stream, ping));
    }
    Box::new(WsIo::server(Prefixed::new(early, stream), ping))
}
