//! The first lines a person sees: what listens where, and what to type next.

use std::io::{self, Write};
use std::net::SocketAddr;

use crate::config::model::{DialerConfig, HandlerConfig, ListenerConfig, ServiceConfig};
use crate::engine::{ServiceState, Snapshot};

/// Prints it to standard output.
///
/// # Errors
/// If standard output is closed.
pub(super) fn print(snapshot: &Snapshot) -> io::Result<()> {
    let mut text = String::new();
    for service in snapshot.services.values() {
        if let ServiceState::Serving { local } = service.state {
            text.push_str(&lines(&service.config, local));
        }
    }
    io::stdout().write_all(text.as_bytes())
}

fn lines(config: &ServiceConfig, local: SocketAddr) -> String {
    let handler = match &config.handler {
        HandlerConfig::Auto(_) | HandlerConfig::Http(_) => "http proxy".to_string(),
        HandlerConfig::Forward(forward) => format!("forwards to {}", forward.target),
    };
    let through: Vec<_> = config
        .chain
        .hops
        .iter()
        .map(|node| match &node.dialer {
            DialerConfig::Tcp { .. } => node.addr_text.clone(),
            DialerConfig::Ws(ws) => format!("ws {} {}", node.addr_text, ws.path),
        })
        .collect();
    let through =
        if through.is_empty() { String::new() } else { format!(" through {}", through.join(", ")) };
    let name = &config.name;
    match &config.listener {
        ListenerConfig::Ws(ws) => {
            let path = &ws.path.0;
            let mut text = format!("{name}: {handler} on ws {local} {path}{through}\n");
            if !matches!(config.handler, HandlerConfig::Forward(_)) {
                text += &format!(
                    "  a client here:   adit -L http://127.0.0.1:1080 -F '{}'\n",
                    client_url(config, local, path)
                );
                text += &format!(
                    "  then, through it: curl -x http://127.0.0.1:1080 http://127.0.0.1:{}/\n",
                    local.port()
                );
            }
            text
        }
        ListenerConfig::Tcp(_) => {
            let mut text = format!("{name}: {handler} on tcp {local}{through}\n");
            if !matches!(config.handler, HandlerConfig::Forward(_)) {
                text += &format!(
                    "  try: curl -x http://127.0.0.1:{} http://example.com/\n",
                    local.port()
                );
            }
            text
        }
    }
}

/// The `-F` of a client on this machine. Credentials are named, not shown.
fn client_url(config: &ServiceConfig, local: SocketAddr, path: &str) -> String {
    let needs_user = match &config.handler {
        HandlerConfig::Auto(http) | HandlerConfig::Http(http) => http.users.is_some(),
        HandlerConfig::Forward(_) => false,
    };
    let user = if needs_user { "USER:PASSWORD@" } else { "" };
    format!("ws://{user}127.0.0.1:{}?path={path}", local.port())
}
