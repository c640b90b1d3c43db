//! The floor: a relay that copies between two sockets, as its own process.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

/// The environment variable that makes this program a relay: `listen target`.
pub const ROLE: &str = "ADIT_BENCH_RELAY";

/// What one read takes at most, in bytes.
const BUFFER: usize = 256 << 10;

/// Copies until it is killed.
pub fn run(addresses: &str) {
    let (listen, target) = addresses.split_once(' ').unwrap();
    let (listen, target): (SocketAddr, SocketAddr) =
        (listen.parse().unwrap(), target.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let listener = TcpListener::bind(listen).await.unwrap();
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut target = TcpStream::connect(target).await?;
                client.set_nodelay(true)?;
                target.set_nodelay(true)?;
                tokio::io::copy_bidirectional_with_sizes(&mut client, &mut target, BUFFER, BUFFER)
                    .await
            });
        }
    });
}
