//! The real gost at the other end, in both roles.

#![allow(clippy::disallowed_methods, reason = "blocking sockets of the tests")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

mod ends;
mod hops;
mod page;
mod protocols;
mod refusals;
mod rtcp;
mod sessions;
mod table;
mod udp;

pub use ends::listening;
use ends::{Adit, BOTH_ROLES, End};

use crate::support::http::{connect_through, get_through, origin};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::{echo, exchange, hash, slow_sink};

const MEBIBYTE: usize = 1 << 20;

/// Two processes with a WebSocket between them, and the HTTP proxy at its entrance.
struct Tunnel {
    proxy: SocketAddr,
    _processes: Vec<Process>,
}

/// `servers` are those on the way, in order. `query` goes to every listener and dialer.
fn tunnel(client: End, servers: &[End], query: &str) -> Tunnel {
    let mut processes = Vec::new();
    let entrance = ports::free();
    let mut args = vec!["-L".to_string(), format!("http://127.0.0.1:{entrance}")];
    for server in servers {
        let port = ports::free();
        let url = format!("ws://127.0.0.1:{port}?path=/x{query}");
        processes.push(server.start(&["-L".to_string(), url.clone()]));
        listening(port);
        args.extend(["-F".to_string(), url]);
    }
    processes.push(client.start(&args));
    Tunnel { proxy: listening(entrance), _processes: processes }
}

impl Tunnel {
    fn connect(&self, target: SocketAddr) -> TcpStream {
        connect_through(self.proxy, target).unwrap()
    }
}

#[test]
fn sixty_four_mebibytes_each_way_arrive_whole() {
    for (client, server) in BOTH_ROLES {
        let tunnel = tunnel(client, &[server], "");
        let (sent, back) = exchange(tunnel.connect(echo()), 64 * MEBIBYTE);
        assert_eq!(sent, back, "{client:?} to {server:?}");
    }
}

#[test]
fn plain_requests_pass() {
    for (client, server) in BOTH_ROLES {
        let tunnel = tunnel(client, &[server], "");
        let response = get_through(tunnel.proxy, origin("hello")).unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    }
}

#[test]
fn a_half_closed_client_still_gets_the_reply() {
    for (client, server) in BOTH_ROLES {
        let tunnel = tunnel(client, &[server], "");
        let target = slow_sink(1, Duration::from_secs(1));
        let mut stream = tunnel.connect(target);
        stream.write_all(b"question").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let digest = hash(&mut &b"question"[..]).0;
        assert_eq!(reply, format!("{digest:016x}"), "{client:?} to {server:?}");
    }
}

/// GOST gives the reverse direction 10 s in all. Ours may take longer, as long as it moves.
#[test]
fn a_reply_slower_than_ten_seconds_after_a_half_close_arrives_whole() {
    let tunnel = tunnel(Adit, &[Adit], "");
    let mut stream = tunnel.connect(slow_sink(4, Duration::from_secs(3)));
    stream.write_all(b"q").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, format!("{:016x}", hash(&mut &b"q"[..]).0).repeat(4));
}

#[test]
fn pings_keep_a_silent_tunnel_open() {
    for (client, server) in BOTH_ROLES {
        let tunnel = tunnel(client, &[server], "&keepalive=true&ttl=1s");
        let mut stream = tunnel.connect(echo());
        // The claim is about time: GOST gives a server that answers no Ping up after 2 s.
        std::thread::sleep(Duration::from_secs(5));
        stream.write_all(b"still here").unwrap();
        let mut back = [0; 10];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"still here", "{client:?} to {server:?}");
    }
}

#[test]
fn a_hundred_tunnels_at_once() {
    for (client, server) in BOTH_ROLES {
        let tunnel = tunnel(client, &[server], "");
        let target = echo();
        let streams: Vec<_> = (0..100).map(|_| tunnel.connect(target)).collect();
        let workers: Vec<_> = streams
            .into_iter()
            .map(|stream| std::thread::spawn(move || exchange(stream, MEBIBYTE / 8)))
            .collect();
        for worker in workers {
            let (sent, back) = worker.join().unwrap();
            assert_eq!(sent, back, "{client:?} to {server:?}");
        }
    }
}

#[test]
fn credentials_are_those_of_gost() {
    for (client, server) in BOTH_ROLES {
        let port = ports::free();
        let url = |user: &str| format!("ws://{user}127.0.0.1:{port}?path=/x");
        let _server = server.start(&["-L".to_string(), url("u:p@")]);
        listening(port);
        for (user, passes) in [("u:p@", true), ("u:wrong@", false), ("", false)] {
            let entrance = ports::free();
            let http = format!("http://127.0.0.1:{entrance}");
            let _client = client.start(&["-L".into(), http, "-F".into(), url(user)]);
            let result = connect_through(listening(entrance), echo());
            assert_eq!(result.is_ok(), passes, "{client:?} as {user:?} to {server:?}");
        }
    }
}
