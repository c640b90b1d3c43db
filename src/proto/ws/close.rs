//! Close frames (RFC 6455 sections 5.5.1 and 7.4).

use super::{Opcode, WsError, control_frame};

/// The peer broke the protocol.
pub const CLOSE_PROTOCOL_ERROR: u16 = 1002;
/// The service restarts; the client may come again (IANA registry of close codes).
pub const CLOSE_SERVICE_RESTART: u16 = 1012;

/// There is too much to do; the client may come again later (IANA registry of close codes).
pub const CLOSE_TRY_AGAIN_LATER: u16 = 1013;

/// A Close frame; without a code its payload is empty.
pub fn close_frame(code: Option<u16>, reason: &str, key: Option<[u8; 4]>) -> Vec<u8> {
    let payload = code.map(|code| [&code.to_be_bytes(), reason.as_bytes()].concat());
    control_frame(Opcode::Close, &payload.unwrap_or_default(), key)
}

/// The code of a received Close frame.
pub(super) fn parse(payload: &[u8]) -> Result<Option<u16>, WsError> {
    if payload.is_empty() {
        return Ok(None);
    }
    let (code, reason) = payload.split_first_chunk().ok_or(WsError::Close)?;
    let code = u16::from_be_bytes(*code);
    // 1004 to 1006 and 1015 are never on the wire; the rest below 3000 is not assigned.
    let legal = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !legal || std::str::from_utf8(reason).is_err() {
        return Err(WsError::Close);
    }
    Ok(Some(code))
}
