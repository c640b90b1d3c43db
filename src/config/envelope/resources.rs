//! What a namespace, a tunnel and the process have.

use super::{ClassBound, Limit, Row, What};

const fn row(
    what: &'static str,
    limit: Limit,
    enforced: &'static str,
    shown: &'static str,
    test: &'static str,
) -> Row {
    Row { what: What::Resource(what), limit, enforced, shown, test }
}

const QUOTA: &str = "Accepted=False, QuotaExceeded";

pub(super) const ROWS: &[Row] = &[
    row(
        "tunnels of a namespace, over all classes",
        Limit::Class(ClassBound::Tunnels),
        "control::policy::quota",
        QUOTA,
        "a_namespace_in_two_classes_has_one_quota",
    ),
    row(
        "ports of a namespace, bound or allocated, over all classes",
        Limit::Class(ClassBound::Ports),
        "control::policy::quota",
        QUOTA,
        "each_count_of_a_namespace_is_tried_at_and_above_its_bound",
    ),
    row(
        "claims of host and path on the front ports, of a namespace, over all classes",
        Limit::Class(ClassBound::Claims),
        "control::policy::quota",
        QUOTA,
        "each_count_of_a_namespace_is_tried_at_and_above_its_bound",
    ),
    row(
        "connections of a tunnel, of a namespace",
        Limit::Said("10000* (`connectionsPerTunnel`), 20000* (`connectionsPerNamespace`)"),
        "gate::Tenant",
        "adit_limiter_rejections_total",
        "two_classes_count_on_one_namespace",
    ),
    row(
        "nodes of a tunnel after endpoints, once for each service that has them",
        Limit::Class(ClassBound::Nodes),
        "config::lower::nodes",
        QUOTA,
        "nodes_are_tried_at_and_above_their_bound",
    ),
    row(
        "endpoints of a reference",
        Limit::Said("64, fewer where the tunnel would have too many nodes; a stable choice"),
        "config::lower::nodes",
        "a warning in Accepted's message",
        "of_many_endpoints_a_stable_choice_is_taken",
    ),
    row(
        "bytes that a source of a udp listener may have waiting (readQueueSize x readBufferSize)",
        Limit::Bytes(ClassBound::ReceiveBuffer),
        "config::lower::listener",
        "Accepted=False, Invalid",
        "the_datagrams_of_a_source_that_wait_are_bounded_together",
    ),
    row(
        "client configurations of TLS",
        Limit::Said("one for all nodes of a namespace that say the same, built at the first dial"),
        "net::tls::TlsClients",
        "none",
        "equal_clients_are_built_once_and_at_first_use",
    ),
    row(
        "the system's root certificates",
        Limit::Said("read once by the process"),
        "net::tls",
        "none",
        "the_systems_roots_are_read_once",
    ),
    row(
        "handshakes on the front ports",
        Limit::Said("1024 (`--front-handshakes`)"),
        "net::accept",
        "adit_bound_reached_total{bound=\"front_handshakes\"}",
        "front_handshakes",
    ),
    row(
        "handshakes on a port of a tunnel's own",
        Limit::Said("128"),
        "net::accept",
        "adit_bound_reached_total{bound=\"port_handshakes\"}",
        "port_handshakes",
    ),
    row(
        "handshakes of one source address",
        Limit::Said("64 (`--front-handshakes-per-source`)"),
        "net::accept",
        "adit_bound_reached_total{bound=\"source_handshakes\"}",
        "source_handshakes",
    ),
    row(
        "streams of a session without a finished request",
        Limit::Said("256"),
        "transport::mux",
        "adit_bound_reached_total{bound=\"session_streams\"}",
        "session_streams",
    ),
    row(
        "streams of a namespace without a finished request",
        Limit::Said("4096"),
        "gate::Tenant",
        "adit_bound_reached_total{bound=\"namespace_streams\"}",
        "namespace_streams",
    ),
    row(
        "bytes that wait in queues",
        Limit::Said(
            "half of the memory limit, else 512 MiB (`--memory-budget`); a namespace at most half of \
             what is free",
        ),
        "io",
        "adit_bound_reached_total{bound=\"queued_bytes\"}",
        "queued_bytes",
    ),
    row(
        "connections to the admin port",
        Limit::Said("bounded, and probes always have a place"),
        "admin",
        "adit_bound_reached_total{bound=\"admin_connections\"}",
        "admin_connections",
    ),
    row(
        "log lines of a tunnel",
        Limit::Said("100 a second, then a count"),
        "telemetry",
        "adit_bound_reached_total{bound=\"log_lines\"}",
        "log_lines",
    ),
    row(
        "log lines that wait for the writer",
        Limit::Said("a queue that drops and counts"),
        "telemetry",
        "adit_bound_reached_total{bound=\"log_queue\"}",
        "log_queue",
    ),
    row(
        "dials for one request",
        Limit::Said("32"),
        "route",
        "adit_bound_reached_total{bound=\"dials\"}",
        "dials",
    ),
    row(
        "wrong passwords of a source",
        Limit::Said("after 10 in a minute a delay of 1 s, growing"),
        "handler::auth",
        "adit_bound_reached_total{bound=\"passwords\"}",
        "passwords",
    ),
    row(
        "a replica's report",
        Limit::Said("512 KiB, everybody's ports and generations first"),
        "control::report",
        "adit_bound_reached_total{bound=\"report_bytes\"}",
        "report_bytes",
    ),
    row(
        "series of a tunnel",
        Limit::Said("those of its nodes and services as they are now"),
        "metrics",
        "adit_bound_reached_total{bound=\"series\"}",
        "series",
    ),
    row(
        "reads of Secrets, writes of statuses and of children",
        Limit::Said("a queue for each namespace, in turn"),
        "control",
        "none",
        "reads_in_turn",
    ),
];

/// Rows whose `test` is not in the tree yet: that of the bound itself is to be named.
pub const PENDING: &[&str] = &[
    "front_handshakes",
    "port_handshakes",
    "source_handshakes",
    "session_streams",
    "namespace_streams",
    "queued_bytes",
    "admin_connections",
    "log_lines",
    "log_queue",
    "dials",
    "passwords",
    "report_bytes",
    "series",
    "reads_in_turn",
];
