//! What the sockets of a tunnel are set to, as the kernel tells it.

use std::net::TcpStream;
use std::time::Duration;

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
