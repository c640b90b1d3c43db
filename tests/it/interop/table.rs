//! Every transport with every protocol, in both roles: one test a row, one row a tunnel.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::ends::{Adit, End, Gost, listening};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::{Noise, hash, target};

const MEBIBYTE: usize = 1 << 20;

/// How long any read may take before a row fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// GOST's `mux.maxReceiveBuffer`: what version 1 of smux may leave unread before it stops a session.
const MAX_RECEIVE_BUFFER: usize = 4 * MEBIBYTE;

/// One row: what carries the streams, what is spoken in them, and which program is where.
#[derive(Clone, Copy, Debug)]
struct Row {
    transport: &'static str,
    query: &'static str,
    protocol: &'static str,
    client: End,
    server: End,
}

/// What becomes of a client that half-closes and waits for the answer.
#[derive(Debug, PartialEq, Eq)]
enum HalfClose {
    /// The answer comes.
    Answered,
    /// One of the two programs knows no half-close here, and takes it for the end.
    TornDown,
}

impl Row {
    /// By gost's layers: smux streams and its socks5 and relay clients cannot half-close.
    fn half_close(self) -> HalfClose {
        let gost_cannot = self.client == Gost && matches!(self.protocol, "socks5" | "relay");
        if self.transport.starts_with('m') || gost_cannot {
            HalfClose::TornDown
        } else {
            HalfClose::Answered
        }
    }

    /// Version 1 has no window for each stream, only one for the session.
    fn stalled(self) -> usize {
        match (self.transport.starts_with('m'), self.query) {
            (true, "") => MAX_RECEIVE_BUFFER / 2,
            _ => 64 * MEBIBYTE,
        }
    }
}

/// A target that does what the first byte says: `e` echoes, `h` answers the end with a digest, `p`
/// pours as many bytes as the next four say.
fn universal() -> SocketAddr {
    target(|mut stream| {
        let mut command = [0];
        if stream.read_exact(&mut command).is_err() {
            return;
        }
        // Whoever goes away in the middle ends it.
        let _ = match command[0] {
            b'e' => {
                let mut reader = stream.try_clone().unwrap();
                std::io::copy(&mut reader, &mut stream).map(|_| ())
            }
            b'h' => {
                let digest = hash(&mut stream).0;
                stream.write_all(format!("{digest:016x}").as_bytes())
            }
            b'p' => {
                let mut count = [0; 4];
                stream.read_exact(&mut count).unwrap();
                let count = u32::from_be_bytes(count) as usize;
                std::io::copy(&mut Noise::new(count), &mut stream)
                    .and_then(|_| stream.read(&mut command).map(|_| ()))
            }
            other => panic!("no command {other}"),
        };
    })
}

/// The row's tunnel: a port whose connections come out at the universal target.
struct Tunnel {
    entrance: SocketAddr,
    _processes: [Process; 2],
}

impl Tunnel {
    fn start(row: Row) -> Self {
        let (port, entrance, target) = (ports::free(), ports::free(), universal());
        let Row { transport, query, protocol, .. } = row;
        // A forwarding server goes where it was told to; the others where the client asks.
        let fixed = if protocol == "forward" { format!("/{target}") } else { String::new() };
        let url = |fixed: &str| {
            format!("{protocol}+{transport}://127.0.0.1:{port}{fixed}?path=/x{query}")
        };
        let server = row.server.start(&["-L".into(), url(&fixed)]);
        listening(port);
        let local = format!("tcp://127.0.0.1:{entrance}/{target}");
        let client = row.client.start(&["-L".into(), local, "-F".into(), url("")]);
        Self { entrance: listening(entrance), _processes: [client, server] }
    }

    fn open(&self, command: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.entrance).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(command).unwrap();
        stream
    }

    /// Sends noise through an echo and says whether just that comes back.
    fn echoes(&self, len: usize) {
        let mut stream = self.open(b"e");
        let mut sending = stream.try_clone().unwrap();
        let sender = thread::spawn(move || {
            std::io::copy(&mut Noise::new(len), &mut sending).unwrap();
        });
        let back = hash(&mut (&mut stream).take(len as u64));
        sender.join().unwrap();
        assert_eq!(back, hash(&mut Noise::new(len)), "what came back is not what was sent");
    }
}

fn holds(row: Row) {
    let tunnel = Tunnel::start(row);
    let said = |what: &str| eprintln!("{row:?}: {what}");

    said("64 MiB each way arrive whole");
    tunnel.echoes(64 * MEBIBYTE);

    said("a hundred short connections in a row all work");
    for _ in 0..100 {
        tunnel.echoes(16);
    }

    said("two hundred streams at once");
    thread::scope(|scope| {
        let streams: Vec<_> =
            (0..200).map(|_| scope.spawn(|| tunnel.echoes(MEBIBYTE / 16))).collect();
        streams.into_iter().for_each(|stream| stream.join().unwrap());
    });

    said("a reader that stalls does not stop its neighbour");
    let count = u32::try_from(row.stalled()).unwrap().to_be_bytes();
    let mut stalled = tunnel.open(&[&b"p"[..], &count].concat());
    stalled.read_exact(&mut [0]).unwrap();
    tunnel.echoes(MEBIBYTE);
    drop(stalled);

    said("a half-closed client");
    let mut stream = tunnel.open(b"h");
    stream.write_all(b"question").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    if let Err(e) = stream.read_to_end(&mut answer) {
        assert_ne!(e.kind(), ErrorKind::WouldBlock, "neither an answer nor an end");
    }
    let digest = format!("{:016x}", hash(&mut &b"question"[..]).0);
    let seen = match answer == digest.as_bytes() {
        true => HalfClose::Answered,
        false => HalfClose::TornDown,
    };
    assert_eq!(seen, row.half_close(), "got {:?}", String::from_utf8_lossy(&answer));
}

/// The table: a module for each transport, in it one for each protocol, in it a test for each role.
macro_rules! rows {
    ($($name:ident: $transport:literal $query:literal,)*) => {$(
        mod $name {
            rows!(@protocol http, $transport, $query);
            rows!(@protocol socks5, $transport, $query);
            rows!(@protocol relay, $transport, $query);
            rows!(@protocol forward, $transport, $query);
        }
    )*};
    (@protocol $protocol:ident, $transport:literal, $query:literal) => {
        mod $protocol {
            use super::super::*;

            const fn row(client: End, server: End) -> Row {
                let protocol = stringify!($protocol);
                Row { transport: $transport, query: $query, protocol, client, server }
            }

            #[test]
            fn from_adit_to_gost() {
                holds(row(Adit, Gost));
            }

            #[test]
            fn from_gost_to_adit() {
                holds(row(Gost, Adit));
            }
        }
    };
}

rows! {
    ws: "ws" "",
    wss: "wss" "",
    mws_v1: "mws" "",
    mws_v2: "mws" "&mux.version=2",
    mwss: "mwss" "",
}
