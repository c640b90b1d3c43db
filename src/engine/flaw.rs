//! What makes a service impossible to run, found before anything is changed.

use std::error::Error;

use crate::config::model::{ListenerConfig, ServerTls, ServiceConfig};
use crate::net::tls::TlsServer;
use crate::route;

/// A service that can never run as it is configured: a key that is not its certificate's, a CA that
/// is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The part of the service: `listener.tls`.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl Flaw {
    /// The first flaw of a service. Builds what it would shake hands with, which takes milliseconds.
    pub fn of(config: &ServiceConfig) -> Option<Self> {
        if let Some(Err(message)) = config.listener.tls().map(|tls| server(tls)) {
            return Some(Self { field: "listener.tls", message });
        }
        let listening = match &config.listener {
            ListenerConfig::Rtcp(rtcp) => Some(("listener.chain", &*rtcp.chain)),
            _ => None,
        };
        let dialling = ("handler.chain", &*config.chain);
        [Some(dialling), listening].into_iter().flatten().find_map(|(field, chain)| {
            let error = route::check(chain).err()?;
            Some(Self { field, message: format!("{error}: {}", with_source(&error.source)) })
        })
    }
}

/// A listener's TLS, or in words why it cannot be.
pub(super) fn server(config: &ServerTls) -> Result<TlsServer, String> {
    TlsServer::build(config).map_err(|error| with_source(&error))
}

fn with_source(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
