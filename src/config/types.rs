//! Names of handlers, listeners, connectors and dialers: ours, and GOST's.

use super::names;
use crate::base::Reason;

/// One family of type names.
#[derive(Debug)]
pub(crate) struct Family {
    /// How messages call a member.
    pub(crate) noun: &'static str,
    /// What this version has.
    pub(crate) ours: &'static [&'static str],
    /// What GOST registers besides.
    pub(crate) theirs: &'static [&'static str],
}

pub(crate) const HANDLERS: Family = Family {
    noun: "handler",
    ours: &[
        "auto", "http", "socks4", "socks4a", "socks5", "socks", "relay", "forward", "tcp", "udp",
        "rtcp",
    ],
    theirs: &[
        "http2", "http3", "rudp", "ss", "ssu", "sni", "sshd", "file", "api", "metrics", "tunnel",
        "router", "masque", "dns", "red", "redir", "redirect", "redu", "tun", "tap", "unix",
        "runix", "serial",
    ],
};

pub(crate) const LISTENERS: Family = Family {
    noun: "listener",
    ours: &["ws", "wss", "mws", "mwss", "tcp", "tls", "udp", "rtcp"],
    theirs: &[
        "mtls", "mtcp", "rudp", "grpc", "h2", "h2c", "http2", "http3", "h3", "quic", "kcp", "ssh",
        "sshd", "dtls", "icmp", "icmp6", "ftcp", "pht", "phts", "ohttp", "otls", "obfs", "wt",
        "dns", "red", "redir", "redirect", "redu", "tun", "tap", "unix", "runix", "serial",
        "stdio",
    ],
};

pub(crate) const CONNECTORS: Family = Family {
    noun: "connector",
    ours: &[
        "http", "socks4", "socks4a", "socks5", "socks", "relay", "forward", "tcp", "direct",
        "virtual",
    ],
    theirs: &["http2", "ss", "ssu", "sni", "sshd", "tunnel", "router", "masque", "unix", "serial"],
};

pub(crate) const DIALERS: Family = Family {
    noun: "dialer",
    ours: &["ws", "wss", "mws", "mwss", "tcp", "tls", "direct", "virtual"],
    theirs: &[
        "mtls", "mtcp", "udp", "grpc", "h2", "h2c", "http2", "http3", "h3", "quic", "kcp", "ssh",
        "sshd", "dtls", "icmp", "icmp6", "ftcp", "pht", "phts", "ohttp", "otls", "obfs", "wt",
        "unix", "serial",
    ],
};

/// Whether bytes of this listener or dialer go in TLS.
pub(crate) fn is_tls(kind: &str) -> bool {
    matches!(kind, "tls" | "wss" | "mwss")
}

impl Family {
    /// Whether GOST, and so perhaps we, know the name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.ours.contains(&name) || self.theirs.contains(&name)
    }

    /// The name as one of ours, or why it is not.
    pub(crate) fn ours(&self, name: &str) -> Result<&'static str, (Reason, String)> {
        if let Some(ours) = self.ours.iter().find(|n| **n == name) {
            return Ok(ours);
        }
        let (noun, supported) = (self.noun, self.ours.join(", "));
        if self.theirs.contains(&name) {
            let message = format!(
                "{noun} type {name:?} is not supported in this version; supported: {supported}"
            );
            return Err((Reason::Unsupported, message));
        }
        let all = self.ours.iter().chain(self.theirs).copied();
        let offer = match names::nearest(name, all) {
            Some(n) if self.ours.contains(&n) => format!("; did you mean {n:?}?"),
            Some(n) => format!("; did you mean {n:?}? It is not supported in this version"),
            None => String::new(),
        };
        let message = format!("unknown {noun} type {name:?}{offer}; supported: {supported}");
        Err((Reason::Invalid, message))
    }
}
