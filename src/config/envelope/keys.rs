//! Keys of `metadata` maps.

use std::time::Duration;

use super::Map::{Connector, Dialer, Handler, Listener, Node, Service};
use super::{ClassBound, LEAST_INTERVAL, LONGEST_HANDSHAKE, Limit, Map, Row, What};

const fn row(maps: &'static [Map], names: &'static [&'static str], limit: Limit) -> Row {
    Row {
        what: What::Key(maps, names),
        limit,
        enforced: "config::metadata::Reader",
        shown: "Accepted=False, Invalid",
        test: "every_key_is_tried_below_at_and_above_its_bound",
    }
}

const INTERVAL: Limit = Limit::AtLeast(LEAST_INTERVAL);
const HANDSHAKE: Limit = Limit::AtMost(LONGEST_HANDSHAKE);
const TIMEOUT: Limit = Limit::AtMostOf(ClassBound::Timeout);
/// What Linux takes for TCP_KEEPIDLE and TCP_KEEPINTVL: tcp(7).
const TCP: Limit = Limit::Within(LEAST_INTERVAL, Duration::from_secs(32_767));
/// What UDP itself has room for.
const DATAGRAM: Limit = Limit::Number(0, 65_535);
/// Connections or datagrams that wait.
const WAITING: Limit = Limit::Number(0, 1024);
const WORD: Limit = Limit::Length(1024);
/// Handlers and connectors have mux keys for BIND.
const MUX: &[Map] = &[Listener, Dialer, Handler, Connector];
const ENDS: &[Map] = &[Listener, Dialer];

pub(super) const ROWS: &[Row] = &[
    row(&[Service], &["dialTimeout"], TIMEOUT),
    row(&[Service], &["proxyProtocol"], Limit::Choice),
    row(&[Handler], &["readTimeout"], TIMEOUT),
    row(&[Connector], &["timeout", "connectTimeout"], TIMEOUT),
    row(&[Listener], &["lingerTimeout"], TIMEOUT),
    row(&[Handler], &["idleTimeout"], Limit::Free("it ends the tunnel's own connections only")),
    row(ENDS, &["ws.handshakeTimeout", "handshakeTimeout"], HANDSHAKE),
    row(&[Listener], &["ws.readHeaderTimeout", "readHeaderTimeout"], HANDSHAKE),
    row(&[Listener], &["pingInterval"], INTERVAL),
    // Of listener udp: silence that ends a source's stream.
    row(
        &[Listener],
        &["ttl", "keepalive.ttl"],
        Limit::WithinOf(LEAST_INTERVAL, ClassBound::Timeout),
    ),
    // Of the ws dialers this is how often they ping; of the others, TCP's.
    row(&[Dialer], &["ttl"], TCP),
    row(ENDS, &["tcp.keepalive.idle", "tcp.keepalive.interval"], TCP),
    row(ENDS, &["keepalive.idle", "keepalive.interval"], TCP),
    row(ENDS, &["keepalive.count", "tcp.keepalive.count"], Limit::Number(0, 127)),
    row(MUX, &["mux.keepaliveInterval", "mux.keepaliveTimeout"], INTERVAL),
    row(MUX, &["mux.maxReceiveBuffer"], Limit::Bytes(ClassBound::ReceiveBuffer)),
    row(MUX, &["mux.maxStreamBuffer"], Limit::Bytes(ClassBound::StreamBuffer)),
    row(MUX, &["mux.maxFrameSize"], Limit::Number(0, 65_535)),
    row(MUX, &["mux.version", "mux.type", "mux.keepaliveDisabled"], Limit::Choice),
    row(&[Listener], &["ws.backlog", "backlog"], WAITING),
    row(&[Listener], &["readQueueSize", "recvQueueSize"], WAITING),
    row(&[Listener], &["readBufferSize", "udp.bufferSize"], DATAGRAM),
    row(&[Handler, Connector], &["udp.bufferSize", "udpBufferSize"], DATAGRAM),
    row(&[Listener], &["trustedProxies", "origins"], Limit::Items(256)),
    row(&[Listener, Dialer], &["ws.path", "path"], WORD),
    row(&[Dialer], &["ws.host", "host"], WORD),
    row(&[Listener, Dialer], &["ws.header"], Limit::Header),
    row(&[Handler], &["http.header"], Limit::Header),
    row(&[Listener, Dialer, Handler, Connector], &["header"], Limit::Header),
    row(&[Handler], &["authBasicRealm"], WORD),
    row(&[Handler], &["http.proxyAgent", "proxyAgent"], WORD),
    row(&[Node], &["weight", "maxFails"], Limit::Free("a count of an object's own nodes")),
    row(
        &[Node],
        &["failTimeout"],
        Limit::AnyDuration("how long an object's own nodes are left alone"),
    ),
    row(&[Node], &["backup"], Limit::Choice),
    row(&[Handler], &["hash", "bind", "udp", "notls", "nodelay"], Limit::Choice),
    row(&[Handler], &["keepalive", "http.keepalive"], Limit::Choice),
    row(&[Connector], &["relay", "disable4a", "notls", "nodelay"], Limit::Choice),
    row(ENDS, &["keepalive", "ws.keepalive", "tcp.keepalive"], Limit::Choice),
];
