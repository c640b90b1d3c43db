//! Requests and responses as they are passed on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    TRANSFER_ENCODING,
};
use hyper::{Request, StatusCode, Uri, Version};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::{bad_target, fields};
use crate::config::model::HttpHandlerConfig;
use crate::handler::HandlerError;

/// A response to the client.
pub(super) type Response = hyper::Response<Either<Incoming, Full<Bytes>>>;

/// A request's body that tells when it is sent.
pub(super) struct Sent {
    body: Incoming,
    _sent: DropGuard,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The request as the target gets it, and a token that is cancelled when it is sent.
pub(super) fn passed_on(
    request: Request<Incoming>,
    upgrade: &Option<HeaderValue>,
    keepalive: bool,
) -> Result<(Request<Sent>, CancellationToken), HandlerError> {
    let (mut parts, body) = request.into_parts();
    let bad = || bad_target(&parts.uri.to_string());
    if let Some(authority) = parts.uri.authority() {
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(host).map_err(|_| bad())?;
        parts.headers.insert(HOST, host);
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse::<Uri>().map_err(|_| bad())?;
    parts.version = Version::HTTP_11;
    fields::strip(&mut parts.headers);
    if let Some(protocol) = upgrade {
        fields::set_upgrade(&mut parts.headers, protocol.clone());
    } else if !keepalive {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let sent = CancellationToken::new();
    let body = Sent { body, _sent: sent.clone().drop_guard() };
    Ok((Request::from_parts(parts, body), sent))
}

/// The response as the client gets it.
pub(super) fn passed_back(response: hyper::Response<Incoming>) -> Response {
    let mut response = response.map(Either::Left);
    let upgrade = fields::upgrade(response.headers());
    if response.headers().contains_key(TRANSFER_ENCODING) {
        // It overrides the length, which a proxy removes (RFC 9112 section 6.3).
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    fields::strip(response.headers_mut());
    if let Some(protocol) = upgrade
        && response.status() == StatusCode::SWITCHING_PROTOCOLS
    {
        fields::set_upgrade(response.headers_mut(), protocol);
    }
    *response.version_mut() = Version::HTTP_11;
    response
}

/// An answer of ours with one line of body; the connection ends after it.
pub(super) fn refused(
    status: StatusCode,
    why: Option<&'static str>,
    config: &HttpHandlerConfig,
) -> Response {
    let line = why.map(|why| format!("{status}: {why}\n")).unwrap_or_default();
    let mut response = Response::new(Either::Right(Full::new(Bytes::from(line))));
    *response.status_mut() = status;
    if why.is_some() {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
    }
    for (name, value) in &config.header {
        let value = value.replace(|c: char| c.is_ascii_control(), " ");
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        let realm = format!("Basic realm=\"{}\"", config.realm.replace(['"', '\\'], ""));
        if let Ok(realm) = HeaderValue::try_from(realm) {
            response.headers_mut().insert(PROXY_AUTHENTICATE, realm);
        }
    }
    close_after(&mut response);
    response
}

/// Says that the connection ends after this response, which makes hyper do it.
pub(super) fn close_after(response: &mut Response) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}
