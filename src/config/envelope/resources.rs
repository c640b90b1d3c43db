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
        "handshakes on the front ports, from accept to the end of the headers 10 s",
        Limit::Said(
            "1024 (`--front-handshakes`); the eldest of the source with most of them gives way",
        ),
        "engine::socket",
        "adit_bound_reached_total{bound=\"front_handshakes\"}",
        "what_is_slow_on_a_tunnel_s_own_port_takes_no_handshake_of_the_front",
    ),
    row(
        "handshakes on a port of a tunnel's own",
        Limit::Said("128"),
        "engine::socket",
        "adit_bound_reached_total{bound=\"port_handshakes\"}",
        "what_is_slow_on_a_tunnel_s_own_port_takes_no_handshake_of_the_front",
    ),
    row(
        "handshakes of one source address",
        Limit::Said("64 (`--front-handshakes-per-source`)"),
        "transport::ws_server::limits",
        "adit_bound_reached_total{bound=\"source_handshakes\"}",
        "one_source_cannot_take_every_place",
    ),
    row(
        "streams of a session without a finished request",
        Limit::Said("256; more of them wait in the session"),
        "engine::service",
        "adit_bound_reached_total{bound=\"session_streams\"}",
        "streams_of_a_session_have_a_place_until_their_request_is_finished",
    ),
    row(
        "streams of a namespace without a finished request",
        Limit::Said("4096; the eldest of the source with most of them gives way"),
        "gate::sources",
        "adit_bound_reached_total{bound=\"namespace_streams\"}",
        "a_flood_without_credentials_displaces_itself_and_nobody_else",
    ),
    row(
        "bytes that wait in queues",
        Limit::Said(
            "half of the memory limit, else 512 MiB (`--memory-budget`); a namespace at most half of \
             what the others leave",
        ),
        "io::memory",
        "adit_bound_reached_total{bound=\"queued_bytes\"}",
        "the_largest_session_of_a_namespace_beyond_its_part_is_shed_and_no_other",
    ),
    row(
        "connections to the admin port",
        Limit::Said("64; a new one closes the oldest of the client with most of them"),
        "admin",
        "adit_bound_reached_total{bound=\"admin_connections\"}",
        "a_probe_is_answered_whatever_other_clients_do",
    ),
    row(
        "log lines of a tunnel; of all clients together whose tunnel is not known",
        Limit::Said("100 a second, then a count"),
        "telemetry",
        "adit_bound_reached_total{bound=\"log_lines\"}",
        "lines_of_a_tunnel_beyond_its_budget_are_counted_and_those_of_others_are_written",
    ),
    row(
        "log lines that wait for the reader of standard error",
        Limit::Said("4 MiB, then they are dropped and counted"),
        "telemetry",
        "adit_bound_reached_total{bound=\"log_queue\"}",
        "lines_that_nobody_reads_are_dropped_and_counted_and_nobody_waits",
    ),
    row(
        "dials and retries of one request",
        Limit::Said("32 dials, 10 retries"),
        "route::request",
        "adit_bound_reached_total{bound=\"dials\"}",
        "retries_and_dials_of_a_tunnel_s_request_are_bounded_and_those_of_files_are_not",
    ),
    row(
        "work to match a name with bypasses",
        Limit::Said("linear in the text of the patterns, once for each bypass and target"),
        "config::model::patterns",
        "none",
        "an_answer_costs_the_same_whatever_the_globs_are",
    ),
    row(
        "wrong passwords of a source",
        Limit::Said("10 in a minute, then each waits 1 s and more, at most 30 s"),
        "gate::passwords",
        "adit_bound_reached_total{bound=\"passwords\"}",
        "guesses_slow_down_and_the_right_password_is_served_at_once",
    ),
    row(
        "sources of wrong passwords that a service remembers",
        Limit::Said("4096, the oldest goes"),
        "gate::passwords",
        "none",
        "many_sources_cost_no_more_memory_than_some",
    ),
    row(
        "a replica's report",
        Limit::Said("512 KiB: ports and generations first, then reasons, by namespace in turn"),
        "control::report::room",
        "adit_bound_reached_total{bound=\"report_bytes\"}",
        "a_report_without_room_for_all_is_written_and_counted",
    ),
    row(
        "the status of an object",
        Limit::Said("messages of 1024 bytes, shorter where there are more than 8 services"),
        "control::status::bounded",
        "adit_status_patches_total",
        "a_status_that_the_api_server_does_not_take_is_cut_down_once",
    ),
    row(
        "comparisons to plan a service",
        Limit::Said("by its hosts and path, however many other services there are"),
        "engine::claims",
        "adit_plan_seconds",
        "a_plan_of_thousands_of_services_compares_few_with_few",
    ),
    row(
        "series of a tunnel's nodes",
        Limit::Said("512 nodes as they are configured now; the others share one"),
        "metrics",
        "adit_bound_reached_total{bound=\"series\"}",
        "the_nodes_of_a_tunnel_have_a_bounded_number_of_series",
    ),
    row(
        "reads of Secrets, writes of statuses and of children",
        Limit::Said("8 of each at a time; a namespace has fewer than are free, in turn"),
        "control::queue",
        "none",
        "a_namespace_alone_has_half_of_the_places_and_newcomers_half_of_the_rest",
    ),
];
