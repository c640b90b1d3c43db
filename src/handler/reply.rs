//! Answers of ours, in the bytes that GOST's http handler writes.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::model::HttpHandlerConfig;
use crate::io::AsyncIo;
use crate::proto::http1::field_line;

/// How long a refused client may take to read the answer and close.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A refusal. It has no body, and the connection ends after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not a request for a proxy.
    BadRequest,
    /// A request's head that is longer, or has more fields, than one may.
    TooLarge,
    /// No credentials, or wrong ones.
    Unauthorized,
    /// The service lets nobody go there.
    Forbidden,
    /// The target was not reached.
    Unavailable,
}

/// The answer to a CONNECT that worked. Custom fields are not in it.
pub(super) fn established(config: &HttpHandlerConfig) -> String {
    let agent = field_line("Proxy-Agent", &config.proxy_agent);
    format!("HTTP/1.1 200 Connection established\r\n{agent}\r\n")
}

/// The answer to a client whose datagrams are carried on its stream.
pub(super) fn carries_datagrams(config: &HttpHandlerConfig) -> String {
    let fields = config.header.iter().map(|(name, value)| field_line(name, value));
    format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", fields.collect::<String>())
}

/// The bytes of a refusal. `had_proxy_connection`: the request had `Proxy-Connection: keep-alive`.
pub(super) fn refusal(
    refusal: Refusal,
    config: &HttpHandlerConfig,
    had_proxy_connection: bool,
) -> String {
    let status = match refusal {
        Refusal::BadRequest => "400 Bad Request",
        Refusal::TooLarge => "431 Request Header Fields Too Large",
        Refusal::Unauthorized => "407 Proxy Authentication Required",
        Refusal::Forbidden => "403 Forbidden",
        Refusal::Unavailable => "503 Service Unavailable",
    };
    let mut fields = vec![];
    for (name, value) in &config.header {
        fields.push(field_line(name, value));
    }
    match refusal {
        Refusal::BadRequest | Refusal::TooLarge => {}
        Refusal::Unauthorized => {
            let realm = config.realm.replace(['"', '\\'], "");
            fields.push(field_line("Proxy-Authenticate", &format!("Basic realm=\"{realm}\"")));
            if had_proxy_connection {
                fields.push(field_line("Proxy-Connection", "close"));
            }
        }
        Refusal::Forbidden | Refusal::Unavailable => {
            fields.push(field_line("Proxy-Agent", &config.proxy_agent))
        }
    }
    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{}\r\n", fields.concat())
}

/// Writes an answer in one piece: GOST's connector drops what comes behind it in the same read.
pub(super) async fn write(io: &mut AsyncIo, answer: &[u8]) -> io::Result<()> {
    io.write_all(answer).await?;
    io.flush().await
}

/// Writes a refusal and ends the stream. What the client still sends is read away for a moment:
/// a socket that is dropped with unread bytes sends a reset, which would overtake the answer.
pub(super) async fn refuse(mut io: AsyncIo, answer: &[u8]) {
    let last_word = async {
        write(&mut io, answer).await?;
        io.shutdown().await?;
        let mut rest = [0; 1024];
        while io.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // The client's loss if it does not take the answer.
    let _ = tokio::time::timeout(LAST_WORD, last_word).await;
}
