//! The request that becomes a WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::reject::Rejection;
use super::session;
use super::table::Endpoint;
use super::{Connection, Shared};
use crate::io::{BoxIo, Chunk, Inbound, Io, Prefixed};
use crate::net::dial::set_keepalive;
use crate::transport::arrival::forwarded_client;
use crate::transport::{Ping, WsIo};

/// A request that may be upgraded, and the service that it is for.
pub(super) struct Upgrade {
    endpoint: Arc<Endpoint>,
    accept_key: String,
    /// The client, as far as trusted proxies name it.
    client: SocketAddr,
    local: SocketAddr,
    /// A place in the service's backlog, until the 101 is written.
    _place: OwnedSemaphorePermit,
}

/// A WebSocket that is open.
pub(super) struct Opened {
    inbound: Inbound,
    endpoint: Arc<Endpoint>,
    tracker: TaskTracker,
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
        let accept_key = checked(&parts.method, &parts.headers)?;
        let place = endpoint.upgrading.clone().try_acquire_owned().map_err(|_| Rejection::Busy)?;
        connection.permit.lock().take();
        let client = endpoint.trust.client(connection.peer, connection.named);
        let client = forwarded_client(&parts.headers, &endpoint.trust.proxies, client);
        let (endpoint, local) = (endpoint.clone(), connection.local);
        Ok(Self { endpoint, accept_key, client, local, _place: place })
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

/// The one fallback of a socket's router. After a 101 the connection has its [`Upgrade`].
pub(super) async fn serve(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Arc<Connection>>,
    upgrade: Result<Upgrade, Rejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => {
            let response = upgrade.response();
            *connection.upgrade.lock() = Some(upgrade);
            response
        }
        Err(rejection) => {
            shared.count(rejection.label());
            rejection.into_response()
        }
    }
}

impl Upgrade {
    /// `handshakeTimeout`.
    pub(super) fn handshake_timeout(&self) -> Option<Duration> {
        self.endpoint.config.handshake_timeout
    }

    /// Sets the socket's options.
    pub(super) fn set_up(&self, stream: &TcpStream) {
        if let Some(keepalive) = &self.endpoint.config.keepalive {
            // Fails only on a socket that is already gone; its first read says so.
            let _ = set_keepalive(stream, keepalive);
        }
    }

    /// What the connection became once its 101 was written. `early` came behind the request.
    pub(super) fn opened(self, stream: impl Io, early: Chunk, tracker: TaskTracker) -> Opened {
        let io = framed(stream, early, &self.endpoint);
        let inbound = Inbound { io, peer: self.client, local: self.local };
        Opened { inbound, endpoint: self.endpoint, tracker }
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

impl Opened {
    /// Serves what comes through it, to the end. Its way is over as soon as the service has it.
    pub(super) async fn serve(self, arriving: TaskTrackerToken) {
        let Self { inbound, endpoint, tracker } = self;
        let accept = endpoint.accept.clone();
        let Some(config) = endpoint.config.mux else {
            drop(endpoint);
            let serving = accept.serve(inbound);
            drop(arriving);
            return serving.await;
        };
        drop(endpoint);
        let Some(accept) = accept.session(inbound.peer) else { return };
        let hold = accept.surroundings().hold;
        drop(arriving);
        Box::pin(session::serve(inbound, config, &*accept, &tracker)).await;
        drop(hold);
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
