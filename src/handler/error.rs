//! Why a stream ended before it became a tunnel.

/// Why a stream ended before it became a tunnel.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The client said nothing.
    #[error("the client sent no request")]
    NoRequest,
}
