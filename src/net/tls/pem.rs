//! From PEM to what rustls takes.

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::TlsError;
use crate::config::model::{Certificate, Pem};

/// The certificates of a PEM, at least one. `what` is the field that it came from.
pub(super) fn certificates(
    pem: &Pem,
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::NoCertificate(what)),
    }
}

/// A chain and its key, which belong together.
pub(super) fn pair(
    certificate: &Certificate,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&certificate.chain, "certFile")?;
    let key =
        PrivateKeyDer::from_pem_slice(certificate.key.expose()).map_err(|_| TlsError::NoKey)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|e| match e {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch,
        Error::InvalidCertificate(_) => TlsError::NoCertificate("certFile"),
        _ => TlsError::NoKey,
    })
}

/// The CAs of a PEM, and the same as they were written.
pub(super) fn roots(pem: &Pem) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let found = certificates(pem, "caFile")?;
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        roots.add(certificate.clone()).map_err(|_| TlsError::NoCertificate("caFile"))?;
    }
    Ok((roots, found))
}
