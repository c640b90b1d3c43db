//! What is sent, and who receives it.

use std::io::{Read, Write};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// What one read or write of the load takes at most, in bytes.
const BLOCK: usize = 256 << 10;

/// The far end. It costs little for a connection: what is counted is the pair's work.
pub struct Target {
    pub addr: SocketAddr,
    runtime: Option<Runtime>,
}

impl Target {
    /// Listens, on the CPUs of this thread.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self { addr, runtime: Some(runtime) }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// A first byte of `u` swallows as many bytes as the next eight say and answers one, `d` sends as
/// many, anything else echoes to the end.
async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0; 64];
    let n = stream.read(&mut first[..1]).await?;
    match first[0] {
        b'u' => {
            let mut left = stream.read_u64().await?;
            let mut block = vec![0; BLOCK];
            while left > 0 {
                match stream.read(&mut block).await? {
                    0 => return Ok(()),
                    n => left -= n as u64,
                }
            }
            stream.write_all(b".").await
        }
        b'd' => {
            let mut left = stream.read_u64().await?;
            let block = vec![7; BLOCK];
            while left > 0 {
                let piece = block.len().min(usize::try_from(left).unwrap());
                stream.write_all(&block[..piece]).await?;
                left -= piece as u64;
            }
            Ok(())
        }
        _ => {
            let mut n = n;
            while n > 0 {
                stream.write_all(&first[..n]).await?;
                n = stream.read(&mut first).await?;
            }
            Ok(())
        }
    }
}

/// Moves `bytes` through one connection and returns when the last one has arrived.
pub fn bulk(entry: SocketAddr, way: Way, bytes: u64) {
    let mut stream = std::net::TcpStream::connect(entry).unwrap();
    let kind = if way == Way::Up { b"u" } else { b"d" };
    stream.write_all(&[&kind[..], &bytes.to_be_bytes()].concat()).unwrap();
    let mut block = vec![7; BLOCK];
    let mut left = bytes;
    while left > 0 {
        let piece = block.len().min(usize::try_from(left).unwrap());
        let moved = match way {
            Way::Up => stream.write(&block[..piece]),
            Way::Down => stream.read(&mut block[..piece]),
        };
        match moved {
            Ok(n @ 1..) => left -= n as u64,
            other => panic!("the stream ended with {left} bytes to come: {other:?}"),
        }
    }
    if way == Way::Up {
        stream.read_exact(&mut [0]).unwrap();
    }
}
