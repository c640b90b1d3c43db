//! Every example of GOST's WebSocket page, as it is written there, with the real gost at the other
//! end: it starts and carries bytes. Each has a network of its own, for its ports are fixed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::ends::{Adit, Gost, listening};
use crate::support::http::connect_through;
use crate::support::netns::isolated;
use crate::support::process::Process;
use crate::support::stream::echo;
use crate::support::tools;

const EXAMPLES: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/gost-websocket-page.yaml"));

/// The page's command lines, the answering half of each pair besides.
const COMMANDS: &[&str] = &[
    "-L ws://:8080",
    "-L wss://:8080",
    "-L mws://:8443",
    "-L mwss://:8443",
    "-L wss://:8443?path=/ws",
    "-L http://:8080 -F wss://:8443?path=/ws",
    "-L http://:8080 -F wss://:8443?host=example.com",
    "-L http://:8080 -F wss://:8443?keepalive=true&ttl=15s",
    "-L http+wss://:8443",
    "-L socks5+wss://:8443",
    "-L relay+wss://:8443",
    "-L wss://:8443/:1080 -L socks5://:1080",
    "-L forward+wss://:8443/:1080 -L socks5://:1080",
    "-L socks5+wss://:8443",
];

/// A configuration of the page: the arguments that start it, and what it is.
struct Example {
    args: Vec<String>,
    /// `mwss`, of the service that others connect to; empty for a client.
    transport: String,
    /// How gost speaks to it.
    protocol: &'static str,
}

fn commands() -> Vec<Example> {
    let example = |line: &&str| {
        let args: Vec<String> = line.split(' ').map(Into::into).collect();
        let scheme = args[1].split("://").next().unwrap();
        let (protocol, transport) = scheme.split_once('+').unwrap_or(("http", scheme));
        let client = line.contains(" -F ");
        let transport = if client { String::new() } else { transport.to_string() };
        Example {
            args: args.clone(),
            transport,
            protocol: spoken(protocol, line.contains("/:1080")),
        }
    };
    COMMANDS.iter().map(example).collect()
}

/// With each alternative that the page gives in a comment.
fn files(folder: &std::path::Path) -> Vec<Example> {
    let mut found = Vec::new();
    for text in EXAMPLES.split("#### example\n").skip(1) {
        let other = text.replace("type: mws\n        # type: mwss", "type: mwss");
        let other = other.replace("type: wss\n        # type: mwss", "type: mwss");
        for text in
            if other == text { vec![text.to_string()] } else { vec![text.to_string(), other] }
        {
            let path = folder.join(format!("{}.yaml", found.len()));
            std::fs::write(&path, &text).unwrap();
            let kinds: Vec<&str> =
                text.lines().filter_map(|l| l.trim().strip_prefix("type: ")).collect();
            let client = text.contains("chains:");
            let transport = if client { String::new() } else { kinds[1].to_string() };
            let args = vec!["-C".into(), path.to_str().unwrap().into()];
            found.push(Example {
                args,
                transport,
                protocol: spoken(kinds[0], text.contains("forwarder:")),
            });
        }
    }
    found
}

/// What gost says to a handler. Behind the page's port forward is a SOCKS5 proxy.
fn spoken(handler: &str, forwards: bool) -> &'static str {
    match handler {
        "socks5" => "socks5",
        "relay" => "relay",
        _ if forwards => "socks5",
        _ => "http",
    }
}

/// Starts the example, gost at the other end, and sends bytes through both to an echo.
fn carries(example: &Example) {
    let target = echo();
    let adit = Adit.start(&example.args);
    if example.transport.is_empty() {
        let _gost = Gost.start(&["-L".into(), "wss://:8443".into()]);
        listening(8443);
        return echoes(connect_through(listening(8080), target).unwrap());
    }
    let Example { transport, protocol, .. } = example;
    let url = format!("{protocol}+{transport}://127.0.0.1:{}", port_of(&adit));
    let local = format!("tcp://127.0.0.1:7000/{target}");
    let _gost = Gost.start(&["-L".into(), local, "-F".into(), url]);
    echoes(TcpStream::connect(listening(7000)).unwrap());
}

fn echoes(mut stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello");
}

/// The port of the first service, as the program says it: the page's `addr: :` leaves it open.
fn port_of(adit: &Process) -> u16 {
    adit.prints("service-0: ");
    let printed = adit.printed();
    let line = printed.lines().find(|line| line.starts_with("service-0: ")).unwrap();
    let addr = line.split(' ').find_map(|word| word.parse::<SocketAddr>().ok());
    addr.unwrap_or_else(|| panic!("no address in {line:?}")).port()
}

#[test]
fn every_command_line_of_the_page_carries_bytes() {
    tools::path("gost");
    for example in commands() {
        eprintln!("{:?}", example.args);
        isolated(|| carries(&example));
    }
}

#[test]
fn every_file_of_the_page_carries_bytes() {
    tools::path("gost");
    let folder = tempfile::tempdir().unwrap();
    for example in files(folder.path()) {
        eprintln!("{}", std::fs::read_to_string(&example.args[1]).unwrap());
        isolated(|| carries(&example));
    }
}
