//! What is exported, in one table: the help texts and the README come from it.

/// One metric.
pub struct MetricDoc {
    /// Its name.
    pub name: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it counts, with its unit.
    pub help: &'static str,
}

const fn doc(name: &'static str, labels: &'static [&'static str], help: &'static str) -> MetricDoc {
    MetricDoc { name, labels, help }
}

const SERVICE: &[&str] = &["namespace", "tunnel", "service"];

/// Every metric but those of the process itself (`process_`), whose names are Prometheus's own.
pub const TABLE: &[MetricDoc] = &[
    doc("adit_build_info", &["version"], "Always 1, with the version that runs."),
    doc("adit_tunnels", &["class", "ready"], "WsTunnel objects by condition Ready."),
    doc(
        "adit_tunnels_held_elsewhere",
        &[],
        "WsTunnel objects of a class of this installation that another installation holds.",
    ),
    doc("adit_listeners", &["state"], "Services by state: serving, refused, failed."),
    doc("adit_listener_bound", SERVICE, "1 while the service accepts connections."),
    doc(
        "adit_tls_cert_expiry_seconds",
        SERVICE,
        "When the certificate that the service shows ends, in seconds since 1970.",
    ),
    doc("adit_mux_sessions", SERVICE, "Multiplexed sessions (mws, mwss) of clients that are open."),
    doc(
        "adit_mux_resets_total",
        SERVICE,
        "Streams that were reset: unread data blocked their session for 30 s.",
    ),
    doc(
        "adit_connections_active",
        SERVICE,
        "Connections of clients that are open; a multiplexed session is one.",
    ),
    doc(
        "adit_streams_active",
        SERVICE,
        "Streams that a handler has in hand, those of sessions too.",
    ),
    doc(
        "adit_connections_total",
        &["namespace", "tunnel", "service", "result"],
        "Streams that ended, by how.",
    ),
    doc(
        "adit_bytes_total",
        &["namespace", "tunnel", "service", "direction"],
        "Payload bytes after the handler's exchange: up from clients, down to them.",
    ),
    doc(
        "adit_handshakes_total",
        &["result"],
        "Handshakes of clients (PROXY header, TLS, WebSocket) by result.",
    ),
    doc("adit_handshake_seconds", &[], "From a client's connection to the end of its handshake."),
    doc("adit_upstream_dial_seconds", SERVICE, "From a request for a target to a stream to it."),
    doc(
        "adit_upstream_dial_errors_total",
        &["namespace", "tunnel", "service", "reason"],
        "Failed dials to targets and nodes, by cause.",
    ),
    doc("adit_auth_failures_total", SERVICE, "Requests with missing or wrong credentials."),
    doc(
        "adit_egress_denied_total",
        &["namespace", "tunnel", "service", "reason"],
        "Targets that the egress guard refused.",
    ),
    doc(
        "adit_node_dials_total",
        &["namespace", "tunnel", "service", "node", "result"],
        "Uses of a chain's node (hop/node) or a forwarder's target: ok, or why it failed.",
    ),
    doc(
        "adit_refused_total",
        &["namespace", "tunnel", "service", "reason"],
        "What the service's own rules refused: admission, bypass.",
    ),
    doc(
        "adit_limiter_rejections_total",
        &["namespace", "tunnel", "service", "kind"],
        "What was beyond a limit of the service (connections, requests) or of its class (tunnel_connections, namespace_connections).",
    ),
    doc(
        "adit_datagrams_dropped_total",
        &["namespace", "tunnel", "service", "reason"],
        "Datagrams that went nowhere: no room (queue, backlog, sources), or of an association: \
         malformed, stranger, name, denied, unsent.",
    ),
    doc("adit_draining", &[], "1 while the process is on its way out."),
    doc(
        "adit_drain_connections",
        &[],
        "Connections that are still open of services that stopped accepting.",
    ),
    doc("adit_plan_steps_total", &["kind"], "Steps that the engine took to reach the desired set."),
    doc("adit_plan_seconds", &[], "Time to plan and apply a desired set."),
    doc(
        "adit_config_reload_failures_total",
        &[],
        "Changes of configuration files that were refused.",
    ),
    doc(
        "adit_config_last_reload_successful",
        &[],
        "0 while the newest configuration files are refused and those before them run.",
    ),
    doc(
        "adit_config_generation_observed",
        &["namespace", "tunnel"],
        "The metadata.generation of a WsTunnel that this replica acts on: after an invalid edit, the one before.",
    ),
    doc(
        "adit_reconcile_errors_total",
        &["reason"],
        "Objects and services that came to nothing, by the reason of their condition; counted when it begins.",
    ),
    doc("adit_kube_watch_events_total", &["kind", "verb"], "Events of watches."),
    doc("adit_kube_watch_errors_total", &["kind", "error"], "Failures of watches."),
    doc(
        "adit_kube_watch_stale_seconds",
        &["kind"],
        "Since the API server last answered the watch.",
    ),
    doc("adit_kube_denied_total", &["verb", "resource"], "API requests that RBAC refused."),
    doc("adit_status_patches_total", &["result"], "Writes of a WsTunnel's status."),
    doc("adit_status_patch_seconds", &[], "Time for a write of a WsTunnel's status."),
    doc("adit_leader", &[], "1 while this replica leads: it writes statuses and Events."),
    doc(
        "adit_lease_transitions_total",
        &[],
        "Changes of the Lease's holder that this process saw.",
    ),
    doc("adit_report_writes_total", &["result"], "Writes of this replica's report."),
    doc(
        "adit_bound_reached_total",
        &["bound"],
        "What was refused, dropped or delayed because a bound of the process was reached, by bound.",
    ),
    doc("adit_panics_total", &[], "Bugs of adit that ended a task; the log has the place."),
    doc("adit_task_up", &["task"], "1 while a long task of the process runs."),
    doc("tokio_workers", &[], "Threads that run tasks."),
    doc("tokio_alive_tasks", &[], "Tasks that have not ended."),
    doc(
        "tokio_global_queue_depth",
        &[],
        "Tasks that wait for a thread in the queue of all threads.",
    ),
];
