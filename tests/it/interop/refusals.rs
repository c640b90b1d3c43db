//! What the two ends do not agree on: the client gets no bytes and no hang, the target hears of
//! nothing, and each program says why, as the client and as the server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::ends::{Adit, BOTH_ROLES, End, listening};
use crate::support::http::get;
use crate::support::pki::Authority;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::target;
use crate::support::wait::eventually;

/// A client and a server, each adit or gost.
struct Pair {
    entrance: SocketAddr,
    client: Process,
    server: Process,
    /// Of the one that is adit.
    admin: SocketAddr,
    /// Connections to the target.
    reached: Arc<AtomicUsize>,
}

/// `PROTOCOL+TRANSPORT://USER@` of the two ends, and what follows the port.
struct Urls<'a> {
    scheme: &'a str,
    server: (&'a str, &'a str),
    client: (&'a str, &'a str),
}

/// What is said of a refusal. Empty: nothing that tells it from others.
struct Says<'a> {
    /// By adit, as the client and as the server.
    adit: (&'a str, &'a str),
    gost: (&'a str, &'a str),
    /// The server's metric that counts it once, with a label.
    counts: (&'a str, &'a str),
}

/// A target that answers each byte, and how many connections it has had.
fn counted() -> (SocketAddr, Arc<AtomicUsize>) {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = reached.clone();
    let addr = target(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        let mut reader = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut reader, &mut stream);
    });
    (addr, reached)
}

impl Pair {
    fn start(client: End, server: End, urls: &Urls) -> Self {
        let (port, entrance, (target, reached)) = (ports::free(), ports::free(), counted());
        let admin = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let url = |(user, query): (&str, &str)| {
            format!("{}://{user}127.0.0.1:{port}?path=/x{query}", urls.scheme)
        };
        let start = |end: End, mut args: Vec<String>| {
            if end == Adit {
                args.extend(["--admin".to_string(), admin.to_string()]);
            }
            end.start(&args)
        };
        let server = start(server, vec!["-L".into(), url(urls.server)]);
        listening(port);
        let local = format!("tcp://127.0.0.1:{entrance}/{target}");
        let client = start(client, vec!["-L".into(), local, "-F".into(), url(urls.client)]);
        Self { entrance: listening(entrance), client, server, admin, reached }
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

    /// The sum of a metric's samples with this label.
    fn metric(&self, name: &str, label: &str) -> f64 {
        let text = get(self.admin, "/metrics").unwrap().text();
        let samples = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

/// No bytes, in both roles, and what is said of it at each end.
fn refused(urls: &Urls, says: &Says) {
    for (client, server) in BOTH_ROLES {
        let what = format!("{client:?} to {server:?} over {}", urls.scheme);
        let pair = Pair::start(client, server, urls);
        assert!(!pair.carries(), "{what}");
        assert_eq!(pair.reached.load(Ordering::SeqCst), 0, "{what}: the target was reached");
        let of = |end: End| if end == Adit { says.adit } else { says.gost };
        pair.client.prints(of(client).0);
        pair.server.prints(of(server).1);
        let (name, label) = says.counts;
        if server == Adit {
            eventually(&format!("{what}: {name} {label} is 1"), Duration::from_secs(20), || {
                pair.metric(name, label) == 1.0
            });
        }
    }
}

/// Bytes, in both roles.
fn carried(urls: &Urls) {
    for (client, server) in BOTH_ROLES {
        let pair = Pair::start(client, server, urls);
        assert!(pair.carries(), "{client:?} to {server:?} over {}", urls.scheme);
        assert_eq!(pair.reached.load(Ordering::SeqCst), 1);
    }
}

const HANDSHAKES: &str = "adit_handshakes_total";

#[test]
fn a_path_with_any_letters_is_the_same_to_both() {
    for scheme in ["http+ws", "relay+mwss"] {
        let path = ("", "/caf%C3%A9-~!(1)");
        carried(&Urls { scheme, server: path, client: path });
    }
}

#[test]
fn a_wrong_path_is_a_404() {
    for scheme in ["http+ws", "http+wss", "http+mws", "socks5+mwss", "relay+ws"] {
        let urls = Urls { scheme, server: ("", "y"), client: ("", "z") };
        refused(
            &urls,
            &Says {
                adit: ("answered the WebSocket handshake with status 404; check path and host", ""),
                gost: ("websocket: bad handshake", ""),
                counts: (HANDSHAKES, "result=\"not_found\""),
            },
        );
    }
}

#[test]
fn another_version_of_the_multiplexing_is_no_session() {
    for scheme in ["http+mws", "socks5+mwss", "relay+mws"] {
        for (ours, theirs) in [("1", "2"), ("2", "1")] {
            let (server, client) =
                (format!("&mux.version={ours}"), format!("&mux.version={theirs}"));
            let urls = Urls { scheme, server: ("", &server), client: ("", &client) };
            refused(
                &urls,
                &Says {
                    adit: (
                        "is mux.version the same on both ends?",
                        "set mux.version to the same value on both ends",
                    ),
                    gost: ("", "accept stream: invalid protocol"),
                    counts: (HANDSHAKES, "result=\"ok\""),
                },
            );
        }
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
        refused(
            &urls,
            &Says {
                adit: ("signed by an unknown CA; set caFile to that CA", "refuses our certificate"),
                gost: ("x509: certificate signed by unknown authority", ""),
                counts: (HANDSHAKES, "result=\"tls_failed\""),
            },
        );
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
    refused(
        &urls,
        &Says {
            adit: (
                "for other names; set serverName to one of its names",
                "refuses our certificate",
            ),
            gost: ("x509: certificate is valid for localhost, server, not example.com", ""),
            counts: (HANDSHAKES, "result=\"tls_failed\""),
        },
    );
}

#[test]
fn an_expired_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let leaf = authority.expired("server");
    let server = format!("&cert={}&key={}", leaf.cert, leaf.key);
    let client = format!("&ca={}", authority.ca);
    for scheme in ["http+wss", "relay+mwss"] {
        let urls = Urls { scheme, server: ("", &server), client: ("", &client) };
        refused(
            &urls,
            &Says {
                adit: ("the peer's certificate has expired; renew it", "refuses our certificate"),
                gost: ("x509: certificate has expired or is not yet valid", ""),
                counts: (HANDSHAKES, "result=\"tls_failed\""),
            },
        );
    }
}

#[test]
fn a_client_without_a_certificate_is_refused_where_one_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) =
        (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "other"));
    let (leaf, own, foreign) = (ours.leaf("server"), ours.leaf("client"), other.leaf("foreign"));
    let expired = ours.expired("late");
    let server = format!("&cert={}&key={}&ca={}", leaf.cert, leaf.key, ours.ca);
    for scheme in ["http+wss", "http+mwss", "http+tls"] {
        let right = format!("&cert={}&key={}", own.cert, own.key);
        carried(&Urls { scheme, server: ("", &server), client: ("", &right) });
        for (shown, of_adit, of_gost, said) in [
            (
                None,
                "the peer demands a client certificate; set certFile and keyFile",
                "remote error: tls: certificate required",
                "the client showed no certificate, and caFile demands one",
            ),
            // gost's client shows none that the server's CA has not signed.
            (
                Some(&foreign),
                "our certificate",
                "remote error: tls: certificate required",
                "the client showed no certificate, and caFile demands one",
            ),
            (
                Some(&expired),
                "our certificate",
                "remote error: tls: expired certificate",
                "the peer's certificate has expired",
            ),
        ] {
            let client = shown.map(|leaf| format!("&cert={}&key={}", leaf.cert, leaf.key));
            let client = client.unwrap_or_default();
            let urls = Urls { scheme, server: ("", &server), client: ("", &client) };
            refused(
                &urls,
                &Says {
                    adit: (of_adit, said),
                    gost: (of_gost, ""),
                    counts: (HANDSHAKES, "result=\"tls_failed\""),
                },
            );
        }
    }
}

#[test]
fn a_wrong_password_is_refused() {
    // What gost says of a wrong one as the client and as the server, and of none.
    for (scheme, wrong, none) in [
        ("http+ws", ("407 Proxy Authentication", "authentication failed"), None),
        ("http+mws", ("407 Proxy Authentication", "authentication failed"), None),
        ("socks5+ws", ("auth failure", "auth failure"), Some(("bad method", ""))),
        ("socks5+mws", ("auth failure", "auth failure"), Some(("bad method", ""))),
        ("relay+ws", ("", "relay: unauthorized"), None),
        ("relay+mwss", ("", "relay: unauthorized"), None),
    ] {
        carried(&Urls { scheme, server: ("u:p@", ""), client: ("u:p@", "") });
        for (user, gost) in [("u:wrong@", wrong), ("other:p@", wrong), ("", none.unwrap_or(wrong))]
        {
            let urls = Urls { scheme, server: ("u:p@", ""), client: (user, "") };
            let adit = if user.is_empty() { "missing credentials" } else { "wrong credentials" };
            refused(
                &urls,
                &Says {
                    adit: ("check the connector's auth", adit),
                    gost,
                    counts: ("adit_auth_failures_total", ""),
                },
            );
        }
    }
}
