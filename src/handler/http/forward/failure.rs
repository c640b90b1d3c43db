//! What a client is told of a request that came to nothing (RFC 9110 section 15.6).
//!
//! The line says which kind of failure it was, and names no node and no address: who may know more finds
//! it in the log.

use hyper::StatusCode;

use crate::handler::HandlerError;

/// The status of a failure.
pub(super) fn status(error: &HandlerError) -> StatusCode {
    match error {
        HandlerError::TargetSlow => StatusCode::GATEWAY_TIMEOUT,
        HandlerError::Target(_) => StatusCode::BAD_GATEWAY,
        HandlerError::Route(route) if route.egress_denied().is_some() => StatusCode::FORBIDDEN,
        HandlerError::Route(route) => match route.label() {
            "timeout" => StatusCode::GATEWAY_TIMEOUT,
            "other" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        },
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// One line for the client; `None` where the status says it all.
pub(super) fn said(error: &HandlerError) -> Option<&'static str> {
    Some(match error {
        HandlerError::TargetSlow => {
            "the target did not answer in time (readTimeout of the proxy's handler)"
        }
        HandlerError::Target(_) => "the target's response cannot be read, or it broke off",
        HandlerError::BadTarget(_) => "the request names nothing that this proxy can connect to",
        HandlerError::Bypassed => "the proxy does not let anybody go there",
        HandlerError::Limited => "the proxy has no room for more connections",
        HandlerError::Stopped => "the proxy is shutting down",
        HandlerError::Route(route) if route.egress_denied().is_some() => {
            "the proxy may not connect to that address"
        }
        HandlerError::Route(route) => match route.label() {
            "refused" => "the target refused the connection",
            "timeout" => "no connection to the target in time",
            "unreachable" => "the target cannot be reached",
            "dns" => "the name of the target does not resolve",
            "circle" => "the target leads back to this proxy",
            "tls" | "handshake" | "unauthorized" => "the next proxy on the way cannot be used",
            _ => "no way leads to the target",
        },
        _ => return None,
    })
}
