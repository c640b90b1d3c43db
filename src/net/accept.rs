//! The accept loop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// The pause after an error that would come again at once: no file descriptors, no memory.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts until `stop` is cancelled; never fails. `on_connection` must return at once: it spawns.
pub async fn run(
    listener: TcpListener,
    stop: CancellationToken,
    on_connection: impl Fn(TcpStream, SocketAddr) + Send,
) {
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            connection = next(&listener) => connection,
        };
        on_connection(stream, peer);
    }
}

/// The next connection; never fails. Dropped before it is ready, it loses none.
pub async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                return (stream, canonical(peer));
            }
            Err(e) if of_the_connection(&e) => {
                tracing::debug!(error = %e, "a connection ended before it was accepted");
            }
            Err(e) => {
                tracing::error!(error = %e, "cannot accept connections; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// IPv4 clients of a dual-stack socket appear as IPv4.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// accept(2): errors that are already pending on the new connection come out of accept itself.
fn of_the_connection(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
