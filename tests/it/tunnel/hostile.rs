//! Peers that want to cost as much as they can: the process stays small and goes on serving others.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::arrival::{connect, from, status, upgrade};
use super::run::Run;
use crate::support::ports;
use crate::support::stream::{echo, target};
use crate::support::wait::eventually;

const WITHIN: Duration = Duration::from_secs(20);
const MEBIBYTE: u64 = 1 << 20;

struct Server {
    run: Run,
    ws: SocketAddr,
    mws: SocketAddr,
}

impl Server {
    fn start(version: u8) -> Self {
        let [ws, mws] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], ports::free())));
        let one = |name: &str, addr: SocketAddr, handler: &str| {
            format!(
                "- {{name: {name}, addr: '{addr}', handler: {{type: {handler}}},\n\
                 \x20  listener: {{type: {name}, metadata: {{path: /x, mux.version: {version}}}}}}}\n"
            )
        };
        let text = format!("services:\n{}{}", one("ws", ws, "http"), one("mws", mws, "relay"));
        Self { run: Run::start(&text.replace(", mux.version: 0", "")), ws, mws }
    }

    /// Its memory in bytes.
    fn memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.run.adit.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Somebody else's tunnel.
    fn serves(&self) {
        let mut stream = from(Ipv4Addr::LOCALHOST, self.ws);
        assert_eq!(upgrade(&mut stream, ""), Some(101));
        assert!(connect(&mut stream, echo()));
    }

    /// An upgraded connection to the mux listener.
    fn session(&self) -> TcpStream {
        let mut stream = from(Ipv4Addr::LOCALHOST, self.mws);
        assert_eq!(upgrade(&mut stream, ""), Some(101));
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }
}

/// A frame of smux: SYN is 0, FIN 1, PSH 2.
fn smux(version: u8, command: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_le_bytes();
    [&[version, command], &len[..], &id.to_le_bytes(), payload].concat()
}

/// One frame of any length; a key of zeros masks nothing.
fn message(payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u64).to_be_bytes();
    [&[0x82, 0xff], &len[..], &[0; 4], payload].concat()
}

#[test]
fn heads_that_are_too_long_are_refused_and_cost_nothing() {
    let server = Server::start(1);
    let before = server.memory();
    let long = format!("X: {}\r\n", "a".repeat(32 * 1024));
    let many = "X: a\r\n".repeat(200);
    for fields in [long, many] {
        let mut stream = from(Ipv4Addr::LOCALHOST, server.ws);
        assert_eq!(upgrade(&mut stream, &fields), Some(431));
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // A line that never ends: it is not kept until it does.
    let mut stream = from(Ipv4Addr::LOCALHOST, server.ws);
    stream.write_all(b"GET /x HTTP/1.1\r\nX: ").unwrap();
    let endless = vec![b'a'; 64 * 1024];
    let written = (0..1024).take_while(|_| stream.write_all(&endless).is_ok()).count();
    assert!(written < 1024, "64 MiB of a header were taken");
    assert!(matches!(status(&mut stream), Some(431) | None));
    server.serves();
    assert!(server.memory() < before + 16 * MEBIBYTE);
}

#[test]
fn streams_without_end_are_refused_at_their_bound() {
    for version in [1, 2] {
        let server = Server::start(version);
        let before = server.memory();
        let mut session = server.session();
        let mut reading = session.try_clone().unwrap();
        // Whoever does not read the refusals is not read either.
        let reader = std::thread::spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
        for first in (0..200_000).step_by(1000) {
            let syns = (first..first + 1000).flat_map(|i| smux(version, 0, 3 + 2 * i, b""));
            session.write_all(&message(&syns.collect::<Vec<_>>())).unwrap();
        }
        // The others wait in the session, up to its bound, until these have asked for something.
        eventually("there are as many as may be without a request", WITHIN, || {
            server.run.metric("adit_streams_active", "service=\"mws\"") == 256.0
        });
        server.serves();
        assert!(server.memory() < before + 48 * MEBIBYTE, "{} MiB", server.memory() / MEBIBYTE);
        session.shutdown(std::net::Shutdown::Both).unwrap();
        let _ = reader.join().unwrap();
        eventually("they all end with their session", WITHIN, || {
            server.run.metric("adit_streams_active", "service=\"mws\"") == 0.0
        });
    }
}

#[test]
fn data_for_streams_that_do_not_exist_is_dropped() {
    let server = Server::start(2);
    let before = server.memory();
    let mut session = server.session();
    let data = smux(2, 2, 9, &vec![7; 60_000]);
    for _ in 0..1000 {
        session.write_all(&message(&data)).unwrap();
    }
    // FINs, window updates, and an opening of what is open, for what was never there.
    let odd = [smux(2, 1, 9, b""), smux(2, 4, 9, &[0; 8]), smux(2, 3, 9, b"")].concat();
    session.write_all(&message(&odd)).unwrap();
    server.serves();
    assert!(server.memory() < before + 16 * MEBIBYTE, "{} MiB", server.memory() / MEBIBYTE);
    assert_eq!(server.run.metric("adit_streams_active", "service=\"mws\""), 0.0);
    // It is still a session.
    assert_eq!(server.run.metric("adit_mux_sessions", "service=\"mws\""), 1.0);
}

#[test]
fn nonsense_ends_the_session_and_nobody_elses() {
    let server = Server::start(1);
    let nonsense = [
        smux(2, 0, 3, b""),
        smux(1, 9, 3, b""),
        smux(1, 0, 3, b"payload"),
        smux(1, 4, 3, &[0; 8]),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    let other = server.session();
    for bytes in nonsense {
        let mut session = server.session();
        session.write_all(&message(&bytes)).unwrap();
        let _ = session.read_to_end(&mut Vec::new());
    }
    server.run.adit.prints("set mux.version to the same value on both ends");
    eventually("the other one goes on", WITHIN, || {
        server.run.metric("adit_mux_sessions", "service=\"mws\"") == 1.0
    });
    drop(other);
}

/// Pours without end.
fn spring() -> SocketAddr {
    target(|mut stream| {
        let bytes = vec![7; 64 * 1024];
        while stream.write_all(&bytes).is_ok() {}
    })
}

#[test]
fn a_peer_that_reads_nothing_of_many_streams_costs_a_piece_of_each() {
    for version in [1, 2] {
        const STREAMS: u32 = 400;
        let (server, spring) = (Server::start(version), spring());
        let before = server.memory();
        let mut session = server.session();
        let SocketAddr::V4(to) = spring else { panic!() };
        let address = [&[1][..], &to.ip().octets(), &to.port().to_be_bytes()].concat();
        let ask = [&[1, 1, 0, 10, 2, 0, 7][..], &address].concat();
        for i in 0..STREAMS {
            let (id, syn) = (3 + 2 * i, smux(version, 0, 3 + 2 * i, b""));
            session.write_all(&message(&[syn, smux(version, 2, id, &ask)].concat())).unwrap();
        }
        eventually("every stream has its target", WITHIN, || {
            server.run.metric("adit_upstream_dial_seconds_count", "service=\"mws\"")
                == f64::from(STREAMS)
        });
        // It has taken in what it will when it takes in no more.
        let mut taken = 0.0;
        eventually("nothing moves any more", WITHIN, || {
            let now = server.run.metric("adit_bytes_total", "direction=\"down\"");
            std::mem::replace(&mut taken, now) == now && now > 0.0
        });
        let each = (server.memory() - before) / u64::from(STREAMS);
        eprintln!("version {version}: {} KiB a stream", each / 1024);
        assert!(each < 200 * 1024, "{} KiB a stream", each / 1024);
        server.serves();
    }
}
