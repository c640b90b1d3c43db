//! Requests and answers of the handshake, byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::run::Run;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::echo;
use crate::support::wait::eventually;

/// The example of RFC 6455 section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

struct Server {
    addr: SocketAddr,
    _process: Process,
}

fn server(query: &str) -> Server {
    let addr = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let process = Process::adit(&["-L", &format!("ws://{addr}?path=/x{query}")]);
    eventually("it listens", Duration::from_secs(20), || TcpStream::connect(addr).is_ok());
    Server { addr, _process: process }
}

impl Server {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }
}

/// A request with these lines; `Host` is always there.
fn request(first: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{first} HTTP/1.1\r\nHost: any.example\r\n{lines}\r\n")
}

fn upgrade() -> String {
    let key = format!("Sec-WebSocket-Key: {KEY}");
    request(
        "GET /x?query",
        &[
            "Connection: keep-alive, Upgrade",
            "Upgrade: WebSocket",
            "Sec-WebSocket-Version: 13",
            &key,
        ],
    )
}

/// The head of an answer, and as much body as it announces.
fn answer(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; len.map_or(0, |len| len.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[test]
fn a_wrong_path_is_gost_s_404_and_the_connection_goes_on() {
    let server = server("");
    let mut stream = server.connect();
    for path in ["/", "/X", "/x/", "/x/y"] {
        stream.write_all(request(&format!("GET {path}"), &[]).as_bytes()).unwrap();
        let (head, body) = answer(&mut stream);
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n"), "{head}");
        assert!(head.contains("Content-Type: text/plain; charset=utf-8\r\n"), "{head}");
        assert!(head.contains("X-Content-Type-Options: nosniff\r\n"), "{head}");
        assert!(!head.to_lowercase().contains("connection:"), "{head}");
        assert_eq!(body, "404 page not found\n");
    }
    stream.write_all(upgrade().as_bytes()).unwrap();
    assert!(answer(&mut stream).0.starts_with("HTTP/1.1 101 "));
}

#[test]
fn bad_upgrades_are_refused_as_gorilla_refuses_them() {
    let server = server("");
    let good = upgrade();
    for (request, status) in [
        (good.replace("keep-alive, Upgrade", "keep-alive"), "400 Bad Request"),
        (good.replace("Upgrade: WebSocket", "Upgrade: h2c"), "400 Bad Request"),
        (good.replace("GET", "POST"), "405 Method Not Allowed"),
        (good.replace("Version: 13", "Version: 8"), "400 Bad Request"),
        (good.replace(KEY, "c2hvcnQ="), "400 Bad Request"),
        (good.replace(KEY, "not base64"), "400 Bad Request"),
    ] {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let (head, body) = answer(&mut stream);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}\n{head}");
        assert!(head.contains("Sec-Websocket-Version: 13\r\n"), "{head}");
        assert_eq!(body, format!("{}\n", &status[4..]));
    }
}

#[test]
fn the_101_has_nothing_but_the_handshake() {
    let server = server("");
    let mut stream = server.connect();
    stream.write_all(upgrade().as_bytes()).unwrap();
    let (head, _) = answer(&mut stream);
    let (first, lines) = head.trim_end().split_once("\r\n").unwrap();
    assert_eq!(first, "HTTP/1.1 101 Switching Protocols");
    let mut lines: Vec<_> = lines.split("\r\n").collect();
    lines.sort();
    let accept = format!("Sec-WebSocket-Accept: {ACCEPTED}");
    assert_eq!(
        lines,
        ["Connection: Upgrade", &accept, "Upgrade: websocket"],
        "as gost writes them"
    );
}

#[test]
fn headers_of_the_listener_are_in_the_101() {
    let addr = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let _run = Run::start(&format!(
        "services: [{{name: a, addr: '{addr}', handler: {{type: http}}, listener: {{type: ws,\n\
         \x20 metadata: {{path: /x, header: {{x-team: a b, Sec-WebSocket-Protocol: chat}}}}}}}}]\n"
    ));
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(upgrade().as_bytes()).unwrap();
    let (head, _) = answer(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for line in ["X-Team: a b\r\n", "Sec-WebSocket-Protocol: chat\r\n"] {
        assert!(head.contains(line), "{head}");
    }
}

/// An unmasked frame has no business here, but a zero key masks nothing.
fn frame(payload: &[u8]) -> Vec<u8> {
    [&[0x82, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

#[test]
fn frames_in_the_segment_of_the_request_are_not_lost() {
    let server = server("");
    let target = echo();
    let mut stream = server.connect();
    let connect = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nearly");
    let bytes = [upgrade().as_bytes(), &frame(connect.as_bytes()), &frame(b"bird")].concat();
    stream.write_all(&bytes).unwrap();
    assert!(answer(&mut stream).0.starts_with("HTTP/1.1 101 "));
    let established = b"HTTP/1.1 200 Connection established\r\nProxy-Agent: gost/3.0\r\n\r\n";
    let mut message = vec![0; 2 + established.len()];
    stream.read_exact(&mut message).unwrap();
    assert_eq!(message[..2], [0x82, established.len() as u8], "a message of its own");
    assert_eq!(&message[2..], established);
    let mut echoed = Vec::new();
    while echoed.len() < 9 {
        let mut header = [0; 2];
        stream.read_exact(&mut header).unwrap();
        assert_eq!(header[0], 0x82);
        let mut payload = vec![0; usize::from(header[1])];
        stream.read_exact(&mut payload).unwrap();
        echoed.extend(payload);
    }
    assert_eq!(echoed, b"earlybird");
}

#[test]
fn a_client_that_does_not_finish_its_request_is_cut() {
    let server = server("&readHeaderTimeout=1s");
    for text in ["", "GET /x HTTP/1.1\r\nHost: a\r\n"] {
        let mut stream = server.connect();
        stream.write_all(text.as_bytes()).unwrap();
        let began = Instant::now();
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut rest);
        assert!(began.elapsed() < Duration::from_secs(8), "{text:?}: {:?}", began.elapsed());
        assert!(!rest.starts_with(b"HTTP/1.1 1"));
    }
}

#[test]
fn a_connection_that_never_becomes_a_tunnel_does_not_live_by_asking() {
    let server = server("&readHeaderTimeout=1s");
    for request in [request("GET /wrong", &[]), request("GET /x", &["Upgrade: h2c"])] {
        let (mut stream, began) = (server.connect(), Instant::now());
        let mut answered = 0;
        while stream.write_all(request.as_bytes()).is_ok() {
            let mut first = [0];
            if !matches!(stream.read(&mut first), Ok(1)) {
                break;
            }
            answer(&mut stream);
            answered += 1;
            // The claim is about time: it asks again well before the time of a request is over.
            std::thread::sleep(Duration::from_millis(200));
            assert!(began.elapsed() < Duration::from_secs(20), "it goes on");
        }
        assert!(answered > 1 && began.elapsed() > Duration::from_secs(5));
    }
}

#[test]
fn a_connection_that_is_not_upgraded_keeps_its_place() {
    let server = server("");
    let asks = |text: &str| {
        let mut stream = server.connect();
        let _ = stream.write_all(text.as_bytes());
        let mut status = [0; 12];
        stream.read_exact(&mut status).ok()?;
        Some((stream, status))
    };
    let bad = request("GET /x", &["Upgrade: h2c"]);
    let mut kept: Vec<_> = (0..1024).filter_map(|_| asks(&bad)).collect();
    eventually("one more is refused", Duration::from_secs(5), || {
        kept.extend(asks(&bad));
        asks(&upgrade()).is_none()
    });
    drop(kept);
    eventually("there is room again", Duration::from_secs(5), || asks(&upgrade()).is_some());
}

#[test]
fn handshakes_in_flight_are_bounded() {
    let server = server("");
    let mut silent: Vec<_> = (0..1024).map(|_| server.connect()).collect();
    let refused = || {
        let mut stream = server.connect();
        let _ = stream.write_all(upgrade().as_bytes());
        let mut first = [0];
        !matches!(stream.read(&mut first), Ok(1))
    };
    // Places are taken by tasks, in any order: a request that was answered may have had the place
    // of a silent connection, which was refused instead. So there is always one more of them.
    eventually("one more is refused", Duration::from_secs(5), || {
        silent.push(server.connect());
        refused()
    });
    drop(silent);
    eventually("there is room again", Duration::from_secs(5), || !refused());
}
