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
        "interface",
        "so_mark",
        "netns",
        "netns.out",
        "ignoreChain",
        "preUp",
        "postUp",
        "preDown",
        "postDown",
    ]),
    Table::matters(&["limiter.scope"]),
    OBSERVING,
    Table::harmless(&["enableStats", "labels"]),
];

/// Listeners `tcp` and `tls`.
pub(crate) const TCP_LISTENER: &[Table] = &[Table::matters(&["mptcp", "reuseport"])];

/// Listeners `ws`, `wss`, `mws` and `mwss`.
pub(crate) const WS_LISTENER: &[Table] = &[Table::matters(&["mptcp"]), COMPRESSION, WS_BUFFERS];

/// Listener `udp`.
pub(crate) const UDP_LISTENER: &[Table] = &[Table::matters(&["stateless", "mptcp", "reuseport"])];

/// Dialers `ws`, `wss`, `mws` and `mwss`. GOST reads `readHeaderTimeout` there and does not use it.
pub(crate) const WS_DIALER: &[Table] =
    &[COMPRESSION, WS_BUFFERS, Table::harmless(&["ws.readHeaderTimeout", "readHeaderTimeout"])];

/// Dialer `tls`: the service's `dialTimeout` bounds its handshake.
pub(crate) const TLS_DIALER: &[Table] = &[Table::harmless(&["handshakeTimeout"])];

const COMPRESSION: Table = Table::matters(&["ws.enableCompression", "enableCompression"]);

/// Sizes of GOST's buffers, and of the pieces in which its client sends. Neither changes what arrives,
/// and buffers here fit themselves to the traffic.
const WS_BUFFERS: Table = Table::harmless(&[
    "ws.readBufferSize",
    "readBufferSize",
    "ws.writeBufferSize",
    "writeBufferSize",
]);

/// The `mux.*` keys; this one is yamux's.
pub(crate) const MUX: &[Table] = &[Table::harmless(&["mux.maxStreamWindow"])];

/// Connector `socks5`.
pub(crate) const SOCKS5_CONNECTOR: &[Table] = &[Table::matters(&["udp.timeout"])];

/// Connector `direct`.
pub(crate) const DIRECT_CONNECTOR: &[Table] = &[Table::matters(&["action"])];

/// Handler `http`.
pub(crate) const HTTP_HANDLER: &[Table] = &[
    Table::matters(&[
        "http.compression",
        "compression",
        "probeResist",
        "probe_resist",
        "knock",
        "skipauth",
    ]),
    SNIFFING,
    OBSERVING,
];

/// Handler `socks4`.
pub(crate) const SOCKS4_HANDLER: &[Table] = &[Table::matters(&["skipauth"]), SNIFFING, OBSERVING];

/// Handler `socks5`.
pub(crate) const SOCKS5_HANDLER: &[Table] =
    &[Table::matters(&["skipauth"]), SOCKS5, SNIFFING, OBSERVING];

/// Handler `relay`. `nodelay` holds the response back for the first data in GOST; here it leaves at
/// once, which suits every client.
pub(crate) const RELAY_HANDLER: &[Table] = &[Table::matters(&["skipauth"]), SNIFFING, OBSERVING];

const SOCKS5: Table = Table::matters(&[
    "comp",
    "tor",
    "enableTor",
    "socks5.tor",
    "udp.resolveDomain",
    "udpResolveDomain",
    "udp.bindRange.min",
    "udp.bindRange.max",
    "udp.minPort",
    "udp.maxPort",
    "socks.publicAddr",
    "publicAddr",
]);

/// Handler `auto` passes its map to all of its protocols.
pub(crate) const AUTO_HANDLER: &[Table] = &[
    Table::matters(&[
        "http.compression",
        "compression",
        "probeResist",
        "probe_resist",
        "knock",
        "skipauth",
    ]),
    SOCKS5,
    SNIFFING,
    OBSERVING,
];

/// Handlers `tcp`, `udp`, `forward` and `rtcp`. The last ones have no use without `sniffing`.
pub(crate) const FORWARD_HANDLER: &[Table] = &[
    Table::matters(&["proxyProtocol", "hash", "skipauth", "stateless"]),
    SNIFFING,
    OBSERVING,
    Table::harmless(&[
        "readTimeout",
        "http.keepalive",
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

/// `hops[].metadata` and `nodes[].metadata`.
pub(crate) const NODE: &[Table] =
    &[Table::matters(&["interface", "so_mark", "proxyProtocol", "netns"])];

/// `hops[].metadata`: these are its nodes'.
pub(crate) const HOP: &[Table] =
    &[Table::harmless(&["weight", "backup", "maxFails", "failTimeout"])];
