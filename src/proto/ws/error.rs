//! What a peer can do wrong.

/// A breach of RFC 6455. Each is answered with Close 1002, as gorilla/websocket (GOST) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WsError {
    /// A reserved bit without an extension (section 5.2).
    #[error("reserved bits are set")]
    ReservedBits,
    /// An opcode that does not exist (section 5.2).
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// A length of 2^63 or more (section 5.2).
    #[error("the most significant bit of the length is set")]
    Length,
    /// A control frame of more than 125 bytes, or in fragments (section 5.5).
    #[error("a control frame is fragmented or longer than 125 bytes")]
    Control,
    /// A client's frame without a mask, or a server's with one (section 5.1).
    #[error("the mask bit is wrong for the sender")]
    Mask,
    /// A continuation of nothing, or a message inside another one (section 5.4).
    #[error("frames of a message are out of order")]
    Fragment,
    /// A Close with half a code, a code that must not be sent, or a reason that is not UTF-8
    /// (sections 5.5.1 and 7.4).
    #[error("a malformed close frame")]
    Close,
}
