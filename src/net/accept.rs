//! The accept loop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// The pause after an error that would come again at once: no file descriptors, no memory.
const PAUSE: Duration = Duration::from_millis(200);

/// The most connections that are taken after the stop.
const LAST: usize = 1024;

/// Accepts until `stop` is cancelled, and then who is in the backlog: the kernel has told them that
/// they are connected. Never fails. `on_connection` must return at once: it spawns.
pub async fn run(
    listener: TcpListener,
    stop: CancellationToken,
    on_connection: impl Fn(TcpStream, SocketAddr) + Send,
) {
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            connection = next(&listener) => connection,
        };
        on_connection(stream, peer);
    }
    // Of the system itself: tokio only asks it once it has heard of a connection.
    let Ok(listener) = listener.into_std() else { return };
    for _ in 0..LAST {
        match listener.accept() {
            Ok((stream, peer)) => {
                let stream =
                    stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                stream.into_iter().for_each(|stream| on_connection(stream, canonical(peer)));
            }
            Err(e) if of_the_connection(&e) => {}
            Err(_) => return,
        }
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

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::net::listen;

    #[tokio::test]
    async fn who_is_in_the_backlog_at_the_stop_is_accepted() {
        let listener = listen::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        // The kernel connects them, whoever accepts.
        #[allow(clippy::disallowed_methods)]
        let clients = [(); 3].map(|()| std::net::TcpStream::connect(addr).unwrap());
        let stop = CancellationToken::new();
        stop.cancel();
        let accepted = Mutex::new(Vec::new());
        run(listener, stop, |_, peer| accepted.lock().push(peer)).await;
        assert_eq!(*accepted.lock(), clients.map(|client| client.local_addr().unwrap()));
    }
}
