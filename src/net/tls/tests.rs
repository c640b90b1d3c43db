use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::config::model::{
    Certificate, ChainError, ClientTls, KeyError, PairError, Pem, ServerTls, TlsVersion,
};
use crate::io::{AsyncIo, BoxIo};

/// A CA of a test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, rand::random::<u64>().to_string());
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Pem {
        pem(&self.0.pem())
    }

    pub(crate) fn sign(&self, name: &str) -> Certificate {
        self.sign_until(name, 4000)
    }

    fn sign_until(&self, name: &str, year: i32) -> Certificate {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.0).unwrap();
        Certificate { chain: pem(&signed.pem()), key: pem(&key.serialize_pem()) }
    }
}

fn pem(text: &str) -> Pem {
    Pem::new(text.as_bytes().into())
}

/// Shakes hands; the client's outcome is that of its first read.
async fn shake(
    client: &TlsClient,
    server: &TlsServer,
) -> (Result<AsyncIo, TlsError>, Result<AsyncIo, TlsError>) {
    let (near, far) = duplex(64 * 1024);
    let accepting = async {
        let io = accept(AsyncIo::new(far), |_| Some(server.clone())).await?;
        let mut io = AsyncIo::new(Box::new(io) as BoxIo);
        io.write_all(b"!").await.unwrap();
        io.flush().await.unwrap();
        Ok(io)
    };
    let connecting = async {
        let mut io = AsyncIo::new(client.connect(Box::new(near)).await?);
        match io.read_u8().await {
            Ok(_) => Ok(io),
            Err(e) => Err(*e.into_inner().unwrap().downcast::<TlsError>().unwrap()),
        }
    };
    let both = async { tokio::join!(connecting, accepting) };
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap()
}

fn server(tls: ServerTls) -> TlsServer {
    TlsServer::build(&tls).unwrap()
}

fn client(tls: ClientTls) -> TlsClient {
    TlsClients::default().build("", &tls).unwrap()
}

fn with(certificate: Certificate) -> ServerTls {
    ServerTls { certificate: Some(certificate), ..Default::default() }
}

fn named(name: &str) -> ClientTls {
    ClientTls { server_name: Some(name.into()), ..Default::default() }
}

async fn outcome(client_tls: ClientTls, server_tls: ServerTls) -> (String, String) {
    let (near, far) = shake(&client(client_tls), &server(server_tls)).await;
    let told = |end: Result<AsyncIo, TlsError>| end.map_or_else(|e| e.to_string(), |_| "ok".into());
    (told(near), told(far))
}

#[tokio::test]
async fn without_secure_nothing_is_verified() {
    let expired = with(Authority::new().sign_until("other.example.com", 2000));
    assert_eq!(outcome(named("a.example.com"), expired).await, ("ok".into(), "ok".into()));
    let itself = ServerTls::default();
    assert_eq!(outcome(ClientTls::default(), itself).await, ("ok".into(), "ok".into()));
}

#[tokio::test]
async fn a_ca_alone_verifies_the_chain_and_not_the_name() {
    let ca = Authority::new();
    let tls = ClientTls { ca: Some(ca.pem()), ..named("other.example.com") };
    assert_eq!(outcome(tls.clone(), with(ca.sign("a.example.com"))).await.0, "ok");
    let (near, far) = outcome(tls.clone(), with(Authority::new().sign("a.example.com"))).await;
    assert!(near.contains("unknown CA; set caFile"), "{near}");
    assert!(far.contains("does not know the CA"), "{far}");
    let (near, far) = outcome(tls, with(ca.sign_until("a.example.com", 2000))).await;
    assert!(near.contains("has expired"), "{near}");
    assert!(far.contains("our certificate has expired"), "{far}");
}

#[tokio::test]
async fn secure_verifies_the_name_too() {
    let ca = Authority::new();
    let tls = ClientTls { ca: Some(ca.pem()), secure: true, ..named("a.example.com") };
    assert_eq!(outcome(tls.clone(), with(ca.sign("a.example.com"))).await.0, "ok");
    let (near, _) = outcome(tls, with(ca.sign("b.example.com"))).await;
    assert!(near.contains("set serverName"), "{near}");
    let by_address = ClientTls { ca: Some(ca.pem()), secure: true, ..named("127.0.0.1") };
    assert_eq!(outcome(by_address, with(ca.sign("127.0.0.1"))).await.0, "ok");
}

#[tokio::test]
async fn a_self_signed_certificate_of_a_ca_is_trusted_where_it_is_the_ca() {
    let mut params = CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let chain = pem(&params.self_signed(&key).unwrap().pem());
    let own = Certificate { chain: chain.clone(), key: pem(&key.serialize_pem()) };
    let tls = |name: &str| ClientTls { ca: Some(chain.clone()), secure: true, ..named(name) };
    assert_eq!(outcome(tls("a.example.com"), with(own.clone())).await.0, "ok");
    let (near, _) = outcome(tls("b.example.com"), with(own.clone())).await;
    assert!(near.contains("set serverName"), "{near}");
    let both = ServerTls { client_ca: Some(chain.clone()), ..with(own.clone()) };
    let shown = ClientTls { certificate: Some(own), ..tls("a.example.com") };
    assert_eq!(outcome(shown, both).await, ("ok".into(), "ok".into()));
}

#[tokio::test]
async fn a_client_ca_lets_nobody_in_without_its_certificate() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let tls = ServerTls { client_ca: Some(clients.pem()), ..with(ca.sign("a.example.com")) };
    let shown = |by: &Authority, year| ClientTls {
        certificate: Some(by.sign_until("client", year)),
        ..named("a.example.com")
    };
    assert_eq!(outcome(shown(&clients, 4000), tls.clone()).await, ("ok".into(), "ok".into()));
    let (near, far) = outcome(named("a.example.com"), tls.clone()).await;
    assert!(near.contains("set certFile and keyFile"), "{near}");
    assert!(far.contains("the client showed no certificate"), "{far}");
    let (near, far) = outcome(shown(&Authority::new(), 4000), tls.clone()).await;
    assert!(near.contains("does not know the CA of our certificate"), "{near}");
    assert!(far.contains("unknown CA"), "{far}");
    let (near, far) = outcome(shown(&clients, 2000), tls.clone()).await;
    assert!(near.contains("our certificate has expired"), "{near}");
    assert!(far.contains("has expired"), "{far}");
    let old = ServerTls { max_version: Some(TlsVersion::Tls12), ..tls };
    let (near, _) = outcome(named("a.example.com"), old).await;
    assert!(near.contains("certFile and keyFile") || near.contains("client certificate"), "{near}");
}

#[tokio::test]
async fn versions_suites_and_protocols_must_meet() {
    let old = ClientTls { max_version: Some(TlsVersion::Tls12), ..Default::default() };
    let new = ServerTls { min_version: Some(TlsVersion::Tls13), ..Default::default() };
    let (near, far) = outcome(old.clone(), new).await;
    assert!(near.contains("minVersion"), "{near}");
    assert!(far.contains("minVersion"), "{far}");
    let suite = |name: &str| vec![name.to_owned()];
    let aes = ClientTls { cipher_suites: suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"), ..old };
    let chacha = ServerTls {
        cipher_suites: suite("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        ..Default::default()
    };
    let (near, far) = outcome(aes.clone(), chacha).await;
    assert!(near.contains("cipherSuites"), "{near}");
    assert!(far.contains("cipherSuites"), "{far}");
    assert_eq!(outcome(aes, ServerTls::default()).await.0, "ok");
    let speaks = ClientTls { alpn: vec!["http/1.1".into()], ..Default::default() };
    let hears = ServerTls { alpn: vec!["h2".into()], ..Default::default() };
    let (near, far) = outcome(speaks, hears).await;
    assert!(near.contains("alpn"), "{near}");
    assert!(far.contains("alpn"), "{far}");
}

#[tokio::test]
async fn unknown_names_are_rejected_where_it_is_asked_for() {
    let strict = ServerTls {
        reject_unknown_sni: true,
        server_names: vec!["a.example.com".into()],
        ..Default::default()
    };
    assert_eq!(outcome(named("A.example.com"), strict.clone()).await.0, "ok");
    for tls in [named("b.example.com"), ClientTls::default(), named("127.0.0.1")] {
        let (near, far) = outcome(tls, strict.clone()).await;
        assert!(near.contains("check serverName"), "{near}");
        assert!(far.contains("not served here"), "{far}");
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let ca = Authority::new();
    let (one, other) = (ca.sign("a.example.com"), ca.sign("a.example.com"));
    let mixed = Certificate { key: other.key, ..one.clone() };
    assert!(matches!(
        TlsServer::build(&with(mixed)),
        Err(TlsError::Pair(PairError::Key(KeyError::Mismatch)))
    ));
    let keyless = Certificate { key: pem("none"), ..one };
    assert!(matches!(
        TlsServer::build(&with(keyless)),
        Err(TlsError::Pair(PairError::Key(KeyError::Missing)))
    ));
    let empty = ServerTls { client_ca: Some(pem("")), ..Default::default() };
    assert!(matches!(TlsServer::build(&empty), Err(TlsError::Authorities(ChainError::Missing))));
    let wrong = named("not a name");
    assert!(matches!(TlsClient::check(&wrong), Err(TlsError::ServerName(_))));
    let built = TlsClients::default().build("", &wrong);
    assert!(matches!(built, Err(TlsError::ServerName(_))));
    let suite = ServerTls {
        cipher_suites: vec!["TLS_RSA_WITH_RC4_128_SHA".into()],
        max_version: Some(TlsVersion::Tls12),
        ..Default::default()
    };
    assert!(matches!(TlsServer::build(&suite), Err(TlsError::NoSuite)));
}

#[tokio::test]
async fn a_plain_peer_is_told_apart() {
    let (near, mut far) = duplex(1024);
    let answer = async {
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        far
    };
    let tls = client(ClientTls::default());
    let (near, _) = tokio::join!(tls.connect(Box::new(near)), answer);
    assert!(near.err().unwrap().to_string().contains("does not speak TLS"));
}

#[tokio::test]
async fn a_client_that_speaks_http_is_answered_in_http() {
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\n\r\n", "PUT"] {
        let (mut near, far) = duplex(1024);
        near.write_all(request.as_bytes()).await.unwrap();
        let asking = async {
            let mut answer = String::new();
            near.read_to_string(&mut answer).await.unwrap();
            drop(near);
            answer
        };
        let (answer, far) = tokio::join!(asking, accept(AsyncIo::new(far), |_| None));
        assert!(matches!(far, Err(TlsError::PlainHttp)), "{request}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{answer}");
        assert!(body.contains("this port speaks TLS"), "{answer}");
    }
}

#[test]
fn no_message_of_a_handshake_is_a_name_of_the_library() {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error, OtherError};
    let other = |error| Bad::Other(OtherError(Arc::new(error)));
    for error in [
        Error::InvalidCertificate(Bad::UnknownIssuer),
        Error::InvalidCertificate(Bad::BadEncoding),
        Error::InvalidCertificate(other(webpki::Error::UnsupportedCertVersion)),
        Error::InvalidCertificate(other(webpki::Error::CaUsedAsEndEntity)),
        Error::InvalidCertificate(other(webpki::Error::PathLenConstraintViolated)),
        Error::AlertReceived(Alert::HandshakeFailure),
        Error::AlertReceived(Alert::BadCertificate),
    ] {
        let error = TlsError::Handshake(error);
        let text = error.to_string();
        assert!(std::error::Error::source(&error).is_none(), "{text}");
        assert!(!text.contains(['(', ')']), "{text}");
    }
}

#[tokio::test]
async fn a_half_closed_client_still_gets_the_reply_and_no_fin_before_the_end() {
    let (client, server) = (client(ClientTls::default()), server(ServerTls::default()));
    let (near, far) = shake(&client, &server).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = String::new();
    far.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "question");
    far.write_all(b"answer").await.unwrap();
    far.shutdown().await.unwrap();
    heard.clear();
    near.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "answer");
}

#[tokio::test]
async fn a_peer_that_goes_without_close_notify_has_ended() {
    let (near, far) = duplex(64 * 1024);
    let (client, server) = (client(ClientTls::default()), server(ServerTls::default()));
    let (near, far) = tokio::join!(
        client.connect(Box::new(near)),
        accept(AsyncIo::new(far), |_| Some(server.clone()))
    );
    drop(far);
    let mut rest = Vec::new();
    assert_eq!(AsyncIo::new(near.unwrap()).read_to_end(&mut rest).await.unwrap(), 0);
}

#[tokio::test]
async fn bulk_passes_in_both_directions() {
    let (client, server) = (client(ClientTls::default()), server(ServerTls::default()));
    let (near, far) = shake(&client, &server).await;
    let sent: Arc<[u8]> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    for (from, to) in [(near.unwrap(), far.unwrap())] {
        let (mut from, mut to) = (from, to);
        for _ in 0..2 {
            let mut heard = vec![0; sent.len()];
            let write = async {
                from.write_all(&sent).await.unwrap();
                from.flush().await.unwrap();
            };
            tokio::join!(write, async { to.read_exact(&mut heard).await.map(drop).unwrap() });
            assert!(heard == *sent);
            std::mem::swap(&mut from, &mut to);
        }
    }
}

/// Whether a second handshake took up the session of the first.
async fn resumes(client: &TlsClient, first: &TlsServer, second: &TlsServer) -> bool {
    let mut kinds = Vec::new();
    for server in [first, second] {
        let (near, far): (DuplexStream, DuplexStream) = duplex(64 * 1024);
        let accepting = async {
            let mut io = accept(AsyncIo::new(far), |_| Some(server.clone())).await.unwrap();
            io.write_all(b"!").await.unwrap();
            io.flush().await.unwrap();
            io
        };
        let connecting = async {
            let mut io = AsyncIo::new(client.connect(Box::new(near)).await.unwrap());
            io.read_u8().await.unwrap();
            io
        };
        let (_near, far) = tokio::join!(connecting, accepting);
        kinds.push(far.get_ref().1.handshake_kind().unwrap());
    }
    kinds[1] == rustls::HandshakeKind::Resumed
}

#[tokio::test]
async fn a_ticket_counts_only_where_it_was_given() {
    let tls = with(Authority::new().sign("a.example.com"));
    for max_version in [None, Some(TlsVersion::Tls12)] {
        let client = client(ClientTls { max_version, ..named("a.example.com") });
        let one = server(tls.clone());
        assert!(resumes(&client, &one, &one.clone()).await);
        assert!(!resumes(&client, &one, &server(tls.clone())).await);
    }
}

#[tokio::test]
async fn a_ticket_from_before_the_client_ca_changed_does_not_open_the_door() {
    let certificate = Authority::new().sign("a.example.com");
    let open = server(with(certificate.clone()));
    let clients = Authority::new();
    let closed = server(ServerTls { client_ca: Some(clients.pem()), ..with(certificate) });
    let client = client(named("a.example.com"));
    assert!(resumes(&client, &open, &open).await);
    let (near, far) = shake(&client, &closed).await;
    assert!(near.is_err());
    assert!(matches!(far, Err(TlsError::Handshake(rustls::Error::NoCertificatesPresented))));
}

#[tokio::test]
async fn the_cheapest_suite_is_chosen_whoever_chooses() {
    use rustls::CipherSuite::{TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256};
    for (max_version, expected) in [
        (None, TLS13_AES_128_GCM_SHA256),
        (Some(TlsVersion::Tls12), TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ] {
        let client = client(ClientTls { max_version, ..Default::default() });
        let server = server(ServerTls::default());
        let (near, far) = duplex(64 * 1024);
        let (_near, far) = tokio::join!(
            client.connect(Box::new(near)),
            accept(AsyncIo::new(far), |_| Some(server.clone()))
        );
        let far = far.unwrap();
        let suite = far.get_ref().1.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite, expected);
    }
}
