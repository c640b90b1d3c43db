//! Listeners.

use std::time::Duration;

use ipnet::IpNet;

use super::chain::Routes;
use super::gates::net;
use super::scope::Scope;
use super::{Mode, mux, tls};
use crate::base::{Reason, Target};
use crate::config::defaults;
use crate::config::envelope::{ClassBound, Limit};
use crate::config::error::Findings;
use crate::config::metadata::{Reader, keys};
use crate::config::model::{
    ChainConfig, HostPattern, ListenerConfig, Origins, RtcpListenerConfig, TcpKeepalive,
    TcpListenerConfig, UdpListenerConfig, WsListenerConfig, WsPath,
};
use crate::config::raw;
use crate::config::types::{Family, LISTENERS};

/// Headers that the 101 response itself writes.
const WS_RESPONSE_HEADERS: &[&str] = &[
    "Upgrade",
    "Connection",
    "Sec-Websocket-Accept",
    "Sec-Websocket-Extensions",
    "Content-Length",
    "Transfer-Encoding",
];

/// A `type` as one of ours, `default` if none is written.
pub(super) fn kind(
    family: &Family,
    written: &str,
    default: &'static str,
    path: &str,
    findings: &mut Findings,
) -> Option<&'static str> {
    let written = if written.is_empty() { default } else { written };
    let report = |(reason, message): (Reason, String)| {
        findings.error(&format!("{path}.type"), reason, message);
    };
    family.ours(written).map_err(report).ok()
}

/// What the service's own metadata says about its listener.
#[derive(Clone, Copy)]
pub(super) struct Outer {
    /// `proxyProtocol`.
    pub(super) proxy_protocol: bool,
}

/// `services[].listener` and `services[].hostnames`.
pub(super) fn lower(
    service: &raw::Service,
    path: &str,
    outer: Outer,
    metadata: &mut Reader,
    (scope, routes): (&Scope, &Routes),
    findings: &mut Findings,
) -> Option<ListenerConfig> {
    let listener = service.listener.clone().unwrap_or_default();
    let at = format!("{path}.listener");
    let kind = kind(&LISTENERS, &listener.kind, "tcp", &at, findings)?;
    let errors = findings.errors.len();
    let is_ws = matches!(kind, "ws" | "wss" | "mws" | "mwss");
    if !is_ws && !service.hostnames.is_empty() {
        let message =
            format!("a {kind} listener sees no Host header; hostnames need a ws listener");
        findings.invalid(&format!("{path}.hostnames"), message);
    }
    if kind != "rtcp" && !listener.chain.is_empty() {
        let message = "only listener rtcp listens through a chain; write handler.chain to dial";
        findings.invalid(&format!("{at}.chain"), message);
    }
    if matches!(kind, "udp" | "rtcp") && outer.proxy_protocol {
        let message = format!("listener {kind} reads no PROXY header; remove it");
        findings.invalid(&format!("{path}.metadata.proxyProtocol"), message);
    }
    let trusted = metadata.path_of(&["trustedProxies"]).is_some();
    if outer.proxy_protocol && !trusted && !matches!(kind, "udp" | "rtcp") {
        let message = "every client may name another address as its own; add trustedProxies to \
                       the listener's metadata";
        findings.warn(&format!("{path}.metadata.proxyProtocol"), Reason::Accepted, message);
    }
    let tls = tls::server(&listener, scope.tls.as_ref(), &at, scope.context, findings);
    let config = match kind {
        "udp" => ListenerConfig::Udp(udp(metadata, &format!("{at}.metadata"), findings)),
        "rtcp" => {
            if scope.context.mode == Mode::Controller {
                let message = "listener rtcp is not supported in a cluster: its ports would have \
                               to be declared; supported there: ws, wss, mws, mwss, tcp, tls, udp";
                findings.unsupported(&format!("{at}.type"), message);
                return None;
            }
            let chain_at = format!("{at}.chain");
            let chain = routes.chains.find_if(&listener.chain, &chain_at, findings);
            chain.iter().for_each(|chain| binds(chain, &chain_at, findings));
            let linger_timeout = linger(metadata, findings);
            ListenerConfig::Rtcp(RtcpListenerConfig {
                chain: chain.unwrap_or_default(),
                linger_timeout,
            })
        }
        "tcp" | "tls" => {
            metadata.lacks(keys::TCP_LISTENER);
            let trusted_proxies = trusted_proxies(metadata, findings);
            if let (false, Some(path)) =
                (outer.proxy_protocol, metadata.path_of(&["trustedProxies"]))
            {
                idle_option(&path, "proxyProtocol", findings);
            }
            ListenerConfig::Tcp(TcpListenerConfig {
                tls,
                keepalive: Keepalive::TCP.read(metadata, findings),
                linger_timeout: linger(metadata, findings),
                proxy_protocol: outer.proxy_protocol,
                trusted_proxies,
            })
        }
        _ => {
            let ws = ws(service, kind, path, metadata, scope, findings)?;
            ListenerConfig::Ws(WsListenerConfig { tls, proxy_protocol: outer.proxy_protocol, ..ws })
        }
    };
    (findings.errors.len() == errors).then_some(config)
}

/// Whether every node that may have to listen can be asked to.
fn binds(chain: &ChainConfig, path: &str, findings: &mut Findings) {
    let Some(hop) = chain.hops.last() else { return };
    for node in hop.nodes.iter().filter(|node| !node.connector.binds()) {
        let message = format!(
            "node {}/{} of its last hop is to listen, which connector {} cannot ask for; write relay \
             or socks5",
            hop.name,
            node.name,
            node.connector.kind()
        );
        findings.invalid(path, message);
    }
}

/// `ws`, `wss`, `mws` and `mwss`, but for TLS.
fn ws(
    service: &raw::Service,
    kind: &str,
    path: &str,
    metadata: &mut Reader,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<WsListenerConfig> {
    metadata.lacks(keys::WS_LISTENER);
    let metadata_path = format!("{path}.listener.metadata");
    let mux = matches!(kind, "mws" | "mwss").then(|| mux::read(metadata, &metadata_path, findings));
    let keepalive = Keepalive::TCP.read(metadata, findings);
    let linger_timeout = linger(metadata, findings);
    let ws_path = ws_path(metadata, path, findings);
    let backlog = metadata.count(&["ws.backlog", "backlog"], findings);
    let hostnames = hostnames(&service.hostnames, path, findings);
    // Zero turns pings off where they are on by default.
    let ping_names = ["pingInterval"];
    let ping_interval = match metadata.path_of(&ping_names) {
        Some(_) => metadata.duration(&ping_names, findings),
        None => {
            metadata.duration(&ping_names, findings);
            scope.context.default_ping
        }
    };
    Some(WsListenerConfig {
        mux,
        hostnames: hostnames?,
        path: ws_path?,
        header: metadata.headers(&["ws.header", "header"], WS_RESPONSE_HEADERS, findings),
        backlog: backlog.unwrap_or(defaults::BACKLOG),
        handshake_timeout: metadata
            .duration(&["ws.handshakeTimeout", "handshakeTimeout"], findings),
        read_header_timeout: metadata
            .duration(&["ws.readHeaderTimeout", "readHeaderTimeout"], findings),
        keepalive,
        ping_interval,
        linger_timeout,
        trusted_proxies: trusted_proxies(metadata, findings),
        origins: origins(metadata, findings),
        ..Default::default()
    })
}

fn udp(metadata: &mut Reader, path: &str, findings: &mut Findings) -> UdpListenerConfig {
    metadata.lacks(keys::UDP_LISTENER);
    let default = UdpListenerConfig::default();
    let count = |metadata: &mut Reader, names: &[&'static str], findings: &mut Findings| {
        metadata.count(names, findings)
    };
    let keepalive = metadata.bool(&["keepalive"], findings);
    let ttl = metadata.duration(&["ttl", "keepalive.ttl"], findings);
    let size = count(metadata, &["readBufferSize", "udp.bufferSize"], findings);
    let size = size.unwrap_or(default.read_buffer_size).min(LONGEST_DATAGRAM);
    let queue_names = ["readQueueSize", "recvQueueSize"];
    let queue = count(metadata, &queue_names, findings).unwrap_or(default.read_queue_size);
    if let Some(limits) = metadata.limits() {
        let waiting = u64::from(size) * u64::from(queue);
        let bound = Limit::Bytes(ClassBound::ReceiveBuffer);
        if let Err(message) = bound.holds_number(waiting, limits) {
            let at = metadata.path_of(&queue_names).unwrap_or_else(|| path.into());
            let message = format!("readQueueSize x readBufferSize: {message}");
            findings.invalid(&at, message);
        }
    }
    UdpListenerConfig {
        backlog: count(metadata, &["backlog"], findings).unwrap_or(default.backlog),
        read_buffer_size: size,
        read_queue_size: queue,
        keepalive,
        ttl: ttl.unwrap_or(default.ttl),
    }
}

/// What UDP itself has room for.
const LONGEST_DATAGRAM: u32 = 65_535;

/// `udp.bufferSize` of handlers and connectors.
pub(super) fn udp_buffer_size(metadata: &mut Reader, findings: &mut Findings) -> u32 {
    let size = metadata.count(&["udp.bufferSize", "udpBufferSize"], findings);
    size.unwrap_or(defaults::UDP_BUFFER_SIZE).min(LONGEST_DATAGRAM)
}

fn linger(metadata: &mut Reader, findings: &mut Findings) -> Duration {
    metadata.duration(&["lingerTimeout"], findings).unwrap_or(defaults::LINGER_TIMEOUT)
}

/// `trustedProxies`: addresses and CIDRs.
fn trusted_proxies(metadata: &mut Reader, findings: &mut Findings) -> Vec<IpNet> {
    let names = ["trustedProxies"];
    let path = metadata.path_of(&names).unwrap_or_default();
    let mut nets = Vec::new();
    for text in metadata.list(&names, findings) {
        match net(&text) {
            Some(net) => nets.push(net),
            None => findings.invalid(&path, format!("{text:?} is not an address or CIDR")),
        }
    }
    nets.sort();
    nets.dedup();
    nets
}

/// `origins`: `*`, or origins as browsers write them (RFC 6454 6.2).
fn origins(metadata: &mut Reader, findings: &mut Findings) -> Origins {
    let names = ["origins"];
    let path = metadata.path_of(&names).unwrap_or_default();
    let mut listed = Vec::new();
    let mut any = false;
    for text in metadata.list(&names, findings) {
        match text.as_str() {
            "*" => any = true,
            text if is_origin(text) => listed.push(text.to_ascii_lowercase()),
            _ => findings.invalid(
                &path,
                format!("{text:?} is not an origin; write https://host or https://host:port, or *"),
            ),
        }
    }
    listed.sort();
    listed.dedup();
    if any { Origins::Any } else { Origins::Listed(listed) }
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return text == "null" };
    let scheme = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    let host = Target::parse(host, Some(1)).is_ok_and(|target| target.host.is_some());
    scheme && host
}

/// The names under which TCP keepalive is written.
pub(super) struct Keepalive {
    pub(super) on: &'static str,
    pub(super) idle: &'static str,
    pub(super) interval: &'static str,
    pub(super) count: &'static str,
}

impl Keepalive {
    /// Where it is TCP's own.
    pub(super) const TCP: Self = Self {
        on: "keepalive",
        idle: "keepalive.idle",
        interval: "keepalive.interval",
        count: "keepalive.count",
    };

    pub(super) fn read(
        &self,
        metadata: &mut Reader,
        findings: &mut Findings,
    ) -> Option<TcpKeepalive> {
        let on = metadata.bool(&[self.on], findings);
        let keepalive = TcpKeepalive {
            idle: metadata.duration(&[self.idle], findings),
            interval: metadata.duration(&[self.interval], findings),
            count: metadata.count(&[self.count], findings),
        };
        if on {
            return Some(keepalive);
        }
        for name in [self.idle, self.interval, self.count] {
            if let Some(path) = metadata.path_of(&[name]) {
                idle_option(&path, self.on, findings);
            }
        }
        None
    }
}

/// An option that another one would have to turn on.
pub(super) fn idle_option(path: &str, switch: &str, findings: &mut Findings) {
    findings.warn(path, Reason::Accepted, format!("has no effect without `{switch}: true`"));
}

/// A path that Go's ServeMux takes literally.
fn ws_path(metadata: &mut Reader, path: &str, findings: &mut Findings) -> Option<WsPath> {
    let names = ["ws.path", "path"];
    let at = metadata.path_of(&names).unwrap_or_else(|| format!("{path}.listener.metadata.path"));
    let text = metadata.text(&names, findings).unwrap_or_else(|| defaults::WS_PATH.into());
    let message = if !text.starts_with('/') {
        "a path begins with /"
    } else if text.contains(['{', '}', '?', '#']) {
        "a path cannot have { } ? or #"
    } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "a path cannot have spaces or control characters"
    } else if is_unclean(&text) {
        "a path cannot have empty, . or .. segments: no request would ever match it"
    } else {
        // One spelling: see the listener, which keeps an escaped slash.
        return Some(WsPath(text.replace("%2f", "%2F")));
    };
    findings.error(&at, Reason::PathNotAllowed, message);
    None
}

fn is_unclean(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let last = segments.len().saturating_sub(1);
    segments.iter().enumerate().any(|(i, s)| matches!(*s, "." | "..") || (s.is_empty() && i < last))
}

/// Host patterns in lower case and in order: the order in which they are written means nothing.
fn hostnames(written: &[String], path: &str, findings: &mut Findings) -> Option<Vec<HostPattern>> {
    let mut patterns = Vec::new();
    for (i, text) in written.iter().enumerate() {
        match host_pattern(text) {
            Some(pattern) => patterns.push(pattern),
            None => {
                let at = format!("{path}.hostnames[{i}]");
                let message = format!(
                    "{text:?} is not a host name; write a DNS name without port, or *.name for \
                     exactly one more label"
                );
                findings.invalid(&at, message);
            }
        }
    }
    let complete = patterns.len() == written.len();
    patterns.sort();
    patterns.dedup();
    complete.then_some(patterns)
}

fn host_pattern(text: &str) -> Option<HostPattern> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('.').unwrap_or(&lower);
    let (wildcard, name) = match lower.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, lower),
    };
    let label = |l: &str| {
        let bytes = l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        bytes && !l.is_empty() && l.len() <= 63 && !l.starts_with('-') && !l.ends_with('-')
    };
    let fits = lower.len() <= 253 && name.split('.').all(label);
    fits.then(|| match wildcard {
        true => HostPattern::Wildcard(name.into()),
        false => HostPattern::Exact(name.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_patterns_are_dns_names_with_at_most_one_leading_star() {
        assert_eq!(host_pattern("A.Example."), Some(HostPattern::Exact("a.example".into())));
        assert_eq!(host_pattern("*.x.io"), Some(HostPattern::Wildcard("x.io".into())));
        for text in ["", "*", "*.", "a.*.b", "**.x", "a:80", "a..b", "-a", "[::1]", "a b", "ä.de"]
        {
            assert_eq!(host_pattern(text), None, "{text}");
        }
    }

    #[test]
    fn only_clean_paths_can_match() {
        for path in ["//", "/a//b", "/./a", "/a/..", "//a"] {
            assert!(is_unclean(path), "{path}");
        }
        for path in ["/", "/a", "/a/", "/a/.b/"] {
            assert!(!is_unclean(path), "{path}");
        }
    }
}
