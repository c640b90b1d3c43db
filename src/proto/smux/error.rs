//! What can go wrong.

/// A breach of the protocol. It ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmuxError {
    /// Another version than ours, or none at all.
    #[error("a frame of smux version {0}; set mux.version to the same value on both ends")]
    Version(u8),
    /// A command that does not exist.
    #[error("unknown smux command {0}")]
    Command(u8),
    /// A payload where there is none, or a window update that is not 8 bytes or not of version 2.
    #[error("a malformed smux frame")]
    Length,
}

/// All ids of a session are used up: a new session is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has no stream ids left")]
pub struct GoAway;

/// The peer sent nothing for the whole keepalive timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer of the session is silent")]
pub struct DeadPeer;

/// Why a stream cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The session ended before the stream did.
    #[error("the session ended")]
    Session,
    /// The session ended, and the peer never said a word in it.
    #[error("the session ended unanswered; is mux.version the same on both ends?")]
    Unanswered,
    /// Its reader stood still while it kept the whole session from reading.
    #[error("reset: unread data blocked the session")]
    Stalled,
    /// The peer closed it.
    #[error("the peer closed the stream")]
    Closed,
    /// The peer says that it read more than was sent.
    #[error("the peer consumed more than was sent")]
    Consumed,
}
