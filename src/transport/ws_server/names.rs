//! The fields of a 101 in RFC 6455's own letters: `Sec-WebSocket-Accept` and those beside it.
//!
//! hyper writes `Sec-Websocket-Accept`. Names are compared without regard to case (RFC 9110 section
//! 5.1), but clients of small devices compare bytes; gost (gorilla/websocket) writes the RFC's letters.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// As hyper begins a line with such a field, and as the RFC does.
const HYPERS: &[u8] = b"\r\nSec-Websocket-";
const RFCS: &[u8] = b"\r\nSec-WebSocket-";
const SWITCHING: &[u8] = b"HTTP/1.1 101 ";

/// A connection until its upgrade. What is written at once stays together: a head is.
pub(super) struct RfcNames<S>(S);

impl<S> RfcNames<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(stream)
    }

    pub(super) fn into_inner(self) -> S {
        self.0
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RfcNames<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RfcNames<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match respelled(buf) {
            Some(head) => Pin::new(&mut self.0).poll_write(cx, &head),
            None => Pin::new(&mut self.0).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A head of 101 with the names as the RFC writes them, in as many bytes.
fn respelled(head: &[u8]) -> Option<Vec<u8>> {
    if !head.starts_with(SWITCHING) {
        return None;
    }
    let mut head = head.to_vec();
    let starts = |head: &[u8]| head.windows(HYPERS.len()).position(|window| window == HYPERS);
    while let Some(at) = starts(&head) {
        head.get_mut(at..at + RFCS.len())?.copy_from_slice(RFCS);
    }
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_101_and_nothing_else_are_respelled() {
        let head = |status: &str, of: &str| {
            let fields =
                format!("Sec-{of}-Accept: x=\r\nX-Sec-Websocket-Key: a\r\nSec-{of}-Protocol: chat");
            format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n").into_bytes()
        };
        let switching = "101 Switching Protocols";
        let ours = head(switching, "WebSocket");
        assert_eq!(respelled(&head(switching, "Websocket")), Some(ours));
        assert_eq!(respelled(&head("400 Bad Request", "Websocket")), None);
        assert_eq!(respelled(b""), None);
    }
}
