//! From PEM to what rustls takes.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::TlsError;
use crate::config::model::{ChainError, Pem, certificates};

/// The CAs of a PEM, and the same as they were written.
pub(super) fn roots(pem: &Pem) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let found = certificates(pem).map_err(TlsError::Authorities)?;
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        let added = roots.add(certificate.clone());
        added.map_err(|_| TlsError::Authorities(ChainError::Malformed))?;
    }
    Ok((roots, found))
}
