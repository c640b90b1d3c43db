//! Who comes in over TLS: rustls as a client that says any name, shows a certificate or none, and
//! keeps its tickets.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme,
    StreamOwned, SupportedProtocolVersion, version,
};

use super::run::Run;
use crate::support::pki::{Authority, Leaf};
use crate::support::ports;
use crate::support::wait::eventually;

const WITHIN: Duration = Duration::from_secs(20);
const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// Takes every certificate: what is shown is looked at afterwards.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A client; its connections share the sessions that can be resumed.
#[derive(Clone)]
struct Client(Arc<ClientConfig>);

impl Client {
    fn new(version: &'static SupportedProtocolVersion, shows: Option<&Leaf>) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
        let config = match shows {
            Some(leaf) => {
                let chain = vec![CertificateDer::from_pem_file(&leaf.cert).unwrap()];
                let key = PrivateKeyDer::from_pem_file(&leaf.key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        Self(Arc::new(config))
    }

    /// Connects and says `name`, or none. The handshake has not begun.
    fn connect(&self, addr: SocketAddr, name: Option<&str>) -> Connection {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(WITHIN)).unwrap();
        // For an address no name is sent.
        let nameless = || ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
        let name =
            name.map_or_else(nameless, |name| ServerName::try_from(name.to_owned()).unwrap());
        let session = ClientConnection::new(self.0.clone(), name).unwrap();
        Connection(StreamOwned::new(session, socket))
    }
}

struct Connection(StreamOwned<ClientConnection, TcpStream>);

impl Connection {
    /// Asks for an upgrade; the status of the answer, or `None` if the handshake was refused.
    fn asks(&mut self, host: &str, path: &str) -> Option<u16> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        // With TLS 1.3 the refusal comes after our last word.
        let written = self.0.write_all(request.as_bytes()).and_then(|()| self.0.flush());
        match written.and_then(|()| self.answer()) {
            Ok(answer) => Some(answer.split(' ').nth(1).unwrap().parse().unwrap()),
            Err(e) => {
                assert_ne!(e.kind(), ErrorKind::WouldBlock, "it hangs");
                assert!(!self.0.conn.is_handshaking() || e.kind() != ErrorKind::NotConnected);
                None
            }
        }
    }

    /// An answer with its body, so that what comes next is another one.
    fn answer(&mut self) -> std::io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; len.map_or(0, |len| len.parse().unwrap())];
        self.0.read_exact(&mut body)?;
        Ok(head)
    }

    fn resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that was shown.
    fn shown(&self) -> CertificateDer<'static> {
        self.0.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

fn is(leaf: &Leaf) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&leaf.cert).unwrap()
}

/// A service: an HTTP proxy behind a wss listener.
fn service(name: &str, port: u16, hosts: &str, tls: &str) -> String {
    format!(
        "- {{name: {name}, addr: '127.0.0.1:{port}', hostnames: [{hosts}], handler: {{type: http}},\n\
         \x20  listener: {{type: wss, tls: {{{tls}}}, metadata: {{path: /{name}}}}}}}\n"
    )
}

fn files(leaf: &Leaf, ca: Option<&Authority>) -> String {
    let ca = ca.map(|ca| format!(", caFile: {}", ca.ca)).unwrap_or_default();
    format!("certFile: {}, keyFile: {}{ca}", leaf.cert, leaf.key)
}

#[test]
fn a_request_comes_in_only_under_the_policy_of_its_service() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new(folder.path(), "ca");
    let [open, closed, wild] = ["open.test", "closed.test", "wild.test"].map(|name| ca.leaf(name));
    let own = ca.leaf("client");
    let port = ports::free();
    let services = [
        "services:\n".to_string(),
        service("open", port, "open.test", &files(&open, None)),
        service("closed", port, "closed.test", &files(&closed, Some(&ca))),
        // It says nothing about TLS: its host's policy is its own too.
        service("second", port, "closed.test", ""),
        service("wild", port, "'*.wild.test'", &files(&wild, None)),
    ];
    let _run = Run::start(&services.concat());
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let (some, none) = (Some(()), None);
    for (sni, shows, host, path, answer) in [
        (Some("open.test"), none, "open.test", "/open", Some(101)),
        (Some("open.test"), none, "OPEN.test.:443", "/open", Some(101)),
        (Some("open.test"), none, "other.test", "/open", Some(404)),
        (Some("closed.test"), some, "closed.test", "/closed", Some(101)),
        (Some("closed.test"), some, "closed.test", "/second", Some(101)),
        (Some("a.wild.test"), none, "b.wild.test", "/wild", Some(101)),
        // Nobody comes to what asks for a certificate without one:
        (Some("closed.test"), none, "closed.test", "/closed", None),
        (Some("closed.test"), none, "closed.test", "/second", None),
        // not through the name of a service that asks for none,
        (Some("open.test"), none, "closed.test", "/closed", Some(421)),
        (Some("open.test"), none, "closed.test", "/second", Some(421)),
        (Some("open.test"), some, "closed.test", "/closed", Some(421)),
        (Some("a.wild.test"), none, "closed.test", "/closed", Some(421)),
        // not without a name, as gost's clients come to an address, and not with an unknown one.
        (None, none, "closed.test", "/closed", Some(421)),
        (None, some, "closed.test", "/second", Some(421)),
        (Some("unknown.test"), none, "closed.test", "/closed", Some(421)),
        // The other way round it is another policy too.
        (Some("closed.test"), some, "open.test", "/open", Some(421)),
        (Some("open.test"), none, "a.wild.test", "/wild", Some(421)),
        (None, none, "open.test", "/open", Some(101)),
    ] {
        for version in VERSIONS {
            let client = Client::new(version, shows.map(|()| &own));
            let mut connection = client.connect(addr, sni);
            let what = format!("{sni:?} {shows:?} {host}{path} {version:?}");
            assert_eq!(connection.asks(host, path), answer, "{what}");
            if answer.is_some() {
                let expected = match sni {
                    Some("closed.test") => &closed,
                    Some("a.wild.test") => &wild,
                    _ => &open,
                };
                assert_eq!(connection.shown(), is(expected), "{what}");
            }
        }
    }
    // On one connection each request is judged anew.
    let mut connection = Client::new(VERSIONS[0], None).connect(addr, Some("open.test"));
    for (host, path, answer) in
        [("open.test", "/none", 404), ("open.test", "/none", 404), ("closed.test", "/closed", 421)]
    {
        assert_eq!(connection.asks(host, path), Some(answer), "{host}{path}");
    }
}

#[test]
fn a_ticket_from_before_the_client_ca_changed_lets_nobody_in_without_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| Authority::new(folder.path(), name));
    let leaf = first.leaf("a.test");
    let (of_first, of_second) = (first.leaf("of-first"), second.leaf("of-second"));
    let port = ports::free();
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let with = |ca| format!("services:\n{}", service("a", port, "", &files(&leaf, ca)));
    let run = Run::start(&with(None));
    let clients = VERSIONS.map(|version| {
        [None, Some(&of_first), Some(&of_second)].map(|shows| Client::new(version, shows))
    });
    // Answers, and whether a session was resumed.
    let asks = |client: &Client| {
        let mut connection = client.connect(addr, Some("a.test"));
        let answer = connection.asks("a.test", "/none");
        (answer, connection.resumed())
    };
    for client in clients.iter().flatten() {
        assert_eq!(asks(client), (Some(404), false));
        assert_eq!(asks(client), (Some(404), true), "without a change the ticket counts");
    }
    let mut kept = clients[0][0].connect(addr, Some("a.test"));
    assert_eq!(kept.asks("a.test", "/none"), Some(404));

    run.becomes(&with(Some(&first)));
    for [stranger, ours, theirs] in &clients {
        assert_eq!(asks(stranger), (None, false));
        assert_eq!(asks(theirs), (None, false));
        assert_eq!(asks(ours), (Some(404), false));
        assert_eq!(asks(ours), (Some(404), true));
    }
    assert_eq!(
        kept.asks("a.test", "/a"),
        Some(421),
        "a connection from before, with no certificate"
    );

    // A ticket that was earned with a certificate of another CA is no certificate of this one.
    run.becomes(&with(Some(&second)));
    for [stranger, ours, theirs] in &clients {
        assert_eq!(asks(stranger), (None, false));
        assert_eq!(asks(ours), (None, false));
        assert_eq!(asks(theirs), (Some(404), false));
    }
}

#[test]
fn certificates_are_served_anew_and_a_broken_pair_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new(folder.path(), "ca");
    let (old, new) = (ca.leaf("old"), ca.leaf("new"));
    let at = |name: &str| folder.path().join(name);
    let put = |from: &str, to: &str| {
        std::fs::copy(from, at("copy")).unwrap();
        std::fs::rename(at("copy"), at(to)).unwrap();
    };
    put(&old.cert, "tls.crt");
    put(&old.key, "tls.key");
    let port = ports::free();
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let tls =
        format!("certFile: {}, keyFile: {}", at("tls.crt").display(), at("tls.key").display());
    let more = ports::free();
    let file = |services: &[String]| format!("services:\n{}", services.concat());
    let run = Run::start(&file(&[service("a", port, "", &tls)]));
    let shown = || {
        let mut connection = Client::new(VERSIONS[0], None).connect(addr, Some("a.test"));
        assert_eq!(connection.asks("a.test", "/a"), Some(101));
        connection.shown()
    };
    assert_eq!(shown(), is(&old));

    // Half of a change: the certificate of another key. The rest of the change waits with it.
    put(&new.cert, "tls.crt");
    run.write(&file(&[service("a", port, "", &tls), service("b", more, "", &tls)]));
    run.refuses("services[0].listener.tls.keyFile: ");
    assert_eq!(shown(), is(&old));
    assert!(TcpStream::connect(("127.0.0.1", more)).is_err(), "a part of the change was taken");
    std::fs::write(at("tls.crt"), "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
        .unwrap();
    run.refuses("tls.crt\" has a certificate that cannot be read");
    assert_eq!(shown(), is(&old));

    // Whoever shook hands before the change may ask after it, as nobody is asked for more now.
    let mut between = Client::new(VERSIONS[0], None).connect(addr, Some("a.test"));
    assert_eq!(between.asks("a.test", "/none"), Some(404));
    put(&new.cert, "tls.crt");
    put(&new.key, "tls.key");
    eventually("the new certificate is shown", WITHIN, || shown() == is(&new));
    run.is_content();
    assert_eq!(between.asks("a.test", "/a"), Some(101));
    assert!(TcpStream::connect(("127.0.0.1", more)).is_ok());
}

#[test]
fn a_client_that_is_slow_over_tls_is_cut() {
    let (wss, tls) = (ports::free(), ports::free());
    let text = format!(
        "services:\n\
         - {{name: a, addr: '127.0.0.1:{wss}', handler: {{type: http}},\n\
         \x20  listener: {{type: wss, metadata: {{path: /a, readHeaderTimeout: 1s}}}}}}\n\
         - {{name: b, addr: '127.0.0.1:{tls}', handler: {{type: http}}, listener: {{type: tls}}}}\n"
    );
    let run = Run::start(&text);
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let hello = {
        let name = ServerName::try_from("a.test").unwrap();
        let mut session = ClientConnection::new(Client::new(VERSIONS[0], None).0, name).unwrap();
        let mut bytes = Vec::new();
        session.write_tls(&mut bytes).unwrap();
        bytes
    };
    let ends = |what: &str, most: u64, stream: &mut dyn Read| {
        let began = Instant::now();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut Vec::new());
        assert!(began.elapsed() < Duration::from_secs(most), "{what}: {:?}", began.elapsed());
    };
    std::thread::scope(|scope| {
        for (what, sent) in [("silent", &b""[..]), ("half a hello", &hello[..hello.len() / 2])] {
            for (port, most) in [(wss, 6), (tls, 16)] {
                scope.spawn(move || {
                    let mut stream = TcpStream::connect(loopback(port)).unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                    stream.write_all(sent).unwrap();
                    ends(what, most, &mut stream);
                });
            }
        }
        for half in ["", "GET /a HTTP/1.1\r\nHost: a\r\n"] {
            scope.spawn(move || {
                let mut connection = Client::new(VERSIONS[0], None).connect(loopback(wss), None);
                while connection.0.conn.is_handshaking() {
                    connection.0.conn.complete_io(&mut connection.0.sock).unwrap();
                }
                connection.0.write_all(half.as_bytes()).unwrap();
                connection.0.flush().unwrap();
                ends("no request", 6, &mut connection.0);
            });
        }
        // A byte now and then is no progress.
        scope.spawn(|| {
            let mut stream = TcpStream::connect(loopback(wss)).unwrap();
            let began = Instant::now();
            for byte in &hello {
                if stream.write_all(&[*byte]).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
                assert!(began.elapsed() < Duration::from_secs(6), "it may dribble");
            }
        });
    });
    eventually("they are counted", WITHIN, || {
        run.metric("adit_handshakes_total", "result=\"timeout\"") == 7.0
    });
}

#[test]
fn a_certificate_that_nobody_can_verify_is_flagged() {
    let port = ports::free();
    let run = Run::start(&format!("services:\n{}", service("a", port, "", "")));
    run.adit.prints("no certificate is given: a self-signed one is made at every start");
    let mut connection =
        Client::new(VERSIONS[0], None).connect(([127, 0, 0, 1], port).into(), None);
    assert_eq!(connection.asks("a", "/a"), Some(101));
}
