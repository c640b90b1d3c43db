//! The WebSocket server as bytes on a socket, and with tungstenite as an independent peer.

#![allow(clippy::disallowed_methods, reason = "sockets of the tests")]

mod failover;
mod handshake;
mod peer;
