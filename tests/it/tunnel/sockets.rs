//! What the sockets of a tunnel are set to, as the kernel tells it.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use super::run::Run;
use crate::interop::listening;
use crate::support::http::connect_through;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::echo;
use crate::support::wait::eventually;

/// Whether a keepalive timer runs on the accepted end of the one connection to this port, and on the
/// dialled one; `None` while there is no such connection.
fn keepalive(port: u16) -> Option<(bool, bool)> {
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    let (mut accepted, mut dialled) = (None, None);
    for line in table.lines().skip(1) {
        // sl, local, remote, state, queues, timer: 02 is keepalive's.
        let words: Vec<&str> = line.split_whitespace().collect();
        let (end, timer) = (format!(":{port:04X}"), words[5].starts_with("02:"));
        match words[3] {
            "01" if words[1].ends_with(&end) => accepted = Some(timer),
            "01" if words[2].ends_with(&end) => dialled = Some(timer),
            _ => {}
        }
    }
    Some((accepted?, dialled?))
}

#[test]
fn tcp_keepalive_is_on_where_it_is_asked_for_and_nowhere_else() {
    for (transport, of_listener, of_dialer) in [
        ("ws", "", ""),
        ("ws", "&keepalive=true&keepalive.idle=30s", ""),
        ("mws", "", "&tcp.keepalive=true&tcp.keepalive.interval=7s"),
        ("wss", "&keepalive=true", "&tcp.keepalive=true"),
        // Of these the dialer's key has no prefix: there is no ping that it could mean.
        ("tcp", "&keepalive=true&keepalive.count=3", "&keepalive=true"),
        ("tls", "", "&keepalive=true&keepalive.idle=20"),
        // This one is about pings.
        ("ws", "", "&keepalive=true&ttl=60s"),
    ] {
        let (port, entrance) = (ports::free(), ports::free());
        // The http handler and connector have a key of the same name.
        let scoped = |query: &str, part: &str| query.replace("&k", &format!("&{part}.k"));
        let (path, listener) = ("path=/x", scoped(of_listener, "listener"));
        let dialer = scoped(of_dialer, "dialer").replace("&tcp", "&dialer.tcp");
        let path = if transport.contains("ws") { path } else { "" };
        let url = format!("http+{transport}://127.0.0.1:{port}?{path}");
        let _server = Process::adit(&["-L", &format!("{url}{listener}")]);
        listening(port);
        let local = format!("http://127.0.0.1:{entrance}");
        let _client = Process::adit(&["-L", &local, "-F", &format!("{url}{dialer}")]);
        let _tunnel: TcpStream = connect_through(listening(entrance), echo()).unwrap();
        let of_tcp = !transport.contains("ws") || of_dialer.contains("tcp.");
        let expected = (!of_listener.is_empty(), !of_dialer.is_empty() && of_tcp);
        let what = format!("{transport} {of_listener} {of_dialer}");
        // While data is on its way another timer runs.
        eventually(&what, Duration::from_secs(20), || keepalive(port) == Some(expected));
    }
}

/// Two port forwards that lead to each other, over TCP and over datagrams, and a chain that comes back
/// by another service's port.
#[test]
fn services_that_lead_in_a_circle_end_after_a_few_turns() {
    let [a, b, http, ws] = [(); 4].map(|()| ports::free());
    let forward = |name: &str, kind: &str, from: u16, to: u16| {
        format!(
            "- {{name: {name}, addr: '127.0.0.1:{from}', handler: {{type: {kind}}}, \
             listener: {{type: {kind}}},\n   forwarder: {{nodes: [{{addr: 'localhost:{to}'}}]}}}}\n"
        )
    };
    let chain = format!(
        "- {{name: http, addr: '127.0.0.1:{http}', handler: {{type: http, chain: c}}}}\n\
         - {{name: ws, addr: '127.0.0.1:{ws}', handler: {{type: http}}, listener: {{type: ws}}}}\n"
    );
    let run = Run::start(&format!(
        "services:\n{}{}{}{}{chain}chains:\n- {{name: c, hops: [{{nodes: [{{addr: 'localhost:{ws}', \
         connector: {{type: http}}, dialer: {{type: ws}}}}]}}]}}\n",
        forward("one", "tcp", a, b),
        forward("other", "tcp", b, a),
        forward("one-udp", "udp", a, b),
        forward("other-udp", "udp", b, a),
    ));
    let circles = |service: &str| {
        let labels = format!("reason=\"circle\",service=\"{service}");
        run.metric("adit_upstream_dial_errors_total", &labels)
    };
    let mut stream = TcpStream::connect(("127.0.0.1", a)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(b"anybody?");
    // An end or a reset, and no silence.
    let end = stream.read(&mut [0]);
    assert!(!matches!(&end, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock), "{end:?}");
    assert!(circles("o") >= 1.0);

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"anybody?", ("127.0.0.1", a)).unwrap();
    let udp = || circles("one-udp") + circles("other-udp");
    eventually("the datagrams' circle ends", Duration::from_secs(20), || udp() >= 1.0);

    // A client and its server in one process, and a target that is one of its services.
    let far = echo();
    let reached = connect_through(([127, 0, 0, 1], http).into(), far);
    assert!(reached.is_ok(), "{reached:?}");
    let accepted = run.metric("adit_connections_accepted_total", "");
    assert!(accepted < 200.0, "{accepted}");
}
