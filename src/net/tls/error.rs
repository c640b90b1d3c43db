//! What goes wrong with TLS, and what to do about it.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::config::model::{ChainError, PairError, is_version_1};

/// A TLS configuration that cannot be used, or a handshake that failed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate and a key that cannot be shown.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// CAs that cannot be read.
    #[error("caFile {0}")]
    Authorities(ChainError),
    /// Versions or cipher suites of which none is left.
    #[error("no TLS version is left between minVersion and maxVersion")]
    NoVersion,
    /// Only suites that rustls does not have, and no TLS 1.3.
    #[error(
        "none of the cipherSuites is known: use Go's names of ECDHE suites with AES-GCM or ChaCha20"
    )]
    NoSuite,
    /// `secure` without a CA, and the system has none.
    #[error("the system has no root certificates: set caFile, or SSL_CERT_FILE")]
    NoRoots,
    /// Not a name that a certificate can have.
    #[error("serverName {0:?} is not a host name")]
    ServerName(String),
    /// rustls refuses the configuration.
    #[error("the TLS configuration cannot be used")]
    Config(#[source] Error),
    /// The handshake, or a record after it, failed. The words of rustls are no source: they are the
    /// names of its types.
    #[error("TLS failed: {}", advice(.0))]
    Handshake(Error),
    /// The client speaks HTTP where the handshake is to come. It was told.
    #[error("the client speaks HTTP without TLS on a port of TLS: use https or wss")]
    PlainHttp,
    /// The stream below broke or ended.
    #[error("the connection ended in the TLS handshake; does the peer speak TLS on this port?")]
    Io(#[source] io::Error),
}

impl TlsError {
    /// The label of `adit_upstream_dial_errors_total{reason}`.
    pub fn label(&self) -> &'static str {
        "tls"
    }

    /// Logs that a client did not get in. Scanners and health checks come and go; one that was
    /// refused is worth a line.
    pub fn log(&self, peer: SocketAddr) {
        match self {
            Self::Io(_) => tracing::debug!(%peer, error = %self, "no TLS"),
            _ => tracing::info!(%peer, error = %self, "no TLS"),
        }
    }

    /// From what a handshake ended with.
    pub(super) fn of(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(tls) => Self::Handshake(tls.clone()),
            None => Self::Io(error),
        }
    }
}

/// An error of a read or write after the handshake, in the words of [`TlsError`]: with TLS 1.3 a
/// client learns only then that its certificate was refused.
pub(super) fn told(error: io::Error) -> io::Error {
    let kind = error.kind();
    match TlsError::of(error) {
        TlsError::Io(error) => error,
        tls => io::Error::new(kind, tls),
    }
}

/// What the user can do. Where we have no better words, the library's stand behind ours.
fn advice(error: &Error) -> Cow<'static, str> {
    if let Some(known) = known(error) {
        return known.into();
    }
    match error {
        Error::InvalidCertificate(why) => format!("the peer's certificate is not valid ({why:?})"),
        Error::AlertReceived(alert) => format!("the peer ended it with the alert {alert:?}"),
        _ => format!("the peer broke the protocol ({error})"),
    }
    .into()
}

fn known(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::InvalidCertificate(why) => return of_certificate(why),
        Error::AlertReceived(alert) => return of_alert(*alert),
        Error::NoCertificatesPresented => {
            "the client showed no certificate, and caFile demands one"
        }
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "no cipher suite in common; check cipherSuites"
        }
        Error::PeerIncompatible(_) => {
            "nothing in common with the peer; check minVersion, maxVersion and cipherSuites"
        }
        Error::NoApplicationProtocol => "no protocol in common; check alpn",
        Error::InvalidMessage(_) => "the peer does not speak TLS on this port",
        Error::General(_) => "the server name is not served here",
        _ => return None,
    })
}

fn of_certificate(why: &CertificateError) -> Option<&'static str> {
    Some(match why {
        CertificateError::UnknownIssuer => {
            "the peer's certificate is signed by an unknown CA; set caFile to that CA"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the peer's certificate has expired; renew it"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the peer's certificate is not valid yet; check both clocks"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the peer's certificate is for other names; set serverName to one of its names"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the peer's certificate is not for this use; check its extended key usage"
        }
        CertificateError::BadSignature => {
            "another CA of the same name signed the peer's certificate; set caFile to that CA"
        }
        CertificateError::BadEncoding => "the peer's certificate cannot be read",
        CertificateError::Revoked => "the peer's certificate is revoked; renew it",
        CertificateError::UnhandledCriticalExtension => {
            "the peer's certificate has a critical extension that is not known here"
        }
        why if is_version_1(why) => {
            "the peer's certificate is of X.509 version 1; the peer needs one of version 3"
        }
        CertificateError::Other(other) => match other.0.downcast_ref()? {
            webpki::Error::CaUsedAsEndEntity => {
                "the peer shows a certificate of a CA; set caFile to that very certificate, or issue \
                 one for the server"
            }
            webpki::Error::EndEntityUsedAsCa => {
                "a certificate in the peer's chain is not a CA's; check the order of the chain"
            }
            webpki::Error::NameConstraintViolation => {
                "the CA of the peer's certificate may not sign for this name"
            }
            webpki::Error::PathLenConstraintViolated => {
                "the chain of the peer's certificate is longer than its CA allows"
            }
            _ => return None,
        },
        _ => return None,
    })
}

fn of_alert(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::CertificateRequired => {
            "the peer demands a client certificate; set certFile and keyFile"
        }
        AlertDescription::UnknownCA => "the peer does not know the CA of our certificate",
        AlertDescription::CertificateExpired => "the peer says that our certificate has expired",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError => {
            "the peer refuses our certificate, or demands one: check certFile and keyFile, and its caFile"
        }
        AlertDescription::UnrecognisedName | AlertDescription::AccessDenied => {
            "the peer does not serve this name; check serverName"
        }
        AlertDescription::ProtocolVersion => {
            "no TLS version in common; check minVersion and maxVersion"
        }
        AlertDescription::HandshakeFailure => {
            "nothing in common with the peer; check cipherSuites, versions and client certificate"
        }
        AlertDescription::NoApplicationProtocol => "no protocol in common; check alpn",
        _ => return None,
    })
}
