//! What is done with an accepted stream.
//!
//! Floor 7. A [`Handler`] talks to the client, asks its route for a stream to the target, and
//! pipes. One access line and one set of counts per stream, whatever the protocol.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::base::{Closed, ServiceKey};
use crate::config::model::ServiceConfig;
use crate::io::Inbound;
use crate::metrics::ServiceMetrics;
use crate::net::dial::Dial;

mod error;

pub use error::HandlerError;

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
    context: HandlerContext,
}

impl Handler {
    /// Builds it; nothing is started.
    pub fn build(config: &ServiceConfig, context: HandlerContext) -> Self {
        let _ = config;
        Self { context }
    }

    /// Serves one stream to its end, writes its access line and counts it. `stop` cuts it: the
    /// client gets Close 1012 if it came over a WebSocket.
    ///
    /// # Errors
    /// [`HandlerError`], already logged and counted: before the pipe began.
    pub async fn serve(
        &self,
        inbound: Inbound,
        stop: &CancellationToken,
    ) -> Result<Closed, HandlerError> {
        let _ = (&self.context, inbound, stop);
        Err(HandlerError::NoRequest)
    }
}
