//! WebSocket carriers: the upgrade on both sides, and streams over it.
//!
//! Floor 4. The only room that knows axum, hyper's server and the upgrade.

pub mod ws_client;
mod ws_io;
pub mod ws_server;

pub use ws_io::{Ping, WsIo};
