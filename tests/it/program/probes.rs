//! Probes under what clients and the readers of logs do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::http::{get, get_through};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::wait::eventually;

const WITHIN: Duration = Duration::from_secs(20);

/// What a pipe holds, pipe(7).
const PIPE: usize = 64 * 1024;

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn lives(admin: SocketAddr) -> bool {
    get(admin, "/livez").is_ok_and(|response| response.status == 200)
}

#[test]
fn a_log_that_nobody_reads_stops_no_probe_no_tunnel_and_no_end() {
    let (reader, mut stderr) = std::io::pipe().unwrap();
    stderr.write_all(&[b'.'; PIPE]).unwrap();
    let (proxy, admin) = (loopback(ports::free()), loopback(ports::free()));
    let (service, at) = (format!("http://{proxy}"), admin.to_string());
    let args = ["-L", &service, "--admin", &at, "--log-level", "trace"];
    let mut adit = Process::adit_with_stderr(&args, stderr);
    eventually("it lives", WITHIN, || lives(admin));
    for _ in 0..64 {
        assert_eq!(get_through(proxy, loopback(1)).unwrap().status, 502);
    }
    assert!(lives(admin));
    adit.signal("TERM");
    assert_eq!(adit.ends(WITHIN).code(), Some(0));
    drop(reader);
}

#[test]
fn the_last_words_and_the_lines_before_them_are_written() {
    let (mut reader, stderr) = std::io::pipe().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let service = format!("http://{}", taken.local_addr().unwrap());
    let mut adit = Process::adit_with_stderr(&["-L", &service], stderr);
    assert_eq!(adit.ends(WITHIN).code(), Some(1));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.first().unwrap().contains("cannot listen"), "{text}");
    assert!(lines.last().unwrap().starts_with("adit: "), "{text}");
}

#[test]
fn connections_that_are_kept_do_not_take_the_place_of_a_probe() {
    let (proxy, admin) = (loopback(ports::free()), loopback(ports::free()));
    let (service, at) = (format!("http://{proxy}"), admin.to_string());
    let _adit = Process::adit(&["-L", &service, "--admin", &at]);
    eventually("it lives", WITHIN, || lives(admin));
    let kept: Vec<_> = (0..80)
        .map(|_| {
            let mut client = TcpStream::connect(admin).unwrap();
            client.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            client
        })
        .collect();
    for _ in 0..10 {
        assert!(lives(admin));
    }
    let text = get(admin, "/metrics").unwrap().text();
    assert!(text.contains("adit_bound_reached_total{bound=\"admin_connections\"}"), "{text}");
    drop(kept);
}
