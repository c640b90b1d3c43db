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
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::path;
use super::reject::Rejection;
use super::session;
use super::table::Endpoint;
use super::{Connection, Shared};
use crate::base::Target;
use crate::config::model::Origins;
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
        let host = host(parts)?;
        let path = path::decoded(parts.uri.path());
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
        let accept_key = checked(&parts.method, &parts.headers, &endpoint.config.origins)?;
        let place = endpoint.upgrading.clone().try_acquire_owned().map_err(|_| Rejection::Busy)?;
        connection.permit.lock().take();
        let client = endpoint.trust.client(connection.peer, connection.named);
        let client = forwarded_client(&parts.headers, &endpoint.trust.proxies, client);
        let (endpoint, local) = (endpoint.clone(), connection.local);
        Ok(Self { endpoint, accept_key, client, local, _place: place })
    }
}

/// What a request is for: its target's authority, which wins over the header (RFC 9112 section 3.2.2),
/// or its Host. There is one Host, and it is a host with or without a port (section 3.2).
fn host(parts: &Parts) -> Result<Option<&str>, Rejection> {
    let is_host = |text: &str| text.is_empty() || Target::parse(text, Some(80)).is_ok();
    let mut fields = parts.headers.get_all(HOST).iter();
    let header = match (fields.next(), fields.next()) {
        (Some(_), Some(_)) => return Err(Rejection::BadHost),
        (Some(field), None) => Some(field.to_str().map_err(|_| Rejection::BadHost)?),
        (None, _) if parts.version == Version::HTTP_11 => return Err(Rejection::NoHost),
        (None, _) => None,
    };
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    if !header.into_iter().chain(authority).all(is_host) {
        return Err(Rejection::BadHost);
    }
    Ok(authority.or(header))
}

/// Whether every page that this request says it is from may open a WebSocket.
fn may_come(headers: &HeaderMap, origins: &Origins) -> bool {
    let Origins::Listed(listed) = origins else { return true };
    headers.get_all(ORIGIN).iter().all(|origin| {
        listed.iter().any(|known| origin.as_bytes().eq_ignore_ascii_case(known.as_bytes()))
    })
}

/// gorilla/websocket's checks in its order; the value of Sec-WebSocket-Accept.
fn checked(method: &Method, headers: &HeaderMap, origins: &Origins) -> Result<String, Rejection> {
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
    if !may_come(headers, origins) {
        return Err(Rejection::Origin);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(target: &str, hosts: &[&str]) -> Parts {
        let mut request = hyper::Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_request_has_one_host_and_that_is_one() {
        for (target, hosts, expected) in [
            ("/x", &["a"][..], Ok(Some("a"))),
            ("/x", &["a.example.:80"], Ok(Some("a.example.:80"))),
            ("/x", &["[::1]:80"], Ok(Some("[::1]:80"))),
            ("/x", &[""], Ok(Some(""))),
            ("http://a:1/x", &["b"], Ok(Some("a:1"))),
            ("/x", &[], Err(Rejection::NoHost)),
            ("http://a/x", &[], Err(Rejection::NoHost)),
            ("/x", &["a", "a"], Err(Rejection::BadHost)),
            ("/x", &["a", "b"], Err(Rejection::BadHost)),
            ("http://a/x", &["a", "b"], Err(Rejection::BadHost)),
            ("/x", &["u@a"], Err(Rejection::BadHost)),
            ("http://u:p@a/x", &["a"], Err(Rejection::BadHost)),
            ("http://a/x", &["u@a"], Err(Rejection::BadHost)),
            ("/x", &["a, b"], Err(Rejection::BadHost)),
            ("/x", &["a b"], Err(Rejection::BadHost)),
            ("/x", &["a/b"], Err(Rejection::BadHost)),
            ("/x", &["a%2eb"], Err(Rejection::BadHost)),
            ("/x", &["a:http"], Err(Rejection::BadHost)),
            ("/x", &["\u{ff41}"], Err(Rejection::BadHost)),
        ] {
            assert_eq!(host(&parts(target, hosts)), expected, "{target} {hosts:?}");
        }
    }

    fn upgraded(origins: &Origins, from: &[&str]) -> Result<String, Rejection> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for origin in from {
            headers.append(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        checked(&Method::GET, &headers, origins)
    }

    #[test]
    fn a_page_comes_in_only_from_a_listed_origin() {
        let none = Origins::default();
        let listed = Origins::Listed(vec!["https://a.example".into(), "http://b:81".into()]);
        for (origins, from, comes) in [
            (&none, &[][..], true),
            (&none, &["https://evil.example"], false),
            (&none, &["null"], false),
            (&none, &[""], false),
            (&listed, &[], true),
            (&listed, &["https://a.example"], true),
            (&listed, &["HTTPS://A.example"], true),
            (&listed, &["http://b:81"], true),
            (&listed, &["http://a.example"], false),
            (&listed, &["https://a.example:8443"], false),
            (&listed, &["https://a.example.evil.example"], false),
            (&listed, &["https://evil.example/https://a.example"], false),
            (&listed, &["https://a.example, https://evil.example"], false),
            (&listed, &["https://a.example", "https://evil.example"], false),
            (&listed, &["null"], false),
            (&Origins::Any, &["https://evil.example"], true),
        ] {
            let expected = if comes { Ok(()) } else { Err(Rejection::Origin) };
            assert_eq!(upgraded(origins, from).map(drop), expected, "{origins:?} {from:?}");
        }
    }
}
