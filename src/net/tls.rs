//! TLS on a stream: rustls with aws-lc-rs, and GOST's rules about who is verified.
//!
//! [`TlsClient`] (by way of [`TlsClients`]) and [`TlsServer`] are built once from a validated configuration and shake hands
//! many times; sessions are resumed by the tickets of the one value that gave them. Neither has a
//! time limit of its own.

mod client;
mod clients;
mod error;
mod pem;
mod provider;
mod server;
mod stream;
mod verify;

pub use client::TlsClient;
pub use clients::{TlsClients, nameless};
pub use error::TlsError;
pub use server::{ServerStream, TlsServer, accept};

#[cfg(test)]
pub(crate) mod tests;
