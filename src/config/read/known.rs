//! Keys that GOST has and this version does not, and keys whose misspelling would open a door.

/// Keys of GOST's structs that are refused by name. The structs are those of
/// [`raw`](crate::config::raw).
const LACKING: &[(&str, &[&str])] = &[
    (
        "Config",
        &[
            "quotas",
            "observers",
            "recorders",
            "loggers",
            "ingresses",
            "routers",
            "sds",
            "rewriters",
            "caches",
        ],
    ),
    (
        "Service",
        &[
            "quotas",
            "logger",
            "loggers",
            "observer",
            "recorders",
            "rewriter",
            "cache",
            "interface",
            "sockopts",
        ],
    ),
    ("Handler", &["chainGroup", "tls", "limiter", "observer"]),
    ("Listener", &["chainGroup", "auther", "authers", "auth"]),
    ("Forwarder", &["name", "hopGroup"]),
    (
        "ForwardNode",
        &[
            "network", "matcher", "filter", "protocol", "host", "path", "http", "tls", "auth",
            "probe",
        ],
    ),
    ("Selector", &["maxLatency"]),
    ("Chain", &["metadata", "selector"]),
    ("Hop", &["reload", "file", "redis", "http", "plugin", "interface", "sockopts"]),
    (
        "Node",
        &["network", "matcher", "filter", "http", "tls", "probe", "interface", "netns", "sockopts"],
    ),
    ("Connector", &["tls"]),
    ("Dialer", &["auth"]),
    ("Auther", &["redis", "http", "plugin"]),
    ("Admission", &["redis", "http", "plugin"]),
    ("Bypass", &["redis", "http", "plugin"]),
    ("Hosts", &["redis", "http", "plugin"]),
    ("Limiter", &["redis", "http", "plugin"]),
    ("Resolver", &["plugin"]),
    ("Nameserver", &["chain", "clientIP", "hostname"]),
];

/// What to do about some of them, instead of removing them.
const INSTEAD: &[(&str, &str, &str)] = &[
    ("Handler", "tls", "socks5's TLS methods are never chosen; write tls at the listener"),
    ("Connector", "tls", "socks5's TLS methods are never offered; write tls at the dialer"),
    ("Handler", "limiter", "write it at the service"),
    ("Listener", "auther", "write it at the handler"),
    ("Listener", "authers", "write them at the handler"),
    ("Listener", "auth", "write it at the handler"),
    ("Dialer", "auth", "write it at the connector"),
    ("Forwarder", "name", "write `hop` to refer to one"),
    ("ForwardNode", "network", "the listener's counts"),
];

/// Keys of GOST that say nothing about what is served: a warning is enough.
const HARMLESS: &[(&str, &[&str])] = &[
    ("Config", &["log", "api", "metrics", "profiling"]),
    ("Service", &["status"]),
    ("Nameserver", &["async"]),
    ("Log", &["rotation"]),
    ("Tls", &["validity", "commonName", "organization"]),
];

/// A key near one of these, or with one of [`TELLTALES`] in it, was meant to protect something, or to
/// say what listens and where traffic goes: without it a service would be open, or dial directly.
const PROTECTING: &[&str] = &[
    "services",
    "addr",
    "hostnames",
    "handler",
    "listener",
    "forwarder",
    "chain",
    "chains",
    "hops",
    "nodes",
    "connector",
    "dialer",
    "auth",
    "auther",
    "authers",
    "auths",
    "username",
    "password",
    "secretRef",
    "admission",
    "admissions",
    "bypass",
    "bypasses",
    "limiter",
    "limiters",
    "climiter",
    "climiters",
    "rlimiter",
    "rlimiters",
    "tls",
    "certFile",
    "keyFile",
    "caFile",
    "secure",
    "serverName",
    "clientCARef",
    "minVersion",
    "rejectUnknownSNI",
    "serverNames",
    "caRef",
    "maxVersion",
    "cipherSuites",
    "whitelist",
    "reverse",
    "matchers",
    "limits",
    "file",
];

const TELLTALES: &[&str] = &["auth", "passw", "secret", "tls", "whitelist", "addr", "adres"];

/// What GOST does with a key that [`raw`](crate::config::raw) does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InGost {
    /// It means something: to leave it out would change what is served.
    Lacking,
    /// It means something that cannot be missed.
    Harmless,
}

/// What GOST knows at a struct, and what that is to us.
pub(super) fn in_gost(of: &str) -> impl Iterator<Item = (&'static str, InGost)> + use<> {
    let keys = |table: &'static [(&str, &[&'static str])], of: &str| {
        // The tunnel part of a WsTunnel's spec has the keys of a file's root.
        let of = if of == "TunnelSpec" { "Config" } else { of };
        table.iter().find(|(name, _)| *name == of).map_or(&[][..], |(_, keys)| *keys).iter()
    };
    let lacking = keys(LACKING, of).map(|key| (*key, InGost::Lacking));
    lacking.chain(keys(HARMLESS, of).map(|key| (*key, InGost::Harmless)))
}

/// What to do about a key that is lacking.
pub(super) fn instead(of: &str, key: &str) -> &'static str {
    let found = INSTEAD.iter().find(|(name, k, _)| *name == of && *k == key);
    found.map_or("remove it", |(_, _, instead)| instead)
}

/// Whether a service without the key would be open, or go another way.
pub(super) fn is_protecting(key: &str) -> bool {
    PROTECTING.contains(&key)
}

/// Whether an unknown key, however far from any other, says that it was meant to protect something.
pub(crate) fn is_telling(key: &str) -> bool {
    let lower = key.to_lowercase();
    TELLTALES.iter().any(|t| lower.contains(t))
}
