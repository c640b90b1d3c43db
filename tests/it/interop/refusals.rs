//! What the two ends do not agree on: the client gets no bytes and no hang, and adit says why,
//! whichever end it is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::ends::{Adit, BOTH_ROLES, End, listening};
use crate::support::pki::Authority;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::echo;

/// A client and a server, each adit or gost.
struct Pair {
    entrance: std::net::SocketAddr,
    client: Process,
    server: Process,
}

/// `PROTOCOL+TRANSPORT://USER@` of the two ends, and what follows the port.
struct Urls<'a> {
    scheme: &'a str,
    server: (&'a str, &'a str),
    client: (&'a str, &'a str),
}

impl Pair {
    fn start(client: End, server: End, urls: &Urls) -> Self {
        let (port, entrance, target) = (ports::free(), ports::free(), echo());
        let url = |(user, query): (&str, &str)| {
            format!("{}://{user}127.0.0.1:{port}?path=/x{query}", urls.scheme)
        };
        let server = server.start(&["-L".into(), url(urls.server)]);
        listening(port);
        let local = format!("tcp://127.0.0.1:{entrance}/{target}");
        let client = client.start(&["-L".into(), local, "-F".into(), url(urls.client)]);
        Self { entrance: listening(entrance), client, server }
    }

    /// Whether a byte comes back; otherwise the connection has ended, not hung.
    fn carries(&self) -> bool {
        let mut stream = TcpStream::connect(self.entrance).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.write_all(b"x");
        match stream.read(&mut [0]) {
            Ok(n) => n == 1,
            Err(e) => {
                assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock, "it hangs");
                false
            }
        }
    }
}

/// No bytes, in both roles, and what adit says as the client and as the server.
fn refused(urls: &Urls, as_client: &str, as_server: Option<&str>) {
    for (client, server) in BOTH_ROLES {
        let pair = Pair::start(client, server, urls);
        assert!(!pair.carries(), "{client:?} to {server:?} over {}", urls.scheme);
        if client == Adit {
            pair.client.prints(as_client);
        } else if let Some(text) = as_server {
            pair.server.prints(text);
        }
    }
}

/// Bytes, in both roles.
fn carried(urls: &Urls) {
    for (client, server) in BOTH_ROLES {
        let pair = Pair::start(client, server, urls);
        assert!(pair.carries(), "{client:?} to {server:?} over {}", urls.scheme);
    }
}

#[test]
fn a_wrong_path_is_a_404() {
    for scheme in ["http+ws", "http+wss", "http+mws"] {
        let urls = Urls { scheme, server: ("", "y"), client: ("", "z") };
        refused(&urls, "status 404", None);
    }
}

#[test]
fn another_version_of_the_multiplexing_is_no_session() {
    for (ours, theirs) in [("1", "2"), ("2", "1")] {
        let (server, client) = (format!("&mux.version={ours}"), format!("&mux.version={theirs}"));
        let urls = Urls { scheme: "http+mws", server: ("", &server), client: ("", &client) };
        refused(&urls, "no tunnel", None);
    }
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) =
        (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "other"));
    let leaf = ours.leaf("server");
    let server = format!("&cert={}&key={}", leaf.cert, leaf.key);
    for secure in ["", "&secure=true&serverName=localhost"] {
        let right = format!("&ca={}{secure}", ours.ca);
        carried(&Urls { scheme: "http+wss", server: ("", &server), client: ("", &right) });
        let wrong = format!("&ca={}{secure}", other.ca);
        let urls = Urls { scheme: "http+wss", server: ("", &server), client: ("", &wrong) };
        refused(&urls, "UnknownIssuer", None);
    }
}

#[test]
fn a_name_that_the_certificate_does_not_have_is_refused_by_secure_alone() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let leaf = authority.leaf("server");
    let server = format!("&cert={}&key={}", leaf.cert, leaf.key);
    let client = format!("&ca={}&serverName=example.com", authority.ca);
    carried(&Urls { scheme: "http+wss", server: ("", &server), client: ("", &client) });
    let client = format!("{client}&secure=true");
    let urls = Urls { scheme: "http+wss", server: ("", &server), client: ("", &client) };
    refused(&urls, "not valid for name", None);
}

#[test]
fn an_expired_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let leaf = authority.expired("server");
    let server = format!("&cert={}&key={}", leaf.cert, leaf.key);
    let client = format!("&ca={}", authority.ca);
    let urls = Urls { scheme: "http+wss", server: ("", &server), client: ("", &client) };
    refused(&urls, "expired", None);
}

#[test]
fn a_client_without_a_certificate_is_refused_where_one_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) =
        (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "other"));
    let (leaf, own, foreign) = (ours.leaf("server"), ours.leaf("client"), other.leaf("foreign"));
    let server = format!("&cert={}&key={}&ca={}", leaf.cert, leaf.key, ours.ca);
    for scheme in ["http+wss", "http+mwss", "http+tls"] {
        let right = format!("&cert={}&key={}", own.cert, own.key);
        carried(&Urls { scheme, server: ("", &server), client: ("", &right) });
        let urls = Urls { scheme, server: ("", &server), client: ("", "") };
        refused(&urls, "certificate", Some("certificate"));
        let wrong = format!("&cert={}&key={}", foreign.cert, foreign.key);
        let urls = Urls { scheme, server: ("", &server), client: ("", &wrong) };
        refused(&urls, "certificate", Some("certificate"));
    }
}

#[test]
fn a_wrong_password_is_refused() {
    for scheme in ["http+ws", "socks5+ws", "relay+ws", "socks5+mws", "relay+mwss", "http+mws"] {
        carried(&Urls { scheme, server: ("u:p@", ""), client: ("u:p@", "") });
        for user in ["u:wrong@", ""] {
            let urls = Urls { scheme, server: ("u:p@", ""), client: (user, "") };
            refused(&urls, "check the connector's auth", Some("unauthorized"));
        }
    }
}
