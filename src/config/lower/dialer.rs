//! Dialers: how bytes get to a node.

use super::scope::Scope;
use super::{listener, mux, tls};
use crate::base::{Reason, Target};
use crate::config::defaults;
use crate::config::error::Findings;
use crate::config::metadata::{Reader, keys};
use crate::config::model::{DialerConfig, TcpKeepalive, WsDialerConfig};
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

/// `nodes[].dialer` of a node at `addr`, which is as it was written.
pub(super) fn lower(
    dialer: &raw::Dialer,
    path: &str,
    (addr, target): (&str, Option<&Target>),
    metadata: &mut Reader,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<DialerConfig> {
    let kind = listener::kind(&types::DIALERS, &dialer.kind, "tcp", path, findings)?;
    let errors = findings.errors.len();
    let ws = match kind {
        "ws" | "wss" | "mws" | "mwss" => Some(ws_dialer(kind, addr, path, metadata, findings)?),
        _ => None,
    };
    let host = ws.as_ref().map(|ws| ws.header.get("Host").unwrap_or(&ws.host).as_str());
    let tls = tls::client(dialer, target, host, path, scope.context, findings);
    let config = match ws {
        Some(ws) => DialerConfig::Ws(WsDialerConfig { tls, ..ws }),
        None => {
            if kind == "tls" {
                metadata.lacks(keys::TLS_DIALER);
            }
            let keepalive = listener::Keepalive::TCP.read(metadata, findings);
            DialerConfig::Tcp { tls, keepalive }
        }
    };
    (findings.errors.len() == errors).then_some(config)
}

/// Everything but the TLS part.
fn ws_dialer(
    kind: &str,
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
    let mux = matches!(kind, "mws" | "mwss").then(|| mux::read(metadata, &path, findings));
    let host = host.unwrap_or_else(|| addr.into());
    let authority = header.get("Host").unwrap_or(&host);
    if authority.chars().any(|c| c.is_whitespace() || c.is_control() || "/?#@\\".contains(c)) {
        findings.invalid(&format!("{path}.host"), "not a host, or host and port");
        return None;
    }
    let mut ws_path = ws_path.unwrap_or_else(|| defaults::WS_PATH.into());
    if !ws_path.starts_with('/') {
        ws_path.insert(0, '/');
        let message = format!("a path begins with /: {ws_path:?} is asked for");
        findings.warn(&format!("{path}.path"), Reason::Accepted, message);
        return None;
    }
    if ws_path.contains('?') {
        let message = "the ? is part of the path and sent as %3F; a query cannot be sent";
        findings.warn(&format!("{path}.path"), Reason::Accepted, message);
    }
    Some(WsDialerConfig {
        tls: None,
        mux,
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
