//! How a tunnel ended.

/// Why a tunnel ended without a fault of ours. A closed set: it labels metrics and access lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Both sides finished sending.
    Finished,
    /// One side finished and the other made no progress for `lingerTimeout`.
    Lingered,
    /// Nothing moved for `idleTimeout`.
    Idle,
    /// The client's side broke off.
    ClientGone,
    /// The target's side broke off.
    TargetGone,
    /// The service was deleted or suspended, or the process is draining, and the time is up.
    Drained,
    /// Its peers took nothing of what it held, and others needed the memory (`--memory-budget`).
    Overload,
}

impl CloseReason {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Lingered => "lingered",
            Self::Idle => "idle",
            Self::ClientGone => "client_gone",
            Self::TargetGone => "target_gone",
            Self::Drained => "drained",
            Self::Overload => "overload",
        }
    }
}

/// A tunnel's end, with the payload bytes that it carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Why it ended.
    pub reason: CloseReason,
    /// Bytes from the client to the target.
    pub up: u64,
    /// Bytes from the target to the client.
    pub down: u64,
}
