//! Every transport with every protocol, in both roles: one test a row, one row a tunnel.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::ends::{Adit, End, Gost, listening};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::{Noise, comes_back, hash, target};
use crate::support::wait::eventually;

const MEBIBYTE: usize = 1 << 20;

/// What a target says before it is asked anything.
const BANNER: &[u8] = b"220 ready\r\n";

/// How long any read may take before a row fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Well before the 10 s that either program lets a half-closed stream wait.
const AT_ONCE: Duration = Duration::from_secs(5);

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

/// What becomes of a stream of which one side has said all and waits for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HalfClose {
    /// The other one is heard.
    Heard,
    /// One of the two programs knows no half-close here, and takes it for the end.
    TornDown,
}

impl Row {
    fn is_mux(self) -> bool {
        self.transport.starts_with('m')
    }

    /// By gost's layers: its socks5 conn has no half-close, and its relay conn has one with `nodelay`
    /// only.
    fn wraps(self) -> bool {
        match self.protocol {
            "socks5" => true,
            "relay" => !self.query.contains("nodelay=true"),
            _ => false,
        }
    }

    /// Of the client's side: gost's smux streams cannot half-close, nor what its client wraps.
    fn half_close(self) -> HalfClose {
        let torn_down = self.is_mux() || self.client == Gost && self.wraps();
        if torn_down { HalfClose::TornDown } else { HalfClose::Heard }
    }

    /// Of the target's side: nor what its server wraps.
    fn half_close_of_target(self) -> HalfClose {
        let torn_down = self.is_mux() || self.server == Gost && self.wraps();
        if torn_down { HalfClose::TornDown } else { HalfClose::Heard }
    }

    /// Whether gost's server ends both directions by itself when the target has said all. What the
    /// client sends in that moment may still get through.
    fn ends_at_once(self) -> bool {
        self.server == Gost && self.wraps() && !self.is_mux()
    }

    /// When a client hears the target's banner. A relay client of gost says nothing, not even what it
    /// wants, before it has something to send, unless it has `nodelay`; and gost drops what comes for
    /// a stream that it has opened and does not know yet, however long adit waits with that.
    fn banner(self) -> Banner {
        match self.protocol {
            "relay" if self.client == Gost && self.wraps() => Banner::Second,
            "forward" if self.client == Gost && self.is_mux() => Banner::None,
            _ => Banner::First,
        }
    }

    /// Version 1 has no window for each stream, only one for the session.
    fn stalled(self) -> usize {
        match self.is_mux() && !self.query.contains("mux.version=2") {
            true => MAX_RECEIVE_BUFFER / 2,
            false => 64 * MEBIBYTE,
        }
    }
}

/// When a target says its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Banner {
    None,
    /// Before the client has said anything.
    First,
    /// It can be heard once the client has.
    Second,
}

/// What targets got after their own end, by the token of the stream.
static GOT: Mutex<Option<HashMap<u64, (u64, u64)>>> = Mutex::new(None);

/// A target that says its banner and then does what the first byte says: `e` echoes, `h` answers the
/// end with a digest, `p` pours as many bytes as the next four say, `t` ends and listens on: what it
/// got is in [`GOT`] under the next eight.
fn universal(banner: &'static [u8]) -> SocketAddr {
    target(move |mut stream| {
        let mut command = [0];
        if stream.write_all(banner).is_err() {
            return;
        }
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
            b't' => {
                let mut token = [0; 8];
                stream.read_exact(&mut token).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut got = Vec::new();
                // It may be reset where it is torn down.
                let _ = stream.read_to_end(&mut got);
                let mut all = GOT.lock().unwrap();
                let digest = hash(&mut &got[..]);
                all.get_or_insert_default().insert(u64::from_be_bytes(token), digest);
                Ok(())
            }
            other => panic!("no command {other}"),
        };
    })
}

/// The row's tunnel: a port whose connections come out at the universal target.
struct Tunnel {
    row: Row,
    entrance: SocketAddr,
    _processes: [Process; 2],
}

impl Tunnel {
    fn start(row: Row) -> Self {
        let banner = if row.banner() == Banner::None { b"" } else { BANNER };
        let (port, entrance, target) = (ports::free(), ports::free(), universal(banner));
        let Row { transport, query, protocol, .. } = row;
        // A forwarding server goes where it was told to; the others where the client asks.
        let fixed = if protocol == "forward" { format!("/{target}") } else { String::new() };
        let url = |fixed: &str| {
            format!("{protocol}+{transport}://127.0.0.1:{port}{fixed}?path=/x{query}")
        };
        // gost closes streams beyond its backlog, 128 by default.
        let server = row.server.start(&["-L".into(), url(&fixed) + "&backlog=512"]);
        listening(port);
        let local = format!("tcp://127.0.0.1:{entrance}/{target}");
        let client = row.client.start(&["-L".into(), local, "-F".into(), url("")]);
        Self { row, entrance: listening(entrance), _processes: [client, server] }
    }

    /// A stream whose target has said its banner, if it can before it is asked.
    fn open(&self, command: &[u8]) -> TcpStream {
        let stream = TcpStream::connect(self.entrance).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let hears = |when| {
            if self.row.banner() == when {
                let mut banner = [0; BANNER.len()];
                (&stream).read_exact(&mut banner).unwrap();
                assert_eq!(banner, BANNER);
            }
        };
        hears(Banner::First);
        (&stream).write_all(command).unwrap();
        hears(Banner::Second);
        stream
    }

    fn echoes(&self, len: usize) {
        assert!(comes_back(self.open(b"e"), len), "what came back is not what was sent");
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

    said("a reader that stalls does not stop its neighbour, and loses nothing");
    let count = row.stalled();
    let command = [&b"p"[..], &u32::try_from(count).unwrap().to_be_bytes()].concat();
    let mut stalled = tunnel.open(&command);
    let mut first = [0];
    stalled.read_exact(&mut first).unwrap();
    tunnel.echoes(MEBIBYTE);
    let rest = (&mut stalled).take(count as u64 - 1);
    assert_eq!(hash(&mut first.chain(rest)), hash(&mut Noise::new(count)));
    drop(stalled);

    said("a client that has said all");
    let became = half_closed_client(&tunnel);
    // gost closes in two steps: an answer that is quick enough still gets through between them.
    assert!(became == row.half_close() || became == HalfClose::Heard, "{became:?}");

    said("a target that has said all");
    assert_eq!(half_closed_target(&tunnel), row.half_close_of_target());
}

/// A client that half-closes and waits for the answer.
fn half_closed_client(tunnel: &Tunnel) -> HalfClose {
    let mut stream = tunnel.open(b"h");
    stream.write_all(b"question").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    if let Err(e) = stream.read_to_end(&mut answer) {
        assert_ne!(e.kind(), ErrorKind::WouldBlock, "neither an answer nor an end");
    }
    let digest = format!("{:016x}", hash(&mut &b"question"[..]).0);
    match answer == digest.as_bytes() {
        true => HalfClose::Heard,
        false => {
            assert_eq!(String::from_utf8_lossy(&answer), "", "a part of the answer");
            HalfClose::TornDown
        }
    }
}

/// A target that half-closes and listens on.
fn half_closed_target(tunnel: &Tunnel) -> HalfClose {
    static TOKEN: AtomicU64 = AtomicU64::new(0);
    let token = TOKEN.fetch_add(1, Ordering::Relaxed);
    let mut stream = tunnel.open(&[&b"t"[..], &token.to_be_bytes()].concat());
    let mut rest = Vec::new();
    if let Err(e) = stream.read_to_end(&mut rest) {
        assert_ne!(e.kind(), ErrorKind::WouldBlock, "the client does not hear of the end");
    }
    assert!(rest.is_empty());
    let heard_of_the_end = |within| {
        let mut got = None;
        eventually("the target hears of the client's end", within, || {
            got = GOT.lock().unwrap().as_mut().and_then(|all| all.remove(&token));
            got.is_some()
        });
        got.unwrap()
    };
    if tunnel.row.ends_at_once() {
        let (_, length) = heard_of_the_end(AT_ONCE);
        assert_eq!(length, 0);
        return HalfClose::TornDown;
    }
    // Both fail where it was torn down.
    let _ = stream.write_all(b"afterwards");
    let _ = stream.shutdown(Shutdown::Write);
    match heard_of_the_end(PATIENCE) {
        digest if digest == hash(&mut &b"afterwards"[..]) => HalfClose::Heard,
        (_, length) => {
            assert_eq!(length, 0, "a part of what came afterwards");
            HalfClose::TornDown
        }
    }
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

/// A relay client of gost's that does not wait for its first byte, and a server that answers at once.
mod ws_nodelay {
    rows!(@protocol relay, "ws", "&nodelay=true");
}
