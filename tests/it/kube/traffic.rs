//! An echo server, a gost client, and bytes that are compared one by one.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::process::Process;
use crate::support::wait::eventually;
use crate::support::{http, ports, tools};

/// What goes each way in the big transfers.
pub const BIG: u64 = 64 << 20;

/// A server that sends back what it gets, for the test's life.
pub fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(n @ 1..) = (&stream).read(&mut buffer) {
                    if (&stream).write_all(&buffer[..n]).is_err() {
                        return;
                    }
                }
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    addr
}

/// A gost client: an HTTP proxy on loopback whose one hop is ours.
pub struct Gost {
    _process: Process,
    pub proxy: SocketAddr,
}

impl Gost {
    /// Starts `gost -L http://127.0.0.1:P -F <forward>`.
    pub fn client(forward: &str) -> Self {
        let port = ports::free();
        let listen = format!("http://127.0.0.1:{port}");
        let process = Process::start(tools::path("gost"), &["-L", &listen, "-F", forward]);
        let proxy = SocketAddr::from(([127, 0, 0, 1], port));
        listens(proxy);
        Self { _process: process, proxy }
    }
}

/// Waits until somebody accepts there.
pub fn listens(addr: SocketAddr) {
    let what = format!("somebody listens on {addr}");
    eventually(&what, Duration::from_secs(20), || TcpStream::connect(addr).is_ok());
}

/// An open tunnel to an echo server, whose bytes are checked.
pub struct Tunnel {
    stream: TcpStream,
    up: Noise,
    down: Noise,
}

impl Tunnel {
    /// Opens one through an HTTP proxy.
    pub fn open(proxy: SocketAddr, target: SocketAddr) -> Self {
        let stream = http::connect_through(proxy, target).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { stream, up: Noise(1), down: Noise(1) }
    }

    /// Sends that many bytes and gets all of them back.
    pub fn exchange(&mut self, bytes: u64) {
        std::thread::scope(|scope| {
            let (mut up, stream) = (self.up.clone(), &self.stream);
            let sender = scope.spawn(move || {
                let mut block = vec![0; 64 << 10];
                let mut left = bytes;
                while left > 0 {
                    let n = left.min(block.len() as u64) as usize;
                    up.fill(&mut block[..n]);
                    let mut stream = stream;
                    stream.write_all(&block[..n]).expect("bytes go up");
                    left -= n as u64;
                }
                up
            });
            let (mut got, mut wanted) = (vec![0; 64 << 10], vec![0; 64 << 10]);
            let mut left = bytes;
            while left > 0 {
                let n = left.min(got.len() as u64) as usize;
                (&self.stream).read_exact(&mut got[..n]).expect("bytes come back");
                self.down.fill(&mut wanted[..n]);
                assert!(got[..n] == wanted[..n], "bytes were changed, {left} before the end");
                left -= n as u64;
            }
            self.up = sender.join().unwrap();
        });
    }

    /// Waits until the other side ends it.
    pub fn ends_early(self) {
        let mut rest = Vec::new();
        let ended = (&self.stream).read_to_end(&mut rest);
        let late = |e: &std::io::Error| e.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!ended.as_ref().is_err_and(late), "it goes on");
        assert!(rest.is_empty());
    }

    /// Ends it: nothing more may come.
    pub fn finish(self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        (&self.stream).read_to_end(&mut rest).expect("it ends in order");
        assert!(rest.is_empty());
    }

    /// Exchanges in a thread until the other half of the answer says stop.
    pub fn keep_busy(mut self) -> Busy {
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut total = 0;
            while let Err(std::sync::mpsc::TryRecvError::Empty) = stopped.try_recv() {
                self.exchange(256 << 10);
                total += 256 << 10;
            }
            self.finish();
            total
        });
        Busy { stop, thread }
    }
}

/// A transfer that goes on.
pub struct Busy {
    stop: std::sync::mpsc::Sender<()>,
    thread: JoinHandle<u64>,
}

impl Busy {
    /// Ends the transfer, which must have lost nothing; how many bytes it moved each way.
    pub fn intact(self) -> u64 {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|_| panic!("the transfer was cut"))
    }
}

/// Bytes without a pattern (xorshift64). Blocks must be a multiple of eight long, except the last.
#[derive(Clone)]
struct Noise(u64);

impl Noise {
    fn fill(&mut self, block: &mut [u8]) {
        for word in block.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes()[..word.len()]);
        }
    }
}
