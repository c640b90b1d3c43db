//! Who is verified, and how far: GOST's rules.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::{TlsError, pem};
use crate::config::model::{ChainError, ClientTls, Pem};

/// Verifies a server as `secure` and `ca` say.
pub(super) fn of_server(
    tls: &ClientTls,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let (roots, pinned) = match &tls.ca {
        Some(ca) => {
            let (roots, pinned) = pem::roots(ca)?;
            (Arc::new(roots), pinned)
        }
        None if tls.secure => (SYSTEM.read(native)?, Vec::new()),
        None => return Ok(Arc::new(Nobody(provider.clone()))),
    };
    let chain = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|_| TlsError::Authorities(ChainError::Missing))?;
    Ok(Arc::new(Server { chain, pinned, name: tls.secure }))
}

/// The system's roots, or those that SSL_CERT_FILE and SSL_CERT_DIR name: of this process.
static SYSTEM: Roots = Roots(Mutex::new(None));

fn native() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Roots that are read once, when they are first needed. As long as there are none, they are looked for
/// again.
struct Roots(Mutex<Option<Arc<RootCertStore>>>);

impl Roots {
    fn read(&self, load: impl FnOnce() -> RootCertStore) -> Result<Arc<RootCertStore>, TlsError> {
        let mut kept = self.0.lock();
        if let Some(roots) = &*kept {
            return Ok(roots.clone());
        }
        let roots = Arc::new(load());
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        *kept = Some(roots.clone());
        Ok(roots)
    }
}

/// Demands a certificate that one of these CAs signed.
pub(super) fn of_client(
    ca: &Pem,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let (roots, pinned) = pem::roots(ca)?;
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|_| TlsError::Authorities(ChainError::Missing))?;
    Ok(Arc::new(Client { chain, pinned }))
}

/// Whether a chain was refused only because a CA's certificate is shown as the peer's own, and it is
/// one that was trusted by name: `openssl req -x509` makes such certificates, and Go takes them.
/// webpki looks at the dates first, so they are known to be good.
fn is_pinned(error: &Error, shown: &CertificateDer<'_>, pinned: &[CertificateDer<'_>]) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
        && pinned.iter().any(|trusted| trusted.as_ref() == shown.as_ref())
}

/// A chain to `ca` or the system's roots, and with `secure` the name.
#[derive(Debug)]
struct Server {
    chain: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
    name: bool,
}

impl ServerCertVerifier for Server {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chain.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // The name is looked at last: the chain is good.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            Err(e) if is_pinned(&e, end_entity, &self.pinned) => {
                if self.name {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Verifies nothing, GOST's default: whoever is in the way can be the server. The signature is not
/// looked at either; it would only prove that an unknown key is held.
#[derive(Debug)]
struct Nobody(Arc<CryptoProvider>);

impl ServerCertVerifier for Nobody {
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

/// RequireAndVerifyClientCert.
#[derive(Debug)]
struct Client {
    chain: Arc<dyn ClientCertVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl ClientCertVerifier for Client {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.chain.verify_client_cert(end_entity, intermediates, now) {
            Err(e) if is_pinned(&e, end_entity, &self.pinned) => {
                Ok(ClientCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_roots_are_read_once() {
        let roots = Roots(Mutex::new(None));
        assert!(matches!(roots.read(RootCertStore::empty), Err(TlsError::NoRoots)));
        let mut reads = 0;
        for _ in 0..2 {
            let read = roots.read(|| {
                reads += 1;
                let key = rcgen::KeyPair::generate().unwrap();
                let ca = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
                let mut store = RootCertStore::empty();
                store.add(ca.der().clone()).unwrap();
                store
            });
            assert_eq!(read.unwrap().len(), 1);
        }
        assert_eq!(reads, 1);
    }
}
