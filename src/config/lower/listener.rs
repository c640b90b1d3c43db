//! Listeners: `ws` and `tcp`.

use super::LowerContext;
use crate::base::Reason;
use crate::config::defaults;
use crate::config::error::Findings;
use crate::config::metadata::{Reader, keys};
use crate::config::model::{
    HostPattern, ListenerConfig, TcpKeepalive, TcpListenerConfig, WsListenerConfig, WsPath,
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

/// `services[].listener` and `services[].hostnames`.
pub(super) fn lower(
    service: &raw::Service,
    path: &str,
    metadata: &mut Reader,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<ListenerConfig> {
    let written = service.listener.as_ref().map(|l| l.kind.as_str()).unwrap_or_default();
    let kind = kind(&LISTENERS, written, "tcp", &format!("{path}.listener"), findings)?;
    let keepalive = Keepalive {
        on: "keepalive",
        idle: "keepalive.idle",
        interval: "keepalive.interval",
        count: "keepalive.count",
    };
    let keepalive = keepalive.read(metadata, findings);
    let linger_timeout = metadata.duration(&["lingerTimeout"], findings);
    let linger_timeout = linger_timeout.unwrap_or(defaults::LINGER_TIMEOUT);
    if kind == "tcp" {
        metadata.lacks(keys::TCP_LISTENER);
        if !service.hostnames.is_empty() {
            let message = "a tcp listener sees no Host header; hostnames need a ws listener";
            findings.invalid(&format!("{path}.hostnames"), message);
            return None;
        }
        return Some(ListenerConfig::Tcp(TcpListenerConfig { keepalive, linger_timeout }));
    }
    metadata.lacks(keys::WS_LISTENER);
    let ws_path = ws_path(metadata, path, findings);
    let backlog = metadata.count(&["ws.backlog", "backlog"], findings);
    let hostnames = hostnames(&service.hostnames, path, findings);
    // Zero turns pings off where they are on by default.
    let ping_names = ["pingInterval"];
    let ping_interval = match metadata.path_of(&ping_names) {
        Some(_) => metadata.duration(&ping_names, findings),
        None => {
            metadata.duration(&ping_names, findings);
            context.default_ping
        }
    };
    Some(ListenerConfig::Ws(WsListenerConfig {
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
    }))
}

/// The names under which TCP keepalive is written.
pub(super) struct Keepalive {
    pub(super) on: &'static str,
    pub(super) idle: &'static str,
    pub(super) interval: &'static str,
    pub(super) count: &'static str,
}

impl Keepalive {
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
        return Some(WsPath(text));
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
