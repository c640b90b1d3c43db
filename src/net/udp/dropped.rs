//! What becomes of datagrams that go nowhere.

/// Why a datagram was dropped: the closed set of `adit_datagrams_dropped_total{reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// Too many wait: of its source, of all sources, or for the addresses of names.
    Queue,
    /// It is the first of its source, and `backlog` others wait.
    Backlog,
    /// Too many sources.
    Sources,
    /// Not a whole packet of SOCKS5, or one without payload or port.
    Malformed,
    /// It does not come from where it may: from the client of an association, or from an address to
    /// which the client has sent something.
    Stranger,
    /// The name of its destination does not resolve.
    Name,
    /// The egress guard forbids its destination; `adit_egress_denied_total` tells the rule.
    Denied,
    /// The system does not send it: no way leads there, or it is too long.
    Unsent,
}

impl Dropped {
    /// The label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Backlog => "backlog",
            Self::Sources => "sources",
            Self::Malformed => "malformed",
            Self::Stranger => "stranger",
            Self::Name => "name",
            Self::Denied => "denied",
            Self::Unsent => "unsent",
        }
    }
}
