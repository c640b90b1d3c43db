//! A port at a node, as the operator of the client sees it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::http::get;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::target;
use crate::support::wait::eventually;

const WITHIN: Duration = Duration::from_secs(40);

/// A target that says a word and ends.
fn says(word: &'static str) -> SocketAddr {
    target(move |mut stream| {
        let _ = stream.write_all(word.as_bytes());
    })
}

fn heard(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(WITHIN)).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok().map(|_| text)
}

#[test]
fn a_remote_port_is_seen_from_its_first_failure_to_its_end() {
    let (node, remote, admin) = (ports::free(), ports::free(), ports::free());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.yaml");
    let write = |target: SocketAddr| {
        let text = format!(
            "services: [{{name: ssh, addr: '127.0.0.1:{remote}', handler: {{type: rtcp}}, \
             listener: {{type: rtcp, chain: c}}, forwarder: {{nodes: [{{addr: '{target}'}}]}}}}]\n\
             chains: [{{name: c, hops: [{{name: edge, nodes: [{{name: gw, addr: '127.0.0.1:{node}', \
             connector: {{type: relay}}, dialer: {{type: mws}}}}]}}]}}]\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write(says("one"));
    let at = SocketAddr::from(([127, 0, 0, 1], admin));
    let admin = at.to_string();
    let mut client =
        Process::adit(&["-C", file.to_str().unwrap(), "--admin", &admin, "--log-format", "text"]);
    let ready = |code: u16, text: &str| {
        get(at, "/readyz").is_ok_and(|r| r.status == code && r.text().contains(text))
    };
    let bound = |n: u8| {
        let line = format!("adit_listener_bound{{namespace=\"\",service=\"ssh\",tunnel=\"\"}} {n}");
        get(at, "/metrics").is_ok_and(|r| r.text().contains(&line))
    };
    // Nobody is there yet: the process runs on, and says which node and why.
    client.prints("ssh: forwards to");
    client.prints("no node listens, trying again");
    eventually("it is not ready", WITHIN, || ready(503, "node edge/gw"));
    assert!(bound(0));

    let url = format!("relay+mws://127.0.0.1:{node}?bind=true");
    let serve = || Process::adit(&["-L", &url]);
    let server = serve();
    eventually("it is ready", WITHIN, || ready(200, ""));
    client.prints("listening at a node");
    client.prints(&format!("local=127.0.0.1:{remote}"));
    assert!(bound(1));
    assert_eq!(heard(remote).as_deref(), Some("one"));
    server.prints("listening for a client");

    // Another target is another handler: the port stays.
    write(says("two"));
    eventually("the new target is reached", WITHIN, || heard(remote).as_deref() == Some("two"));
    assert_eq!(server.printed().matches("listening for a client").count(), 1);

    drop(server);
    eventually("it is not ready", WITHIN, || ready(503, "node edge/gw") && bound(0));
    let server = serve();
    eventually("it is ready again", WITHIN, || ready(200, "") && bound(1));
    assert_eq!(heard(remote).as_deref(), Some("two"));

    client.signal("TERM");
    assert!(client.ends(WITHIN).success());
    eventually("the port is gone", WITHIN, || !ports::listens(remote));
    drop(server);
}

#[test]
fn a_server_that_ends_lets_those_who_came_finish_and_does_not_wait_for_an_idle_port() {
    let (node, idle, busy) = (ports::free(), ports::free(), ports::free());
    let url = format!("relay+ws://127.0.0.1:{node}");
    let bind = format!("{url}?bind=true");
    let mut server = Process::adit(&["-L", &bind, "--drain-timeout", "60s"]);
    let waits = target(|mut stream| {
        let mut word = [0; 4];
        let _ = stream.write_all(b"?");
        if stream.read_exact(&mut word).is_ok() {
            let _ = stream.write_all(&word);
        }
    });
    let client = |port: u16| {
        let listen = format!("rtcp://127.0.0.1:{port}/{waits}");
        let client = Process::adit(&["-L", &listen, "-F", &url]);
        client.prints("listening at a node");
        client
    };
    let (_idle, _busy) = (client(idle), client(busy));
    let mut stream = TcpStream::connect(("127.0.0.1", busy)).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    stream.write_all(b"wo").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    server.signal("TERM");
    eventually("the idle port is gone", WITHIN, || !ports::listens(idle));
    stream.write_all(b"rd").unwrap();
    let mut word = [0; 4];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"word");
    drop(stream);
    // Long before the time for tunnels is up.
    assert!(server.ends(Duration::from_secs(20)).success());
}
