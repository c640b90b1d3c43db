//! TLS of listeners and dialers.

mod pair;
mod validity;

use std::sync::Arc;

use jiff::Timestamp;

use crate::base::Secret;

pub use pair::{ChainError, KeyError, PairError, certificates, is_version_1};

/// The bytes of a PEM file or of a Secret's value.
pub type Pem = Secret<Arc<[u8]>>;

/// `listener.tls`: what a server shows and asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// `certFile` and `keyFile`, or a Secret's `tls.crt` and `tls.key`.
    pub certificate: Option<Certificate>,
    /// What the class has for listeners without one, where neither it nor another listener on its
    /// host says anything else. `None`: self-signed, made when the process starts.
    pub default_certificate: Option<Certificate>,
    /// `caFile`: clients must show a certificate that one of these signed.
    pub client_ca: Option<Pem>,
    /// `options.minVersion`, TLS 1.2 by default.
    pub min_version: Option<TlsVersion>,
    /// `options.maxVersion`, TLS 1.3 by default.
    pub max_version: Option<TlsVersion>,
    /// `options.cipherSuites` by Go's names, of those that we have; they matter to TLS 1.2 only.
    /// Empty is all.
    pub cipher_suites: Vec<String>,
    /// `options.alpn`, in order of preference; empty offers none.
    pub alpn: Vec<String>,
    /// `rejectUnknownSNI`: without a server name, or with one not in `server_names`, no handshake.
    pub reject_unknown_sni: bool,
    /// `serverNames`; empty is any, lower case.
    pub server_names: Vec<String>,
}

impl ServerTls {
    /// Whether the listener says anything about TLS. One that does not has the policy of the others
    /// on its host, and shows its class's certificate, or a self-signed one, where it is alone.
    pub fn is_own(&self) -> bool {
        match self.default_certificate {
            None => *self != Self::default(),
            Some(_) => Self { default_certificate: None, ..self.clone() } != Self::default(),
        }
    }

    /// What it shows; `None` is self-signed.
    pub fn shown(&self) -> Option<&Certificate> {
        self.certificate.as_ref().or(self.default_certificate.as_ref())
    }

    /// What it asks of clients, whatever it shows itself.
    #[must_use]
    pub fn demands(&self) -> Self {
        Self { certificate: None, default_certificate: None, ..self.clone() }
    }
}

/// A certificate chain and its key, both PEM. Lowering has seen that they belong together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// The chain, the leaf first.
    pub chain: Pem,
    /// The key.
    pub key: Pem,
}

impl Certificate {
    /// When the leaf ends. `None` if it is no certificate, which a handshake says better.
    pub fn ends(&self) -> Option<Timestamp> {
        validity::not_after(&self.chain)
    }
}

/// `dialer.tls`: what a client expects and shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTls {
    /// `serverName`, or the host of the node's address: SNI, and the name that `secure` verifies.
    /// An IP address sends no SNI.
    pub server_name: Option<String>,
    /// `secure`: verify the certificate and its name. GOST's default is no.
    pub secure: bool,
    /// `caFile`: these instead of the system's roots. Without `secure` the chain is verified and
    /// the name is not, as in GOST.
    pub ca: Option<Pem>,
    /// `certFile` and `keyFile`: shown to a server that asks.
    pub certificate: Option<Certificate>,
    /// `options.minVersion`.
    pub min_version: Option<TlsVersion>,
    /// `options.maxVersion`.
    pub max_version: Option<TlsVersion>,
    /// `options.cipherSuites`, as in [`ServerTls`].
    pub cipher_suites: Vec<String>,
    /// `options.alpn`.
    pub alpn: Vec<String>,
}

/// The versions that rustls speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsVersion {
    /// `VersionTLS12`.
    Tls12,
    /// `VersionTLS13`.
    Tls13,
}
