//! WebSocket carriers: the upgrade on both sides, and streams over it.
