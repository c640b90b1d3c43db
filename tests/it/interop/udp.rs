//! Datagrams through every protocol that carries them, in both roles: to one target, and each to
//! its own.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use super::ends::{Adit, End, Gost, listening, listening_udp};
use crate::support::ports;
use crate::support::process::Process;

/// 127.0.0.1 in a packet, and a name of it.
const BY_ADDRESS: &[u8] = b"\x01\x7f\0\0\x01";
const BY_NAME: &[u8] = b"\x03\x09localhost";

/// How long a datagram may take before a row fails. None is lost between processes of one machine
/// that is asked for one after the other.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than any datagram here.
const ROOM: usize = 65536;

/// A row: what is asked of whom over what. `query` is the server's, what makes it carry datagrams.
#[derive(Clone, Copy, Debug)]
struct Row {
    protocol: &'static str,
    transport: &'static str,
    query: &'static str,
    /// The client's: gost's own TLS inside of SOCKS5 ends sessions of a multiplexed transport.
    asks: &'static str,
    client: End,
    server: End,
}

/// The row's two processes, and the client's port.
struct Tunnel {
    entrance: u16,
    _processes: [Process; 2],
}

impl Row {
    /// `fixed` is a target of the server's own, `entrance` the client's service up to its port, `to`
    /// what follows it.
    fn start(self, fixed: &str, entrance: &str, to: &str) -> Tunnel {
        let (port, at) = (ports::free(), ports::free());
        let Row { protocol, transport, query, asks, .. } = self;
        let url = |fixed: &str, query: &str| {
            format!("{protocol}+{transport}://127.0.0.1:{port}{fixed}?path=/x{query}")
        };
        let server = self.server.start(&["-L".into(), url(fixed, query)]);
        listening(port);
        let entrance = format!("{entrance}://127.0.0.1:{at}{to}");
        let client = self.client.start(&["-L".into(), entrance, "-F".into(), url("", asks)]);
        Tunnel { entrance: at, _processes: [client, server] }
    }
}

/// A target that sends every datagram back to where it came from.
fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; ROOM];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            // Whoever has gone meanwhile gets nothing.
            let _ = socket.send_to(&buffer[..n], from);
        }
    });
    addr
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The payload of the `n`th datagram of a source: no two are alike.
fn payload(source: u8, n: usize, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|at| (at * 31 + n * 7) as u8 ^ source).collect();
    for (to, from) in bytes.iter_mut().zip([source].into_iter().chain(n.to_be_bytes())) {
        *to = from;
    }
    bytes
}

/// Sends datagrams of all sizes up to 1400 bytes and one of 4000, one after the other: each comes
/// back.
fn holds(source: u8, mut round_trip: impl FnMut(&[u8]) -> Vec<u8>) {
    for n in 0..1000 {
        let sent = payload(source, n, 1 + n * 7919 % 1400);
        assert!(round_trip(&sent) == sent, "datagram {n} of {} bytes", sent.len());
    }
    let sent = payload(source, 1000, 4000);
    assert!(round_trip(&sent) == sent, "one of 4000 bytes");
}

/// A port forward for datagrams; two sources use it at the same time.
fn forwards(row: Row, fixed: &str, to: &str) {
    eprintln!("{row:?} to {to}");
    // With keepalive a source has one stream for all of its datagrams.
    let to = format!("/{to}?keepalive=true&ttl=60s");
    let tunnel = row.start(fixed, "udp", &to);
    let entrance = listening_udp(tunnel.entrance);
    // Two first streams at the same time are more than gost's mux dialer can take.
    assert_eq!(round_trip(&socket(), entrance, b"first"), b"first");
    thread::scope(|scope| {
        for source in [1, 2] {
            scope.spawn(move || round_trips(source, entrance));
        }
    });
}

fn round_trips(source: u8, entrance: SocketAddr) {
    let socket = socket();
    holds(source, |datagram| round_trip(&socket, entrance, datagram));
}

fn round_trip(socket: &UdpSocket, entrance: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    socket.send_to(datagram, entrance).unwrap();
    let mut buffer = vec![0; ROOM];
    let n = socket.recv(&mut buffer).unwrap();
    buffer[..n].to_vec()
}

/// What RFC 1928 calls an association.
struct Association {
    socket: UdpSocket,
    _control: TcpStream,
}

impl Association {
    fn ask(proxy: SocketAddr) -> Self {
        let mut control = TcpStream::connect(proxy).unwrap();
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        control.write_all(b"\x05\x01\x00").unwrap();
        let mut choice = [0; 2];
        control.read_exact(&mut choice).unwrap();
        assert_eq!(choice, [5, 0]);
        control.write_all(b"\x05\x03\x00\x01\0\0\0\0\0\0").unwrap();
        let mut reply = [0; 10];
        control.read_exact(&mut reply).unwrap();
        assert_eq!(reply[..4], [5, 0, 0, 1], "{reply:?}");
        let ip: [u8; 4] = reply[4..8].try_into().unwrap();
        let port = u16::from_be_bytes([reply[8], reply[9]]);
        let socket = socket();
        socket.connect((IpAddr::from(ip), port)).unwrap();
        Self { socket, _control: control }
    }

    /// Sends a datagram to `host`, which is how the packet has it, and returns the payload that
    /// comes back from `from`.
    fn round_trip(&self, host: &[u8], from: SocketAddr, payload: &[u8]) -> Vec<u8> {
        let port = from.port().to_be_bytes();
        self.socket.send(&[&[0, 0, 0], host, &port, payload].concat()).unwrap();
        let mut buffer = vec![0; ROOM];
        let n = self.socket.recv(&mut buffer).unwrap();
        let IpAddr::V4(ip) = from.ip() else { panic!() };
        let header = [&[0, 0, 0, 1], &ip.octets()[..], &port].concat();
        assert_eq!(buffer[..header.len()], header);
        buffer[header.len()..n].to_vec()
    }
}

/// Two associations at the same time, each with two targets, one of them by its name.
fn associates(row: Row) {
    eprintln!("{row:?}");
    let tunnel = row.start("", "socks5", "?udp=true");
    let proxy = listening(tunnel.entrance);
    let targets = [echo(), echo()];
    // As above.
    Association::ask(proxy).round_trip(BY_ADDRESS, targets[0], b"first");
    thread::scope(|scope| {
        for source in [1, 2] {
            scope.spawn(move || {
                let association = Association::ask(proxy);
                let mut turn = 0;
                holds(source, |datagram| {
                    turn += 1;
                    let host = if turn % 4 == 0 { BY_NAME } else { BY_ADDRESS };
                    association.round_trip(host, targets[turn % 2], datagram)
                });
            });
        }
    });
}

/// A module for each protocol, in it one for each transport, in it a test for each role.
macro_rules! rows {
    ($($name:ident: $protocol:literal $query:literal $asks:literal,)*) => {$(
        mod $name {
            rows!(@transport ws, $protocol, $query, $asks);
            rows!(@transport mws, $protocol, $query, $asks);
        }
    )*};
    (@transport $transport:ident, $protocol:literal, $query:literal, $asks:literal) => {
        mod $transport {
            use super::super::*;

            const fn row(client: End, server: End) -> Row {
                let transport = stringify!($transport);
                Row {
                    protocol: $protocol, transport, query: $query, asks: $asks, client, server
                }
            }

            #[test]
            fn forwards_from_adit_to_gost() {
                forwards(row(Adit, Gost), "", &echo().to_string());
            }

            #[test]
            fn forwards_from_gost_to_adit() {
                forwards(row(Gost, Adit), "", &echo().to_string());
            }

            #[test]
            fn associates_from_adit_to_gost() {
                associates(row(Adit, Gost));
            }

            #[test]
            fn associates_from_gost_to_adit() {
                associates(row(Gost, Adit));
            }
        }
    };
}

rows! {
    relay: "relay" "&bind=true" "",
    socks5: "socks5" "&udp=true" "&notls=true",
    http: "http" "&udp=true" "",
}

const ROLES: [(End, End); 2] = [(Adit, Gost), (Gost, Adit)];

#[test]
fn a_name_is_a_target() {
    for (client, server) in ROLES {
        for (protocol, query) in [("relay", ""), ("socks5", "&udp=true"), ("http", "&udp=true")] {
            let row = Row { protocol, transport: "ws", query, asks: "", client, server };
            forwards(row, "", &format!("localhost:{}", echo().port()));
        }
    }
}

/// A relay with a target of its own goes there, wherever its client wants to go.
#[test]
fn a_relay_with_a_target_forwards_there() {
    for (client, server) in ROLES {
        for transport in ["ws", "mws"] {
            let row = Row { protocol: "relay", transport, query: "", asks: "", client, server };
            forwards(row, &format!("/{}", echo()), "192.0.2.1:9");
        }
    }
}

/// RFC 1928's own way: packets at a port of the server's, beside the stream.
#[test]
fn datagrams_go_beside_the_stream_where_the_connector_says_so() {
    for server in [Adit, Gost] {
        let row = Row {
            protocol: "socks5",
            transport: "ws",
            query: "&udp=true",
            asks: "&relay=udp",
            client: Adit,
            server,
        };
        forwards(row, "", &echo().to_string());
        associates(row);
    }
}

/// GOST's `rudp`: the server takes the port, and each of its sources is a stream of the client's.
/// One source: gost writes the frames of several into each other.
#[test]
fn a_port_of_the_server_is_gost_s_remote_forward() {
    for (protocol, transport) in [("relay", "ws"), ("relay", "mws"), ("socks5", "ws")] {
        let (client, server) = (Gost, Adit);
        let query = "&bind=true";
        let row = Row { protocol, transport, query, asks: "&notls=true", client, server };
        let tunnel = row.start("", "rudp", &format!("/{}?ttl=60s", echo()));
        round_trips(1, listening_udp(tunnel.entrance));
    }
}

/// As most of DNS is: a source asks once, and its stream ends with the answer.
#[test]
fn a_source_without_keepalive_has_a_stream_for_each_question() {
    for (client, server) in ROLES {
        let row = Row { protocol: "relay", transport: "ws", query: "", asks: "", client, server };
        let tunnel = row.start("", "udp", &format!("/{}", echo()));
        let entrance = listening_udp(tunnel.entrance);
        for n in 0..50 {
            let question = payload(1, n, 100);
            assert_eq!(round_trip(&socket(), entrance, &question), question);
        }
    }
}

/// Names mean something at the other end, unless the service has its own.
#[test]
fn hosts_of_the_service_are_those_of_its_associations() {
    for (client, server) in [(Adit, Gost), (Adit, Adit)] {
        let query = "&udp=true";
        let row = Row { protocol: "socks5", transport: "ws", query, asks: "", client, server };
        let tunnel = row.start("", "socks5", "?udp=true&hosts=db.test:127.0.0.1");
        let association = Association::ask(listening(tunnel.entrance));
        let back = association.round_trip(b"\x03\x07db.test", echo(), b"by name");
        assert_eq!(back, b"by name", "{client:?} to {server:?}");
    }
}

/// An association through two nodes, gost in the middle.
#[test]
fn an_association_goes_through_a_chain() {
    let mut processes = Vec::new();
    let entrance = ports::free();
    let mut args = vec!["-L".to_string(), format!("socks5://127.0.0.1:{entrance}?udp=true")];
    for (end, scheme) in [(Gost, "relay+mws"), (Adit, "socks5+ws")] {
        let port = ports::free();
        let url = format!("{scheme}://127.0.0.1:{port}?path=/x");
        processes.push(end.start(&["-L".into(), format!("{url}&udp=true")]));
        listening(port);
        args.extend(["-F".to_string(), url]);
    }
    processes.push(Adit.start(&args));
    let association = Association::ask(listening(entrance));
    let target = echo();
    holds(1, |datagram| association.round_trip(BY_ADDRESS, target, datagram));
}
