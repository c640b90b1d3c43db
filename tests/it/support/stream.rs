//! Targets that look at streams, and the bytes to send to them. Blocking sockets of std: nothing
//! of the product stands on both ends of a test.

use std::hash::{DefaultHasher, Hasher};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Serves each connection of a port of its own, for the test's life.
pub fn target(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    target_at("127.0.0.1", serve)
}

/// The same on another address of this machine.
pub fn target_at(addr: &str, serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((addr, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    addr
}

/// Sends back what it gets, as it comes.
pub fn echo() -> SocketAddr {
    echo_at("127.0.0.1")
}

/// The same on another address of this machine.
pub fn echo_at(addr: &str) -> SocketAddr {
    target_at(addr, |mut stream| {
        let mut reader = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut reader, &mut stream);
        let _ = stream.shutdown(Shutdown::Write);
    })
}

/// Reads to the end, then answers in `pieces` with `pause` before each: the [`hash`] of what it
/// read, in hexadecimal, over and over.
pub fn slow_sink(pieces: usize, pause: Duration) -> SocketAddr {
    target(move |mut stream| {
        let digest = hash(&mut stream).0;
        for _ in 0..pieces {
            std::thread::sleep(pause);
            if stream.write_all(format!("{digest:016x}").as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// A digest of everything up to the end, and how much it was.
pub fn hash(stream: &mut impl Read) -> (u64, u64) {
    let (mut hasher, mut len) = (DefaultHasher::new(), 0);
    let mut buffer = vec![0; 64 * 1024];
    // What is hashed together must not depend on how the bytes came in.
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => {
                hasher.write(&buffer[..filled]);
                return (hasher.finish(), len);
            }
            Ok(n) => (filled, len) = (filled + n, len + n as u64),
            Err(e) => panic!("after {len} bytes: {e}"),
        }
        if filled == buffer.len() {
            hasher.write(&buffer);
            filled = 0;
        }
    }
}

/// `len` bytes that differ from place to place, always the same.
pub struct Noise {
    state: u64,
    left: usize,
}

impl Noise {
    pub fn new(len: usize) -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15, left: len }
    }
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = buffer.len().min(self.left);
        for piece in buffer[..n].chunks_mut(8) {
            // xorshift64
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            piece.copy_from_slice(&self.state.to_le_bytes()[..piece.len()]);
        }
        self.left -= n;
        Ok(n)
    }
}

/// Sends `len` bytes through `stream` and half-closes it, reads to the end at the same time, and
/// returns the digests of what went out and what came back.
pub fn exchange(stream: TcpStream, len: usize) -> ((u64, u64), (u64, u64)) {
    let mut reader = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let mut stream = stream;
        std::io::copy(&mut Noise::new(len), &mut stream).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let back = hash(&mut reader);
    sender.join().unwrap();
    (hash(&mut Noise::new(len)), back)
}

/// Sends `len` bytes to an echo and reads as many; whether they are the same. Nobody ends the stream.
pub fn comes_back(stream: TcpStream, len: usize) -> bool {
    let mut reader = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let mut stream = stream;
        std::io::copy(&mut Noise::new(len), &mut stream).unwrap();
    });
    let back = hash(&mut (&mut reader).take(len as u64));
    sender.join().unwrap();
    back == hash(&mut Noise::new(len))
}
