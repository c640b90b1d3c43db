//! Carriers: WebSockets on both sides, a stream over one, or many ([`mux`]); TCP and TLS as they arrive.
//!
//! Floor 4. The only room that knows axum, hyper's server and the upgrade.

mod arrival;
pub mod mux;
pub mod mux_pool;
pub mod tcp_server;
pub mod ws_client;
mod ws_io;
pub mod ws_server;

pub use arrival::{Arriving, Trust};
pub use ws_io::{Ping, WsIo};
