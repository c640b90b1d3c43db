//! `metadata` keys that GOST reads and this version does not.

/// What it means to leave such a key out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// It changes what is served: refused, unless its value turns it off.
    Matters,
    /// It is about observing, or changes nothing here: a warning.
    Harmless,
}

/// Keys of one weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(super) weight: Weight,
    pub(super) keys: &'static [&'static str],
}

impl Table {
    const fn matters(keys: &'static [&'static str]) -> Self {
        Self { weight: Weight::Matters, keys }
    }

    const fn harmless(keys: &'static [&'static str]) -> Self {
        Self { weight: Weight::Harmless, keys }
    }
}

/// `services[].metadata`.
pub(crate) const SERVICE: &[Table] = &[
    Table::matters(&[
        "proxyProtocol",
        "interface",
        "so_mark",
        "netns",
        "netns.out",
        "dialTimeout",
        "ignoreChain",
        "preUp",
        "postUp",
        "preDown",
        "postDown",
    ]),
    OBSERVING,
    Table::harmless(&["enableStats", "limiter.scope", "labels"]),
];

/// Listener `tcp`.
pub(crate) const TCP_LISTENER: &[Table] = &[Table::matters(&["mptcp", "reuseport"])];

/// Listener `ws`. Buffer sizes are refused and not ignored: someone measured to set them.
pub(crate) const WS_LISTENER: &[Table] = &[Table::matters(&["mptcp"]), WS_TUNING];

/// Dialer `ws`. GOST reads `readHeaderTimeout` there and does not use it.
pub(crate) const WS_DIALER: &[Table] =
    &[WS_TUNING, Table::harmless(&["ws.readHeaderTimeout", "readHeaderTimeout"])];

const WS_TUNING: Table = Table::matters(&[
    "ws.enableCompression",
    "enableCompression",
    "ws.readBufferSize",
    "readBufferSize",
    "ws.writeBufferSize",
    "writeBufferSize",
]);

/// Handler `http`.
pub(crate) const HTTP_HANDLER: &[Table] = &[
    Table::matters(&[
        "http.compression",
        "compression",
        "probeResist",
        "probe_resist",
        "knock",
        "udp",
        "udp.bufferSize",
        "udpBufferSize",
        "hash",
        "skipauth",
    ]),
    SNIFFING,
    OBSERVING,
];

/// Handler `auto` passes its map to socks5 too.
pub(crate) const AUTO_HANDLER: &[Table] = &[
    Table::matters(&[
        "http.compression",
        "compression",
        "probeResist",
        "probe_resist",
        "knock",
        "udp",
        "udp.bufferSize",
        "udpBufferSize",
        "hash",
        "skipauth",
        "bind",
        "notls",
        "comp",
        "tor",
        "enableTor",
        "socks5.tor",
        "udp.resolveDomain",
        "udp.bindRange.min",
        "udp.bindRange.max",
        "udp.minPort",
        "udp.maxPort",
        "socks.publicAddr",
        "publicAddr",
    ]),
    SNIFFING,
    OBSERVING,
];

/// Handlers `tcp` and `forward`. The last ones have no use without `sniffing`.
pub(crate) const FORWARD_HANDLER: &[Table] = &[
    Table::matters(&["proxyProtocol", "hash", "skipauth"]),
    SNIFFING,
    OBSERVING,
    Table::harmless(&[
        "readTimeout",
        "http.keepalive",
        "stateless",
        "bufferSize",
        "readBufferSize",
        "udp.bufferSize",
    ]),
];

const SNIFFING: Table = Table::matters(&[
    "sniffing",
    "sniffing.timeout",
    "sniffing.websocket",
    "sniffing.websocket.sampleRate",
    "mitm.certFile",
    "mitm.caCertFile",
    "mitm.keyFile",
    "mitm.caKeyFile",
    "mitm.alpn",
    "mitm.bypass",
]);

const OBSERVING: Table = Table::harmless(&[
    "observePeriod",
    "observer.period",
    "observer.observePeriod",
    "observer.resetTraffic",
    "limiter.refreshInterval",
    "limiter.cleanupInterval",
]);

/// `hops[].metadata` and `nodes[].metadata`. With one node a hop, selection changes nothing.
pub(crate) const NODE: &[Table] = &[
    Table::matters(&["interface", "so_mark", "proxyProtocol", "netns"]),
    Table::harmless(&["weight", "backup", "maxFails", "failTimeout"]),
];

/// Connector `http` and dialer `tcp` have none.
pub(crate) const NONE: &[Table] = &[];
