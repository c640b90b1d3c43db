//! The client's side of a WebSocket handshake, with the bytes that GOST's dialer sends.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Ping, WsIo};
use crate::config::model::WsDialerConfig;
use crate::io::{AsyncIo, BoxIo, ReadError, read_wire};
use crate::proto::http1::{HeadError, Headers, ResponseHead, canonical_name, push_field};

/// The longest answer, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// A handshake that failed.
#[derive(Debug, thiserror::Error)]
pub enum WsConnectError {
    /// The request could not be sent.
    #[error("the connection broke in the WebSocket handshake")]
    Io(#[source] std::io::Error),
    /// Not within the time.
    #[error("no answer to the WebSocket handshake in time")]
    Timeout,
    /// No answer, or something that is not HTTP/1.
    #[error("no answer to the WebSocket handshake")]
    Answer(#[source] ReadError<HeadError>),
    /// The peer does not serve a WebSocket at this path.
    #[error("the peer answered the WebSocket handshake with status {0}; check path and host")]
    Status(u16),
    /// A 101 that does not fit the request.
    #[error("the peer's 101 has no valid {0}")]
    BadUpgrade(&'static str),
}

impl WsConnectError {
    /// The label of `adit_upstream_dial_errors_total{reason}`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            _ => "handshake",
        }
    }
}

/// Fields of the handshake itself, in Go's spelling; no configuration changes them.
const OURS: &[&str] = &[
    "Connection",
    "Sec-Websocket-Extensions",
    "Sec-Websocket-Key",
    "Sec-Websocket-Version",
    "Upgrade",
];

/// Shakes hands over `io`. What comes in the same segment as the 101 is kept.
///
/// # Errors
/// [`WsConnectError`]; in any case within `within`, or the dialer's `handshakeTimeout` if shorter.
pub async fn connect(
    io: BoxIo,
    config: &WsDialerConfig,
    within: Duration,
) -> Result<BoxIo, WsConnectError> {
    let within = config.handshake_timeout.map_or(within, |own| own.min(within));
    let shaken = tokio::time::timeout(within, shake_hands(AsyncIo::new(io), config));
    let io = shaken.await.map_err(|_| WsConnectError::Timeout)??;
    let ping = config.ping_interval.map(|interval| Ping { interval, required: true });
    Ok(Box::new(WsIo::client(io, ping)))
}

async fn shake_hands(mut io: AsyncIo, config: &WsDialerConfig) -> Result<BoxIo, WsConnectError> {
    let key = generate_key();
    // One write: GOST refuses a client that sends anything more before the 101.
    io.write_all(request(config, &key).as_bytes()).await.map_err(WsConnectError::Io)?;
    io.flush().await.map_err(WsConnectError::Io)?;
    let answer =
        read_wire::<ResponseHead>(&mut io, MAX_HEAD).await.map_err(WsConnectError::Answer)?;
    check(answer.value.status, &answer.value.headers, &key)?;
    Ok(io.into_io(answer.leftover()))
}

fn request(config: &WsDialerConfig, key: &str) -> String {
    let mut host = config.host.as_str();
    let mut agent = Some("Go-http-client/1.1");
    let mut own: BTreeMap<String, &str> = BTreeMap::new();
    for (name, value) in &config.header {
        match canonical_name(name) {
            name if name == "Host" => host = value,
            name if name == "User-Agent" => agent = Some(value.as_str()).filter(|v| !v.is_empty()),
            name => {
                own.insert(name, value);
            }
        }
    }
    own.retain(|name, _| !OURS.contains(&name.as_str()));
    let mut fields: Vec<(&str, &str)> = own.iter().map(|(name, value)| (&**name, *value)).collect();
    fields.extend([
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
        ("Upgrade", "websocket"),
    ]);
    fields.sort_unstable();
    let mut request = String::with_capacity(256);
    for text in ["GET ", config.path.as_str(), " HTTP/1.1\r\n"] {
        request.push_str(text);
    }
    push_field(&mut request, "Host", host);
    if let Some(agent) = agent {
        push_field(&mut request, "User-Agent", agent);
    }
    for (name, value) in fields {
        push_field(&mut request, name, value);
    }
    request.push_str("\r\n");
    request
}

fn check(status: u16, headers: &Headers, key: &str) -> Result<(), WsConnectError> {
    if status != 101 {
        return Err(WsConnectError::Status(status));
    }
    if !headers.has_token("upgrade", "websocket") {
        return Err(WsConnectError::BadUpgrade("Upgrade"));
    }
    if !headers.has_token("connection", "upgrade") {
        return Err(WsConnectError::BadUpgrade("Connection"));
    }
    if headers.get("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(WsConnectError::BadUpgrade("Sec-WebSocket-Accept"));
    }
    // We offer no extension, so none may be in force: its frames would not be readable.
    if headers.get("sec-websocket-extensions").is_some() {
        return Err(WsConnectError::BadUpgrade("Sec-WebSocket-Extensions"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
