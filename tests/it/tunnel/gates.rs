//! Limits with every kind of key, through a real listener. The clients are told apart by what the
//! proxy before the listener says.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::arrival::{connect, from, upgrade};
use super::run::Run;
use crate::support::ports;
use crate::support::stream::echo;
use crate::support::wait::eventually;

struct Gated {
    run: Run,
    addr: SocketAddr,
    target: SocketAddr,
}

impl Gated {
    /// A ws listener before an HTTP proxy with this gate.
    fn start(gate: &str, list: &str) -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let run = Run::start(&format!(
            "services: [{{name: a, addr: '{addr}', handler: {{type: http}}, {gate}: g,\n\
             \x20 listener: {{type: ws, metadata: {{path: /x, trustedProxies: [127.0.0.0/8]}}}}}}]\n\
             {list}\n"
        ));
        Self { run, addr, target: echo() }
    }

    /// A tunnel of this client, if it gets one.
    fn tunnel(&self, client: &str) -> Option<TcpStream> {
        let mut stream = from(Ipv4Addr::LOCALHOST, self.addr);
        assert_eq!(upgrade(&mut stream, &format!("X-Forwarded-For: {client}\r\n")), Some(101));
        connect(&mut stream, self.target).then_some(stream)
    }

    fn refused(&self, reason: &str) -> f64 {
        self.run.metric("adit_refused_total", &format!("reason=\"{reason}\""))
    }

    fn limited(&self, kind: &str) -> f64 {
        self.run.metric("adit_limiter_rejections_total", &format!("kind=\"{kind}\""))
    }
}

#[test]
fn connections_are_counted_for_the_service_each_client_and_a_network() {
    let limits = "climiters: [{name: g, limits: ['$ 5', '$$ 1', '203.0.113.0/24 2']}]";
    let gated = Gated::start("climiter", limits);
    let first = gated.tunnel("192.0.2.1").expect("one each");
    assert!(gated.tunnel("192.0.2.1").is_none());
    let _other = gated.tunnel("192.0.2.2").expect("one each");
    let _two = [(); 2].map(|()| gated.tunnel("203.0.113.5").expect("two of the network's"));
    assert!(gated.tunnel("203.0.113.5").is_none());
    // The line of a network is for each address in it.
    let _fifth = gated.tunnel("203.0.113.6").expect("five in all");
    assert!(gated.tunnel("203.0.113.6").is_none(), "six in all");
    assert!(gated.tunnel("192.0.2.3").is_none(), "six in all");
    assert_eq!(gated.limited("connections"), 4.0);
    assert_eq!(gated.run.metric("adit_connections_active", "service=\"a\""), 5.0);
    assert_eq!(gated.run.metric("adit_handshake_seconds_count", ""), 9.0);
    drop(first);
    let mut again = None;
    eventually("the place is free again", Duration::from_secs(20), || {
        again = gated.tunnel("192.0.2.3");
        again.is_some()
    });
}

#[test]
fn requests_are_counted_for_the_service_each_client_and_a_network() {
    // A burst is the rate and one more; what comes back in an hour is no matter here.
    let limits =
        "rlimiters: [{name: g, limits: ['$ 5.0001', '$$ 0.0001', '203.0.113.0/24 1.0001']}]";
    let gated = Gated::start("rlimiter", limits);
    assert!(gated.tunnel("192.0.2.1").is_some());
    assert!(gated.tunnel("192.0.2.1").is_none());
    assert!(gated.tunnel("203.0.113.5").is_some() && gated.tunnel("203.0.113.5").is_some());
    assert!(gated.limited("requests") >= 1.0);
}

#[test]
fn clients_are_admitted_by_network() {
    let list = "admissions: [{name: g, whitelist: true, matchers: [192.0.2.0/24, 203.0.113.7]}]";
    let gated = Gated::start("admission", list);
    for (client, admitted) in [
        ("192.0.2.1", true),
        ("192.0.3.1", false),
        ("203.0.113.7", true),
        ("203.0.113.8", false),
        ("2001:db8::1", false),
    ] {
        assert_eq!(gated.tunnel(client).is_some(), admitted, "{client}");
    }
    assert_eq!(gated.refused("admission"), 3.0);
}

#[test]
fn targets_are_refused_by_name_network_and_port() {
    let list = "bypasses: [{name: g, matchers: [10.0.0.0/8, 'a.test:80-90', '*.internal']}]";
    let gated = Gated::start("bypass", list);
    let status = |target: &str| {
        use std::io::Write;
        let mut stream = from(Ipv4Addr::LOCALHOST, gated.addr);
        assert_eq!(upgrade(&mut stream, ""), Some(101));
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        stream.write_all(&super::arrival::frame(request.as_bytes())).unwrap();
        String::from_utf8(super::arrival::payload(&mut stream).unwrap()).unwrap()
    };
    for target in ["db.internal:80", "DB.Internal.:80", "10.1.2.3:443", "a.test:85"] {
        assert!(status(target).starts_with("HTTP/1.1 403 "), "{target}");
    }
    assert!(status(&gated.target.to_string()).starts_with("HTTP/1.1 200 "));
    assert_eq!(gated.refused("bypass"), 4.0);
}

#[test]
fn a_limited_client_takes_its_time_and_another_does_not() {
    let limits = "limiters: [{name: g, limits: ['203.0.113.0/24 64KB 64KB']}]";
    let gated = Gated::start("limiter", limits);
    let took = |client: &str| {
        use std::io::{Read, Write};
        let mut stream = gated.tunnel(client).unwrap();
        let began = Instant::now();
        let mut sending = stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            // 192 KiB: a burst of one second, and two more.
            (0..1536).for_each(|_| sending.write_all(&super::arrival::frame(&[7; 125])).unwrap());
        });
        let mut left = 1536 * 125;
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            let mut header = [0; 2];
            stream.read_exact(&mut header).unwrap();
            let length = match header[1] {
                126 => {
                    let mut length = [0; 2];
                    stream.read_exact(&mut length).unwrap();
                    usize::from(u16::from_be_bytes(length))
                }
                127 => {
                    let mut length = [0; 8];
                    stream.read_exact(&mut length).unwrap();
                    usize::try_from(u64::from_be_bytes(length)).unwrap()
                }
                short => usize::from(short),
            };
            buffer.resize(length.max(1), 0);
            stream.read_exact(&mut buffer[..length]).unwrap();
            left -= length;
        }
        sender.join().unwrap();
        began.elapsed()
    };
    let (limited, free) = (took("203.0.113.5"), took("192.0.2.1"));
    assert!(limited > Duration::from_millis(1500), "{limited:?}");
    assert!(free < limited, "{free:?} and {limited:?}");
}
