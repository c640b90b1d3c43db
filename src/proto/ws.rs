//! WebSocket framing (RFC 6455 section 5) for byte streams.
