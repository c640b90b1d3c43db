//! Chains: hops, and the one node of each.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::references::Named;
use super::{LowerContext, addr, auth, listener};
use crate::config::defaults;
use crate::config::error::Findings;
use crate::config::metadata::{Reader, keys, settle};
use crate::config::model::{
    ChainConfig, ConnectorConfig, DialerConfig, HttpConnectorConfig, NodeConfig, TcpKeepalive,
    WsDialerConfig,
};
use crate::config::raw;
use crate::config::types;

/// Headers that the handshake itself writes (gorilla refuses them too).
const WS_REQUEST_HEADERS: &[&str] = &[
    "Upgrade",
    "Connection",
    "Sec-Websocket-Key",
    "Sec-Websocket-Version",
    "Sec-Websocket-Extensions",
    "Content-Length",
    "Transfer-Encoding",
];
const CONNECT_HEADERS: &[&str] = &["Host", "Content-Length", "Transfer-Encoding", "Connection"];

/// Paths of the addresses that chains dial first: only these are dialled from here.
struct Lowering<'a> {
    context: &'a LowerContext<'a>,
    loopback_ports: &'a BTreeSet<u16>,
}

/// `hops` and `chains`.
pub(super) fn lower_all(
    config: &raw::Config,
    context: &LowerContext,
    loopback_ports: &BTreeSet<u16>,
    findings: &mut Findings,
) -> Named<Arc<ChainConfig>> {
    let lowering = Lowering { context, loopback_ports };
    let mut of_hops = Findings::default();
    let mut hops = Named::new("hop");
    for (i, hop) in config.hops.iter().enumerate() {
        let path = format!("hops[{i}]");
        let node = lowering.hop(hop, &path, &mut of_hops);
        hops.add(&hop.name, node, &path, &mut of_hops);
    }
    let mut chains = Named::new("chain");
    for (i, chain) in config.chains.iter().enumerate() {
        let path = format!("chains[{i}]");
        let lowered = lowering.chain(chain, &path, &hops, findings);
        chains.add(&chain.name, lowered.map(Arc::new), &path, findings);
    }
    findings.errors.append(&mut of_hops.errors);
    findings.warnings.append(&mut of_hops.warnings);
    chains
}

impl Lowering<'_> {
    fn chain(
        &self,
        chain: &raw::Chain,
        path: &str,
        named: &Named<NodeConfig>,
        findings: &mut Findings,
    ) -> Option<ChainConfig> {
        if chain.hops.is_empty() {
            let message = "the chain has no hops; to dial directly, do not refer to a chain";
            findings.invalid(&format!("{path}.hops"), message);
            return None;
        }
        let mut complete = true;
        let mut hops = Vec::new();
        for (i, hop) in chain.hops.iter().enumerate() {
            let path = format!("{path}.hops[{i}]");
            let node = match &hop.nodes {
                None if hop.name.is_empty() => {
                    findings.invalid(&path, "the hop has neither nodes nor the name of a hop");
                    None
                }
                None => named.find(&hop.name, &format!("{path}.name"), findings),
                Some(_) => self.hop(hop, &path, findings),
            };
            // The first node is dialled from here; the others by the node before them.
            let node = node.filter(|node| i > 0 || self.may_dial(node, hop, &path, findings));
            complete &= node.is_some();
            hops.extend(node);
        }
        complete.then(|| ChainConfig { name: chain.name.clone(), hops })
    }

    fn may_dial(
        &self,
        node: &NodeConfig,
        hop: &raw::Hop,
        path: &str,
        findings: &mut Findings,
    ) -> bool {
        let path = match hop.nodes {
            Some(_) => format!("{path}.nodes[0].addr"),
            None => format!("{path}.name"),
        };
        let (context, ports) = (self.context, self.loopback_ports);
        addr::lower_target(&node.addr_text, &path, context, ports, findings).is_some()
    }

    /// A hop with nodes of its own.
    fn hop(&self, hop: &raw::Hop, path: &str, findings: &mut Findings) -> Option<NodeConfig> {
        let nodes = hop.nodes.as_deref().unwrap_or_default();
        let node = match nodes {
            [node] => node,
            [] => {
                findings.invalid(&format!("{path}.nodes"), "the hop has no nodes; it needs one");
                return None;
            }
            _ => {
                let message = format!(
                    "{} nodes in one hop are not supported in this version; keep one",
                    nodes.len()
                );
                findings.unsupported(&format!("{path}.nodes"), message);
                return None;
            }
        };
        self.node(node, hop, path, findings)
    }

    fn node(
        &self,
        node: &raw::Node,
        hop: &raw::Hop,
        hop_path: &str,
        findings: &mut Findings,
    ) -> Option<NodeConfig> {
        let path = format!("{hop_path}.nodes[0]");
        let errors = findings.errors.len();
        let addr = addr::parse_target(&node.addr, &format!("{path}.addr"), findings);
        let (dialer, connector) =
            (node.dialer.clone().unwrap_or_default(), node.connector.clone().unwrap_or_default());
        let mut reader = |map, part: &str| Reader::new(map, format!("{part}.metadata"), findings);
        let mut of_hop = reader(&hop.metadata, hop_path);
        let mut of_node = reader(&node.metadata, &path);
        let mut of_connector = reader(&connector.metadata, &format!("{path}.connector"));
        let mut of_dialer = reader(&dialer.metadata, &format!("{path}.dialer"));
        of_hop.lacks(keys::NODE);
        of_node.lacks(keys::NODE);
        let connector =
            self.connector(&connector, &format!("{path}.connector"), &mut of_connector, findings);
        let dialer =
            lower_dialer(&dialer, &format!("{path}.dialer"), &node.addr, &mut of_dialer, findings);
        let (Some(addr), Some(connector), Some(dialer)) = (addr, connector, dialer) else {
            return None;
        };
        settle(&[of_dialer, of_connector, of_node, of_hop], findings);
        let name = if node.name.is_empty() { "node-0".into() } else { node.name.clone() };
        let addr_text = node.addr.clone();
        (findings.errors.len() == errors).then_some(NodeConfig {
            name,
            addr,
            addr_text,
            dialer,
            connector,
        })
    }

    fn connector(
        &self,
        connector: &raw::Connector,
        path: &str,
        metadata: &mut Reader,
        findings: &mut Findings,
    ) -> Option<ConnectorConfig> {
        listener::kind(&types::CONNECTORS, &connector.kind, "http", path, findings)?;
        metadata.lacks(keys::NONE);
        let timeout = metadata.duration(&["timeout"], findings);
        let header = metadata.headers(&["header"], CONNECT_HEADERS, findings);
        let auth = match &connector.auth {
            None => None,
            Some(auth) => {
                let path = format!("{path}.auth");
                Some(auth::credentials(auth, &path, self.context, findings)?)
            }
        };
        Some(ConnectorConfig::Http(HttpConnectorConfig { auth, header, timeout }))
    }
}

fn lower_dialer(
    dialer: &raw::Dialer,
    path: &str,
    addr: &str,
    metadata: &mut Reader,
    findings: &mut Findings,
) -> Option<DialerConfig> {
    match listener::kind(&types::DIALERS, &dialer.kind, "tcp", path, findings)? {
        "tcp" => {
            let names = listener::Keepalive {
                on: "keepalive",
                idle: "keepalive.idle",
                interval: "keepalive.interval",
                count: "keepalive.count",
            };
            Some(DialerConfig::Tcp { keepalive: names.read(metadata, findings) })
        }
        _ => ws_dialer(addr, path, metadata, findings).map(DialerConfig::Ws),
    }
}

fn ws_dialer(
    addr: &str,
    path: &str,
    metadata: &mut Reader,
    findings: &mut Findings,
) -> Option<WsDialerConfig> {
    metadata.lacks(keys::WS_DIALER);
    let host = metadata.text(&["ws.host", "host"], findings);
    let ws_path = metadata.text(&["ws.path", "path"], findings);
    let header = metadata.headers(&["ws.header", "header"], WS_REQUEST_HEADERS, findings);
    let handshake_timeout =
        metadata.duration(&["ws.handshakeTimeout", "handshakeTimeout"], findings);
    let ping = metadata.bool(&["ws.keepalive", "keepalive"], findings);
    let ttl_names = ["ttl", "keepalive.interval"];
    let ttl = metadata.duration(&ttl_names, findings);
    if let (false, Some(path)) = (ping, metadata.path_of(&ttl_names)) {
        listener::idle_option(&path, "keepalive", findings);
    }
    let keepalive = tcp_keepalive(metadata, findings);
    let path = format!("{path}.metadata");
    let host = host.unwrap_or_else(|| addr.into());
    let authority = header.get("Host").unwrap_or(&host);
    if authority.chars().any(|c| c.is_whitespace() || c.is_control() || "/?#@\\".contains(c)) {
        findings.invalid(&format!("{path}.host"), "not a host, or host and port");
        return None;
    }
    let ws_path = ws_path.unwrap_or_else(|| defaults::WS_PATH.into());
    if !ws_path.starts_with('/') {
        findings.invalid(&format!("{path}.path"), "a path begins with /");
        return None;
    }
    if ws_path.contains('?') {
        let message = "the ? is part of the path and sent as %3F; a query cannot be sent";
        findings.warn(&format!("{path}.path"), crate::base::Reason::Accepted, message);
    }
    Some(WsDialerConfig {
        host,
        path: escaped(&ws_path),
        header,
        handshake_timeout,
        ping_interval: ping.then(|| ttl.unwrap_or(defaults::PING_TTL)),
        keepalive,
    })
}

fn tcp_keepalive(metadata: &mut Reader, findings: &mut Findings) -> Option<TcpKeepalive> {
    let names = listener::Keepalive {
        on: "tcp.keepalive",
        idle: "tcp.keepalive.idle",
        interval: "tcp.keepalive.interval",
        count: "tcp.keepalive.count",
    };
    names.read(metadata, findings)
}

/// A path as Go writes it into a request line (`URL.EscapedPath`).
fn escaped(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&b);
    path.bytes().fold(String::new(), |mut out, b| {
        if plain(b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_as_go_escapes_them() {
        assert_eq!(escaped("/a b/ä?x={y}%2F"), "/a%20b/%C3%A4%3Fx=%7By%7D%252F");
        assert_eq!(escaped("/ws/v1:a@b,c;d"), "/ws/v1:a@b,c;d");
    }
}
