//! The server's side.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::stream::BUFFERED;
use super::{TlsError, provider, verify};
use crate::config::model::ServerTls;
use crate::io::{AsyncIo, Io};

/// A stream whose handshake is done. The stream below stays within reach.
pub type ServerStream<I> = TlsStream<AsyncIo<I>>;

/// How a server shakes hands. Clones share the ticket keys; another value, built of the same
/// configuration, has its own, so a session is never resumed where it would not have been granted.
#[derive(Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    /// What it was built of, without the certificate.
    demands: Arc<ServerTls>,
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsServer")
    }
}

impl TlsServer {
    /// Whether it is the same value: sessions of one are resumed by the other.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }

    /// Whether it asks of a client what the other one asks, whatever certificate it shows itself.
    pub fn asks_as(&self, other: &Self) -> bool {
        self.demands == other.demands
    }

    /// Prepares the handshakes of a listener.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn build(tls: &ServerTls) -> Result<Self, TlsError> {
        let provider = provider::provider(&tls.cipher_suites);
        let versions = provider::versions(tls.min_version, tls.max_version, &provider)?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(TlsError::Config)?;
        let builder = match &tls.client_ca {
            Some(ca) => builder.with_client_cert_verifier(verify::of_client(ca, &provider)?),
            None => builder.with_no_client_auth(),
        };
        let pair = match tls.shown() {
            Some(certificate) => Arc::new(certificate.pair(&provider)?),
            None => self_signed()?,
        };
        let names = tls.reject_unknown_sni.then(|| tls.server_names.clone());
        let mut config = builder.with_cert_resolver(Arc::new(Shown { pair, names }));
        config.alpn_protocols = tls.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        // Tickets, and nothing kept here for each session.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new().map_err(TlsError::Config)?;
        let demands = Arc::new(tls.demands());
        Ok(Self { config: Arc::new(config), demands })
    }
}

/// For a client that speaks HTTP.
const SPEAKS_TLS: &str = "Bad Request: this port speaks TLS, use https:// or wss://\n";

/// How long a client that speaks HTTP may take to read its answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// Shakes hands on `io` with the server that `pick` chooses by the server name that the client
/// sent, in lower case and without trailing dot. Bound the time.
///
/// # Errors
/// [`TlsError`]; the client was told.
pub async fn accept<I: Io>(
    mut io: AsyncIo<I>,
    pick: impl FnOnce(Option<&str>) -> Option<TlsServer>,
) -> Result<ServerStream<I>, TlsError> {
    // A record of TLS comes first, and none begins with a letter (RFC 8446 section 5.1). Go's net/http
    // answers such a client too.
    if io.peek().await.map_err(TlsError::Io)?.first().is_some_and(u8::is_ascii_uppercase) {
        answer_in_plain(io).await;
        return Err(TlsError::PlainHttp);
    }
    let hello = LazyConfigAcceptor::new(Acceptor::default(), io).await.map_err(TlsError::of)?;
    let name = hello.client_hello().server_name().map(plain);
    let Some(server) = pick(name.as_deref()) else {
        return Err(TlsError::Handshake(rustls::Error::General("no certificate".into())));
    };
    let shaking = hello.into_stream_with(server.config, |session| {
        session.set_buffer_limit(Some(BUFFERED));
    });
    Box::pin(shaking).await.map_err(TlsError::of)
}

/// Reads on to the end, so that no reset overtakes the answer.
async fn answer_in_plain<I: Io>(mut io: AsyncIo<I>) {
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8";
    let length = SPEAKS_TLS.len();
    let answer =
        format!("{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{SPEAKS_TLS}");
    let answered = async {
        io.write_all(answer.as_bytes()).await?;
        io.shutdown().await?;
        tokio::io::copy(&mut io, &mut tokio::io::sink()).await
    };
    let _ = timeout(FAREWELL, Box::pin(answered)).await;
}

fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The one certificate, for the names that are served.
#[derive(Debug)]
struct Shown {
    pair: Arc<CertifiedKey>,
    /// `rejectUnknownSNI`: a name is demanded, one of these if there are any.
    names: Option<Vec<String>>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let served = match (&self.names, hello.server_name()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(names), Some(name)) => names.is_empty() || names.contains(&plain(name)),
        };
        served.then(|| self.pair.clone())
    }
}

/// The certificate of this process, for listeners that have none: nobody can verify it.
fn self_signed() -> Result<Arc<CertifiedKey>, TlsError> {
    static MADE: LazyLock<Option<Arc<CertifiedKey>>> =
        LazyLock::new(|| make(&provider::provider(&[])).map(Arc::new));
    let failed = || rustls::Error::General("cannot make a self-signed certificate".into());
    MADE.clone().ok_or_else(|| TlsError::Config(failed()))
}

/// ECDSA P-256, for ten years: a process that runs for long must not end its own certificate.
fn make(provider: &CryptoProvider) -> Option<CertifiedKey> {
    let mut params = CertificateParams::new(vec!["adit".to_owned()]).ok()?;
    params.distinguished_name.push(DnType::CommonName, "adit");
    params.distinguished_name.push(DnType::OrganizationName, "adit");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let year: i32 = Timestamp::now().strftime("%Y").to_string().parse().ok()?;
    params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + 10, 1, 1);
    let key = KeyPair::generate().ok()?;
    let certificate = params.self_signed(&key).ok()?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    CertifiedKey::from_der(vec![certificate.der().clone()], key, provider).ok()
}
