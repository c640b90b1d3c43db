//! The first lines a person sees: what listens where, and what to type next.

use std::io::{self, Write};
use std::net::SocketAddr;

use crate::config::model::{
    ChainConfig, DialerConfig, ForwardConfig, HandlerConfig, HopConfig, ListenerConfig, NodeConfig,
    ServiceConfig,
};
use crate::engine::{Medium, RemoteBind, ServiceState, Snapshot};

/// Prints it to standard output.
///
/// # Errors
/// If standard output is closed.
pub(super) fn print(snapshot: &Snapshot) -> io::Result<()> {
    let mut text = String::new();
    for service in snapshot.services.values() {
        let config = &service.config;
        match service.state {
            _ if Medium::of(config) == Medium::Remote => text.push_str(&remote(config)),
            ServiceState::Serving { local } => text.push_str(&lines(config, local)),
            _ => {}
        }
    }
    io::stdout().write_all(text.as_bytes())
}

/// A port of another machine. Whether it is had, and which, the log says.
fn remote(config: &ServiceConfig) -> String {
    let (name, handler, addr) = (&config.name, handler(config), &config.listen);
    let at = RemoteBind::of(config).map(|bind| hops(&bind.chain)).unwrap_or_default();
    format!("{name}: {handler} on rtcp {addr} of {at}{}\n", through(config))
}

fn lines(config: &ServiceConfig, local: SocketAddr) -> String {
    let (name, handler, through) = (&config.name, handler(config), through(config));
    match &config.listener {
        ListenerConfig::Ws(ws) => {
            let path = &ws.path.0;
            let kind = config.listener.kind();
            let mut text = format!("{name}: {handler} on {kind} {local} {path}{through}\n");
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
        listener => {
            let kind = listener.kind();
            let mut text = format!("{name}: {handler} on {kind} {local}{through}\n");
            if matches!(config.handler, HandlerConfig::Auto(_) | HandlerConfig::Http(_)) {
                text += &format!(
                    "  try: curl -x http://127.0.0.1:{} http://example.com/\n",
                    local.port()
                );
            }
            text
        }
    }
}

fn handler(config: &ServiceConfig) -> String {
    match &config.handler {
        HandlerConfig::Auto(_) => "http and socks proxy".to_string(),
        HandlerConfig::Http(_) => "http proxy".to_string(),
        HandlerConfig::Socks4(_) => "socks4 proxy".to_string(),
        HandlerConfig::Socks5(_) => "socks5 proxy".to_string(),
        HandlerConfig::Relay(relay) => match &relay.forward {
            Some(to) => format!("relay to {}", targets(to)),
            None => "relay".to_string(),
        },
        HandlerConfig::Forward(forward) => format!("forwards to {}", targets(&forward.to)),
    }
}

fn through(config: &ServiceConfig) -> String {
    let through = hops(&config.chain);
    if through.is_empty() { String::new() } else { format!(" through {through}") }
}

fn hops(chain: &ChainConfig) -> String {
    let nodes =
        |hop: &HopConfig| hop.nodes.iter().map(|n| node(n)).collect::<Vec<_>>().join(" or ");
    chain.hops.iter().map(nodes).collect::<Vec<_>>().join(", ")
}

fn targets(to: &ForwardConfig) -> String {
    to.nodes.iter().map(|node| node.target.to_string()).collect::<Vec<_>>().join(" or ")
}

fn node(node: &NodeConfig) -> String {
    match &node.dialer {
        DialerConfig::Tcp { .. } => node.addr_text.clone(),
        DialerConfig::Ws(ws) => format!("{} {} {}", node.dialer.kind(), node.addr_text, ws.path),
    }
}

/// The `-F` of a client on this machine. Credentials are named, not shown.
fn client_url(config: &ServiceConfig, local: SocketAddr, path: &str) -> String {
    let user = if config.handler.lacks_users() { "" } else { "USER:PASSWORD@" };
    let kind = config.listener.kind();
    format!("{kind}://{user}127.0.0.1:{}?path={path}", local.port())
}
