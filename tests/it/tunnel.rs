//! Tunnels at the level of sockets: bytes on them, and peers that share nothing with the product
//! (tungstenite, rustls).

#![allow(clippy::disallowed_methods, reason = "sockets of the tests")]

pub mod arrival;
mod failover;
mod forwarding;
mod gates;
mod handshake;
mod hostile;
mod peer;
mod run;
mod sockets;
mod tls;
