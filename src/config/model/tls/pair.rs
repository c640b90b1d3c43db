//! Whether a certificate chain and a private key can be shown in a handshake.

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys};

use super::{Certificate, Pem};

/// Labels of PEM sections that hold an encrypted key: PKCS #8 (RFC 5958), and the header that OpenSSL
/// puts into the older forms (RFC 1421 section 4.6.1.1).
const ENCRYPTED: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];

/// What is wrong with a chain, as a predicate of the file or key that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Not PEM.
    #[error("is not PEM")]
    NotPem,
    /// No section of a certificate.
    #[error("has no certificate (a section BEGIN CERTIFICATE)")]
    Missing,
    /// A section that holds something else.
    #[error("has a certificate that cannot be read: export it again")]
    Malformed,
    /// Version 1 has no extensions, so it names no host and no use.
    #[error(
        "has a certificate of X.509 version 1, which is not accepted: issue it again with \
         extensions (openssl x509 -req -extfile FILE), which makes it version 3"
    )]
    Version1,
}

/// What is wrong with a private key, as a predicate of the file or key that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PEM.
    #[error("is not PEM")]
    NotPem,
    /// No section of a private key.
    #[error("has no private key (a section BEGIN PRIVATE KEY)")]
    Missing,
    /// Nobody is there to type its password.
    #[error(
        "has an encrypted private key: write it without a password (openssl pkey -in FILE -out FILE)"
    )]
    Encrypted,
    /// Of a kind or length that TLS has no use for.
    #[error(
        "has a private key that is not accepted: write RSA of 2048 to 8192 bits, ECDSA on P-256, \
         P-384 or P-521, or Ed25519"
    )]
    Unusable,
    /// Another certificate's.
    #[error("has the private key of another certificate")]
    Mismatch,
}

/// Why a chain and a key are no pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The chain.
    #[error("certFile {0}")]
    Chain(ChainError),
    /// The key.
    #[error("keyFile {0}")]
    Key(KeyError),
}

impl Certificate {
    /// The pair in the form that a handshake takes.
    ///
    /// # Errors
    /// Which of both is wrong, and how.
    pub fn pair(&self, provider: &CryptoProvider) -> Result<CertifiedKey, PairError> {
        let chain = certificates(&self.chain).map_err(PairError::Chain)?;
        let key = private_key(&self.key).map_err(PairError::Key)?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                PairError::Key(KeyError::Mismatch)
            }
            Error::InvalidCertificate(error) => PairError::Chain(match is_version_1(&error) {
                true => ChainError::Version1,
                false => ChainError::Malformed,
            }),
            _ => PairError::Key(KeyError::Unusable),
        })
    }
}

/// The certificates of a PEM, at least one.
///
/// # Errors
/// There is none, or one is no PEM.
pub fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, ChainError> {
    match CertificateDer::pem_slice_iter(pem.expose()).collect::<Result<Vec<_>, _>>() {
        Ok(found) if found.is_empty() => Err(ChainError::Missing),
        Ok(found) => Ok(found),
        Err(_) => Err(ChainError::NotPem),
    }
}

/// The first private key of a PEM.
///
/// # Errors
/// There is none that can be read.
fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, KeyError> {
    let holds = |text: &&[u8]| pem.expose().windows(text.len()).any(|window| window == *text);
    if ENCRYPTED.iter().any(holds) {
        return Err(KeyError::Encrypted);
    }
    PrivateKeyDer::from_pem_slice(pem.expose()).map_err(|error| match error {
        PemError::NoItemsFound => KeyError::Missing,
        _ => KeyError::NotPem,
    })
}

/// Whether a certificate was refused for its version.
pub fn is_version_1(error: &CertificateError) -> bool {
    let CertificateError::Other(other) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::UnsupportedCertVersion))
}
