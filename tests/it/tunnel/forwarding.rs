//! Plain requests through handler `http`, as bytes: what RFC 9112 asks of a proxy that passes them on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::target;
use crate::support::wait::eventually;

const WITHIN: Duration = Duration::from_secs(20);

struct Proxy {
    addr: SocketAddr,
    _adit: Process,
}

impl Proxy {
    fn start() -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let adit = Process::adit(&["-L", &format!("http://{addr}")]);
        eventually("it listens", WITHIN, || TcpStream::connect(addr).is_ok());
        Self { addr, _adit: adit }
    }

    /// What comes back for these bytes, to the end. The client finishes sending if it is to.
    fn says(&self, bytes: &[u8], finishes: bool) -> String {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        let mut sending = stream.try_clone().unwrap();
        let bytes = bytes.to_vec();
        let sends = std::thread::spawn(move || {
            // Who has its answer may stop listening.
            let _ = sending.write_all(&bytes);
            if finishes {
                let _ = sending.shutdown(Shutdown::Write);
            }
        });
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer).into_owned();
        end.unwrap_or_else(|error| panic!("{error} after {text}"));
        let _ = stream.shutdown(Shutdown::Both);
        sends.join().unwrap();
        text
    }
}

/// Reads a request's head.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// An origin that answers every head with these bytes, and closes.
fn answers(bytes: &'static [u8]) -> SocketAddr {
    target(move |mut stream| {
        head(&mut stream);
        let _ = stream.write_all(bytes);
    })
}

fn get(origin: SocketAddr, more: &str) -> Vec<u8> {
    format!("GET http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\nConnection: close\r\n{more}\r\n")
        .into()
}

const REFUSED: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nno\n";

/// RFC 9112 sections 9.3, 9.5 and 9.6: a server may answer before it has the whole request.
#[test]
fn an_answer_before_the_end_of_the_request_arrives() {
    let closes = answers(REFUSED);
    let drains = target(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(REFUSED);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let proxy = Proxy::start();
    let body = vec![b'x'; 4 << 20];
    for (name, origin) in [("closes", closes), ("drains", drains)] {
        for round in 0..10 {
            let head = format!(
                "PUT http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let answer = proxy.says(&[head.as_bytes(), &body].concat(), false);
            let whole = answer.starts_with("HTTP/1.1 401 ") && answer.ends_with("no\n");
            assert!(whole, "{name}, round {round}: {answer:?}");
        }
    }
}

#[test]
fn a_client_that_has_finished_sending_gets_its_response() {
    let origin = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let proxy = Proxy::start();
    let post = format!(
        "POST http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\nContent-Length: 4\r\n\r\nbody"
    );
    let old = format!("GET http://{origin}/ HTTP/1.0\r\n\r\n");
    for request in [get(origin, ""), post.into(), old.into()] {
        let answer = proxy.says(&request, true);
        let whole = answer.starts_with("HTTP/1.") && answer.ends_with("\r\n\r\nhi");
        assert!(whole, "{}: {answer:?}", String::from_utf8_lossy(&request));
    }
}

#[test]
fn a_response_is_passed_on_as_a_proxy_must() {
    let proxy = Proxy::start();
    let ok = |name: &str, origin: SocketAddr, has: &str, lacks: &str| {
        let answer = proxy.says(&get(origin, ""), false);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{name}: {answer:?}");
        assert!(answer.contains(has), "{name}: {answer:?}");
        assert!(lacks.is_empty() || !answer.contains(lacks), "{name}: {answer:?}");
    };
    // Section 6.3: the coding overrides the length.
    let both = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    ok("both", answers(both), "hi", "Content-Length");
    // Sections 5.1 and 5.2.
    ok(
        "space",
        answers(b"HTTP/1.1 200 OK\r\nX-A : one\r\nContent-Length: 0\r\n\r\n"),
        "X-A: one\r\n",
        "",
    );
    ok(
        "fold",
        answers(b"HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nContent-Length: 0\r\n\r\n"),
        "X-A: one",
        "\r\n two",
    );
    let many: String = (0..300).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let many = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n");
    ok("many fields", answers(Vec::leak(many.into())), "X-299: 299\r\n", "");
    let two = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi";
    for (name, origin) in [("two lengths", answers(two)), ("not HTTP", answers(b"SSH-2.0-x\r\n"))] {
        let answer = proxy.says(&get(origin, ""), false);
        assert!(answer.starts_with("HTTP/1.1 502 "), "{name}: {answer:?}");
        assert!(
            answer.ends_with("the target's response cannot be read, or it broke off\n"),
            "{answer:?}"
        );
    }
}

#[test]
fn heads_have_limits_and_what_is_beyond_them_is_told() {
    let origin = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let proxy = Proxy::start();
    let fields = |count: usize| (0..count).map(|n| format!("X-{n}: {n}\r\n")).collect::<String>();
    let long = format!("X-Long: {}\r\n", "x".repeat(70_000));
    for (name, more, status) in [
        ("300 fields", fields(300), "200"),
        ("a field of 70 kB", long, "200"),
        ("600 fields", fields(600), "431"),
        ("a field of 200 kB", format!("X: {}\r\n", "x".repeat(200_000)), "431"),
        ("no field", "no field\r\n".into(), "400"),
    ] {
        let answer = proxy.says(&get(origin, &more), false);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer:?}");
    }
}

#[test]
fn a_failure_has_the_status_of_its_cause_and_a_line() {
    let proxy = Proxy::start();
    let closed = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let request =
        |host: &str| format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    for (host, status, line) in [
        (closed.to_string(), "502 Bad Gateway", "the target refused the connection"),
        ("nowhere.invalid".into(), "502 Bad Gateway", "the name of the target does not resolve"),
    ] {
        let answer = proxy.says(&request(&host), false);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer:?}");
        assert!(answer.ends_with(&format!("{status}: {line}\n")), "{answer:?}");
    }
}

/// Appendix C.2.2: `ab -k` and others ask so.
#[test]
fn an_old_client_is_told_once_whether_the_connection_goes_on() {
    let origin = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let proxy = Proxy::start();
    let request = format!(
        "GET http://{origin}/ HTTP/1.0\r\nHost: {origin}\r\nConnection: Keep-Alive\r\n\r\n"
    );
    let answer = proxy.says(request.as_bytes(), true);
    let lines: Vec<_> =
        answer.lines().filter(|line| line.to_lowercase().starts_with("connection:")).collect();
    assert!(lines.len() <= 1 && !lines.iter().any(|line| line.contains(',')), "{answer:?}");
    assert!(answer.ends_with("hi"), "{answer:?}");
}
