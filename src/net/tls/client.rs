//! The client's side.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use tokio_rustls::TlsConnector;

use super::stream::BUFFERED;
use super::{TlsError, pem, provider, verify};
use crate::config::model::ClientTls;
use crate::io::{AsyncIo, BoxIo};

/// Shakes hands as a client. Clones share the sessions that can be resumed.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// Whether handshakes can be prepared, as far as that shows without the system's roots.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn check(tls: &ClientTls) -> Result<(), TlsError> {
        Self::check_name(tls)?;
        let provider = provider::provider(&tls.cipher_suites);
        provider::versions(tls.min_version, tls.max_version, &provider)?;
        tls.certificate.as_ref().map(|pair| pair.pair(&provider)).transpose()?;
        tls.ca.as_ref().map(pem::roots).transpose().map(drop)
    }

    /// Whether the server's name is one.
    ///
    /// # Errors
    /// It is none.
    pub fn check_name(tls: &ClientTls) -> Result<(), TlsError> {
        tls.server_name.as_deref().map(server_name).transpose().map(drop)
    }

    /// Prepares the handshakes of a dialer, whatever its server's name. Reads the system's roots if they
    /// are needed and nobody has, which takes a few milliseconds.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub(super) fn config(tls: &ClientTls) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = provider::provider(&tls.cipher_suites);
        let versions = provider::versions(tls.min_version, tls.max_version, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(TlsError::Config)?
            .dangerous()
            .with_custom_certificate_verifier(verify::of_server(tls, &provider)?);
        let mut config = match &tls.certificate {
            Some(certificate) => {
                let pair = certificate.pair(&provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = tls.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        Ok(Arc::new(config))
    }

    /// Shakes hands by a configuration with the server of this name.
    ///
    /// # Errors
    /// The name is none.
    pub(super) fn with(config: Arc<ClientConfig>, tls: &ClientTls) -> Result<Self, TlsError> {
        let name = match &tls.server_name {
            Some(name) => server_name(name)?,
            // Without a name there is no SNI. An address is none, and nobody's certificate has this.
            None => ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into()),
        };
        Ok(Self { config, name })
    }

    /// Shakes hands on `io`.
    ///
    /// # Errors
    /// [`TlsError`]. With TLS 1.3 a server refuses a client's certificate after the handshake; the
    /// first read then fails with one.
    pub async fn connect(&self, io: BoxIo) -> Result<BoxIo, TlsError> {
        let connector = TlsConnector::from(self.config.clone());
        let shaking = connector.connect_with(self.name.clone(), AsyncIo::new(io), |session| {
            session.set_buffer_limit(Some(BUFFERED));
        });
        Ok(Box::new(Box::pin(shaking).await.map_err(TlsError::of)?))
    }
}

/// A name for SNI, or an address. Brackets and a trailing dot are no part of either.
fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    let plain = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    let plain = plain.strip_suffix('.').unwrap_or(plain);
    ServerName::try_from(plain.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
}
