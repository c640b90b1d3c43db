//! Whose a connection is: PROXY headers and forwarded addresses, from whom they count.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::run::Run;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::echo;
use crate::support::tools;
use crate::support::wait::eventually;

/// Who is believed, and somebody else.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The header of version 1, and of version 2, of a client 203.0.113.7:4711.
const V1: &[u8] = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x7f\0\0\x01\x12\x67\0\x50";

/// A connection from an address of this machine.
pub fn from(addr: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((addr, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    stream
}

/// Reads a head of HTTP; its status, or `None` if the connection has ended before.
pub fn status(stream: &mut impl Read) -> Option<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().split(' ').nth(1)?.parse().ok()
}

/// Asks for an upgrade at `/x` with these fields too; the status.
pub fn upgrade(stream: &mut TcpStream, fields: &str) -> Option<u16> {
    let request = format!(
        "GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    status(stream)
}

/// Sends a payload in a frame; a key of zeros masks nothing.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    [&[0x82, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0], payload].concat()
}

/// Reads the next frame's payload; `None` at the end.
pub fn payload(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 2];
    stream.read_exact(&mut header).ok()?;
    if header[0] != 0x82 {
        return None;
    }
    let mut payload = vec![0; usize::from(header[1])];
    stream.read_exact(&mut payload).ok()?;
    Some(payload)
}

/// Opens a tunnel to `target` on an upgraded connection to an HTTP proxy; whether it is open.
pub fn connect(stream: &mut TcpStream, target: SocketAddr) -> bool {
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let sent = stream.write_all(&frame(request.as_bytes()));
    sent.is_ok() && payload(stream).is_some_and(|answer| answer.starts_with(b"HTTP/1.1 200 "))
}

/// A service of each transport that expects PROXY headers of [`PROXY`].
struct Server {
    run: Run,
    tcp: SocketAddr,
    ws: SocketAddr,
    tls: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let [tcp, ws, tls] = [(); 3].map(|()| SocketAddr::from(([127, 0, 0, 1], ports::free())));
        let one = |name: &str, addr: SocketAddr, kind: &str| {
            format!(
                "- {{name: {name}, addr: '{addr}', handler: {{type: http}}, metadata: {{proxyProtocol: 1}},\n\
                 \x20  listener: {{type: {kind}}}}}\n"
            )
        };
        let trusted = "metadata: {trustedProxies: [127.0.0.1/32]";
        let text = [
            "services:\n".to_string(),
            one("tcp", tcp, &format!("tcp, {trusted}}}")),
            one("ws", ws, &format!("ws, {trusted}, path: /x}}")),
            one("tls", tls, &format!("tls, {trusted}}}")),
        ];
        Self { run: Run::start(&text.concat()), tcp, ws, tls }
    }

    /// Waits until a tunnel of this client has ended.
    fn saw(&self, client: SocketAddr) {
        self.run.adit.prints(&format!("\"peer\":\"{client}\""));
    }

    fn never_saw(&self, client: IpAddr) {
        assert!(!self.run.adit.printed().contains(&format!("\"peer\":\"{client}:")));
    }
}

/// Asks the plain proxy for a tunnel to `target` and ends it.
fn asks(stream: &mut TcpStream, target: SocketAddr) -> Option<u16> {
    write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").ok()?;
    status(stream)
}

#[test]
fn a_proxy_header_names_the_client_if_a_trusted_proxy_sends_it() {
    let (server, target) = (Server::start(), echo());
    let client = SocketAddr::from(([203, 0, 113, 7], 4711));
    let mut expected = 0;
    for header in [V1, V2] {
        for pieces in [header.len(), 1] {
            let send = |stream: &mut TcpStream| {
                stream.set_nodelay(true).unwrap();
                header.chunks(pieces).for_each(|piece| stream.write_all(piece).unwrap());
            };
            let mut stream = from(PROXY, server.tcp);
            send(&mut stream);
            assert_eq!(asks(&mut stream, target), Some(200));
            let mut stream = from(PROXY, server.ws);
            send(&mut stream);
            assert_eq!(upgrade(&mut stream, ""), Some(101));
            assert!(connect(&mut stream, target));
            expected += 2;
        }
    }
    let seen = format!("\"peer\":\"{client}\"");
    eventually("each tunnel was that client's", std::time::Duration::from_secs(20), || {
        server.run.adit.printed().matches(&seen).count() == expected
    });
}

#[test]
fn without_a_header_a_trusted_proxy_is_itself_the_client() {
    let (server, target) = (Server::start(), echo());
    let mut stream = from(PROXY, server.tcp);
    let client = stream.local_addr().unwrap();
    assert_eq!(asks(&mut stream, target), Some(200));
    drop(stream);
    server.saw(client);
}

#[test]
fn the_header_of_somebody_else_is_no_header() {
    let (server, target) = (Server::start(), echo());
    let mut stream = from(STRANGER, server.tcp);
    stream.write_all(V1).unwrap();
    assert_ne!(asks(&mut stream, target), Some(200));
    let mut stream = from(STRANGER, server.ws);
    stream.write_all(V1).unwrap();
    assert_ne!(upgrade(&mut stream, ""), Some(101));
    let mut stream = from(STRANGER, server.tcp);
    let client = stream.local_addr().unwrap();
    assert_eq!(asks(&mut stream, target), Some(200));
    drop(stream);
    server.saw(client);
    server.never_saw([203, 0, 113, 7].into());
}

#[test]
fn a_broken_header_ends_the_connection() {
    let server = Server::start();
    for header in [&b"PROXY TCP4 203.0.113.7\r\n"[..], &[V2[..12].as_ref(), &[0x31; 8]].concat()] {
        for addr in [server.tcp, server.ws, server.tls] {
            let mut stream = from(PROXY, addr);
            stream.write_all(header).unwrap();
            let mut rest = Vec::new();
            // A reset is an end as well.
            let _ = stream.read_to_end(&mut rest);
            assert!(rest.is_empty(), "{rest:?}");
        }
    }
    eventually("they are counted", std::time::Duration::from_secs(20), || {
        server.run.metric("adit_handshakes_total", "result=\"failed\"") == 6.0
    });
}

/// gost as the proxy before us: its header, of both versions, before TLS and before WebSocket.
#[test]
fn gosts_proxy_header_names_its_client() {
    let (server, target) = (Server::start(), echo());
    for version in [1, 2] {
        for (scheme, addr) in
            [("http", server.tcp), ("http+ws", server.ws), ("http+tls", server.tls)]
        {
            let entrance = ports::free();
            let url = format!("{scheme}://{addr}?path=/x&proxyProtocol={version}");
            let local = format!("tcp://127.0.0.1:{entrance}/{target}");
            let _gost = Process::start(tools::path("gost"), &["-L", &local, "-F", &url]);
            let entrance = crate::interop::listening(entrance);
            let mut stream = TcpStream::connect(entrance).unwrap();
            let client = stream.local_addr().unwrap();
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            drop(stream);
            server.saw(client);
        }
    }
}

#[test]
fn forwarded_addresses_count_from_trusted_proxies_only() {
    let addr = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let run = Run::start(&format!(
        "services: [{{name: a, addr: '{addr}', handler: {{type: http}}, admission: no,\n\
         \x20 listener: {{type: ws, metadata: {{path: /x, trustedProxies: [127.0.0.1]}}}}}}]\n\
         admissions: [{{name: no, matchers: [203.0.113.66]}}]\n"
    ));
    let target = echo();
    let tunnels = |by: Ipv4Addr, fields: &str| {
        let mut stream = from(by, addr);
        assert_eq!(upgrade(&mut stream, fields), Some(101));
        (connect(&mut stream, target), stream.local_addr().unwrap())
    };
    // What comes before the last address may be made up.
    assert!(tunnels(PROXY, "X-Forwarded-For: 203.0.113.66, 203.0.113.9\r\n").0);
    run.adit.prints("\"peer\":\"203.0.113.9:0\"");
    assert!(!tunnels(PROXY, "X-Forwarded-For: 203.0.113.9, 203.0.113.66\r\n").0, "not admitted");
    let (open, client) = tunnels(STRANGER, "X-Forwarded-For: 203.0.113.66\r\n");
    assert!(open);
    run.adit.prints(&format!("\"peer\":\"{client}\""));
    assert_eq!(run.metric("adit_refused_total", "reason=\"admission\""), 1.0);
}
