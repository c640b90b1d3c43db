//! Multiplexed sessions with gost at the other end: its own faults do not show.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::ends::{Adit, BOTH_ROLES, End, Gost, listening};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::echo;
use crate::support::wait::eventually;

/// A server on a port that stays the same, and a client whose connections come out at an echo.
struct Pair {
    port: u16,
    scheme: &'static str,
    entrance: SocketAddr,
    server: (End, Option<Process>),
    _client: Process,
}

impl Pair {
    fn start(client: End, server: End, scheme: &'static str) -> Self {
        Self::with(client, server, scheme, "")
    }

    /// `query` is for both ends.
    fn with(client: End, server: End, scheme: &'static str, query: &str) -> Self {
        let (port, entrance, target) = (ports::free(), ports::free(), echo());
        let url = format!("{scheme}://127.0.0.1:{port}?path=/x{query}");
        let process = server.start(&["-L".into(), url.clone()]);
        listening(port);
        let local = format!("tcp://127.0.0.1:{entrance}/{target}");
        let client = client.start(&["-L".into(), local, "-F".into(), url]);
        let (entrance, server) = (listening(entrance), (server, Some(process)));
        Self { port, scheme, entrance, server, _client: client }
    }

    fn restart(&mut self) {
        self.server.1 = None;
        let url = format!("{}://127.0.0.1:{}?path=/x", self.scheme, self.port);
        self.server.1 = Some(self.server.0.start(&["-L".into(), url]));
        listening(self.port);
    }

    /// A stream on which a byte has come back.
    fn opens(&self) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.entrance)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        Ok(stream)
    }

    /// Connections to the server's port that are established, of both ends.
    fn connections(&self) -> usize {
        let port = format!(":{:04X} ", self.port);
        let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        let lines = table.lines().filter(|line| line.contains(&port));
        lines.filter(|line| line.split_whitespace().nth(3) == Some("01")).count()
    }
}

/// Two gosts put TLS into each stream, and its end kills the session: every second request fails.
#[test]
fn socks5_over_one_session_takes_a_hundred_requests_in_a_row() {
    for scheme in ["socks5+mws", "socks5+mwss"] {
        for (client, server) in BOTH_ROLES {
            let pair = Pair::start(client, server, scheme);
            for request in 0..100 {
                let open = pair.opens();
                assert!(open.is_ok(), "{client:?} to {server:?}, request {request}: {open:?}");
            }
            assert_eq!(pair.connections(), 2, "all of them on one session");
        }
    }
}

/// gost's client dials twice, and one of the two fails as unrecognized.
#[test]
fn requests_that_come_first_at_once_share_one_session() {
    let pair = Pair::start(Adit, Gost, "relay+mws");
    let streams = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..50).map(|_| scope.spawn(|| pair.opens().unwrap())).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!((streams.len(), pair.connections()), (50, 2));
}

/// gost's client spends a request on noticing it.
#[test]
fn a_session_that_died_costs_no_request() {
    for scheme in ["http+mws", "socks5+mwss", "relay+mws"] {
        let mut pair = Pair::start(Adit, Gost, scheme);
        for _ in 0..3 {
            let mut open = pair.opens().unwrap();
            pair.restart();
            // The stream of the session that died has ended.
            let _ = open.read(&mut [0]);
            let again = pair.opens();
            assert!(again.is_ok(), "{scheme}: {again:?}");
        }
    }
}

/// gost's client gives a server up that answers no Ping, whatever else it says.
#[test]
fn pings_keep_a_silent_session_open() {
    for (client, server) in BOTH_ROLES {
        let pair = Pair::with(client, server, "http+mws", "&keepalive=true&ttl=1s");
        let mut open = pair.opens().unwrap();
        // The claim is about time: without an answer it would be over after 2 s.
        std::thread::sleep(Duration::from_secs(5));
        open.write_all(b"x").unwrap();
        open.read_exact(&mut [0]).unwrap_or_else(|e| panic!("{client:?} to {server:?}: {e}"));
    }
}

/// A server that is stopped and not ended says nothing: the keepalive finds out.
#[test]
fn a_session_whose_peer_is_silent_is_given_up() {
    let keepalive = "&mux.keepaliveInterval=1s&mux.keepaliveTimeout=2s";
    let pair = Pair::with(Adit, Gost, "http+mws", keepalive);
    let mut stream = pair.opens().unwrap();
    pair.server.1.as_ref().unwrap().signal("STOP");
    eventually("the stream ends", Duration::from_secs(20), || {
        !matches!(stream.read(&mut [0]), Ok(1))
    });
}
