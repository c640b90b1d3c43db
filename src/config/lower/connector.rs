//! Connectors: what is said to a node.

use super::{auth, listener, mux, scope::Scope};
use crate::base::Reason;
use crate::config::error::Findings;
use crate::config::metadata::{Reader, keys};
use crate::config::model::{
    ConnectorConfig, Credentials, HttpConnectorConfig, RelayConnectorConfig, Socks4ConnectorConfig,
    Socks5ConnectorConfig,
};
use crate::config::raw;
use crate::config::types;

/// Headers that the request itself writes.
const CONNECT_HEADERS: &[&str] = &["Host", "Content-Length", "Transfer-Encoding", "Connection"];

/// `nodes[].connector`.
pub(super) fn lower(
    connector: &raw::Connector,
    path: &str,
    metadata: &mut Reader,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<ConnectorConfig> {
    let kind = listener::kind(&types::CONNECTORS, &connector.kind, "http", path, findings)?;
    let auth_path = format!("{path}.auth");
    let errors = findings.errors.len();
    let auth = connector
        .auth
        .as_ref()
        .and_then(|auth| auth::credentials(auth, &auth_path, true, scope.context, findings));
    let path = format!("{path}.metadata");
    let config = match kind {
        "http" => {
            let header = metadata.headers(&["header"], CONNECT_HEADERS, findings);
            let timeout = metadata.duration(&["timeout"], findings);
            ConnectorConfig::Http(HttpConnectorConfig { auth, header, timeout })
        }
        "socks4" | "socks4a" => {
            if auth.as_ref().is_some_and(|auth| !auth.password.expose().is_empty()) {
                let message = "SOCKS4 has no password: only the user name is sent";
                findings.warn(&auth_path, Reason::Accepted, message);
            }
            ConnectorConfig::Socks4(Socks4ConnectorConfig {
                user: auth.map(|auth| auth.username),
                disable_4a: metadata.bool(&["disable4a"], findings),
                timeout: metadata.duration(&["timeout"], findings),
            })
        }
        "socks5" | "socks" => {
            metadata.lacks(keys::SOCKS5_CONNECTOR);
            short(connector, auth.as_ref(), &auth_path, findings);
            // We never offer the TLS methods, so there is nothing to turn off.
            metadata.bool(&["notls"], findings);
            ConnectorConfig::Socks5(Socks5ConnectorConfig {
                auth,
                timeout: metadata.duration(&["timeout"], findings),
                udp_associate: udp_associate(metadata, findings),
                udp_buffer_size: listener::udp_buffer_size(metadata, findings),
                mux: mux::read(metadata, &path, findings),
            })
        }
        "relay" => {
            short(connector, auth.as_ref(), &auth_path, findings);
            ConnectorConfig::Relay(RelayConnectorConfig {
                auth,
                timeout: metadata.duration(&["connectTimeout"], findings),
                nodelay: metadata.bool(&["nodelay"], findings),
                mux: mux::read(metadata, &path, findings),
            })
        }
        "direct" | "virtual" => {
            metadata.lacks(keys::DIRECT_CONNECTOR);
            says_nothing(connector, kind, &auth_path, findings);
            ConnectorConfig::Direct
        }
        _ => {
            says_nothing(connector, kind, &auth_path, findings);
            ConnectorConfig::Forward
        }
    };
    (findings.errors.len() == errors).then_some(config)
}

/// `relay: udp`.
fn udp_associate(metadata: &mut Reader, findings: &mut Findings) -> bool {
    let relay = metadata.text(&["relay"], findings);
    match (relay.as_deref(), metadata.path_of(&["relay"])) {
        (Some("udp"), _) => return true,
        (Some(other), Some(path)) => {
            let message = format!("unknown relay mode {other:?}; write udp, or remove it");
            findings.invalid(&path, message);
        }
        _ => {}
    }
    false
}

/// RFC 1929 and GOST's relay protocol count their bytes in one.
fn short(
    connector: &raw::Connector,
    auth: Option<&Credentials>,
    path: &str,
    findings: &mut Findings,
) {
    let long = |text: &str| text.len() > 255;
    if auth.is_some_and(|a| long(&a.username) || long(a.password.expose())) {
        let written = connector.auth.as_ref();
        let reason = match written.is_some_and(|auth| auth.secret_ref.is_some()) {
            true => Reason::SecretInvalid,
            false => Reason::Invalid,
        };
        let message = "the protocol has room for 255 bytes of user name and of password";
        findings.error(path, reason, message);
    }
}

fn says_nothing(connector: &raw::Connector, kind: &str, path: &str, findings: &mut Findings) {
    if connector.auth.is_some() {
        let message = format!("connector {kind} says nothing to the node; remove `auth`");
        findings.invalid(path, message);
    }
}
