//! Bounds of what tenants and strangers share: the label of `adit_bound_reached_total`.

use std::fmt;

/// A bound of the process. A closed set: one value, one resource that is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bound {
    /// Handshakes in flight on the front ports (`--front-handshakes`).
    FrontHandshakes,
    /// Handshakes in flight on one port of a tunnel.
    PortHandshakes,
    /// Handshakes in flight from one source address (`--front-handshakes-per-source`).
    SourceHandshakes,
    /// Streams of one session that have not said what they want.
    SessionStreams,
    /// The same of all sessions of a namespace.
    NamespaceStreams,
    /// Bytes that wait in queues (`--memory-budget`).
    QueuedBytes,
    /// Connections to the admin port.
    AdminConnections,
    /// Log lines of one tunnel.
    LogLines,
    /// Log lines that the writer of the process could not take.
    LogQueue,
    /// Dials for one request.
    Dials,
    /// Wrong passwords of one source.
    Passwords,
    /// Bytes of a replica's report.
    ReportBytes,
    /// Series of one tunnel.
    Series,
}

impl Bound {
    /// Every bound.
    pub const ALL: [Self; 13] = [
        Self::FrontHandshakes,
        Self::PortHandshakes,
        Self::SourceHandshakes,
        Self::SessionStreams,
        Self::NamespaceStreams,
        Self::QueuedBytes,
        Self::AdminConnections,
        Self::LogLines,
        Self::LogQueue,
        Self::Dials,
        Self::Passwords,
        Self::ReportBytes,
        Self::Series,
    ];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FrontHandshakes => "front_handshakes",
            Self::PortHandshakes => "port_handshakes",
            Self::SourceHandshakes => "source_handshakes",
            Self::SessionStreams => "session_streams",
            Self::NamespaceStreams => "namespace_streams",
            Self::QueuedBytes => "queued_bytes",
            Self::AdminConnections => "admin_connections",
            Self::LogLines => "log_lines",
            Self::LogQueue => "log_queue",
            Self::Dials => "dials",
            Self::Passwords => "passwords",
            Self::ReportBytes => "report_bytes",
            Self::Series => "series",
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
