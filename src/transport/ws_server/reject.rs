//! Answers to requests that do not become WebSockets, as Go's net/http and gorilla/websocket
//! write them.

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CONNECTION, CONTENT_TYPE, DATE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use jiff::Timestamp;

/// Why a request does not become a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// No service has this host and path.
    NotFound,
    /// HTTP/1.1 without a Host (RFC 9112 section 3.2).
    NoHost,
    /// Several Hosts, or one that is none (the same section).
    BadHost,
    /// The listener's `origins` do not name the page.
    Origin,
    /// The path is a service's, the request is not a WebSocket handshake.
    NotWebSocket,
    /// It would be one if it were a GET.
    NotGet,
    /// The service's TLS policy is not that of the handshake.
    Misdirected,
    /// The service has `backlog` upgrades in flight.
    Busy,
}

impl Rejection {
    /// The label of `adit_handshakes_total{result}`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Origin => "forbidden_origin",
            Self::NoHost | Self::BadHost | Self::NotWebSocket | Self::NotGet => "bad_request",
            Self::Misdirected => "misdirected",
            Self::Busy => "busy",
        }
    }

    fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "404 page not found\n"),
            Self::NoHost => {
                (StatusCode::BAD_REQUEST, "400 Bad Request: missing required Host header")
            }
            Self::BadHost => (StatusCode::BAD_REQUEST, "400 Bad Request: malformed Host header"),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "Forbidden: the listener's origins do not name the Origin of this request\n",
            ),
            Self::NotWebSocket => (StatusCode::BAD_REQUEST, "Bad Request\n"),
            Self::NotGet => (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n"),
            Self::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "Misdirected Request\n"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable\n"),
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let (status, body) = self.parts();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let now = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(now) = now.try_into() {
            headers.insert(DATE, now);
        }
        match self {
            Self::NotWebSocket | Self::NotGet => {
                headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
            }
            Self::NoHost | Self::BadHost | Self::Misdirected | Self::Busy => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::NotFound | Self::Origin => {}
        }
        if !matches!(self, Self::NoHost | Self::BadHost) {
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        response
    }
}
