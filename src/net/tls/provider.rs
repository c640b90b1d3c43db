//! What a configuration may negotiate: versions and cipher suites.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion, version};

use super::TlsError;
use crate::config::model::TlsVersion;

/// aws-lc-rs with AES-128-GCM first: the cheapest suite where the processor has AES.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    // A stable sort: the rest keeps rustls' order.
    provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
    provider.cipher_suites.sort_by_key(|suite| suite.tls13().is_none());
    Arc::new(provider)
});

fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

/// The provider with only these suites of TLS 1.2, by Go's names; none is all. Those of TLS 1.3
/// cannot be chosen, as in Go. Unknown names are left out.
pub(super) fn provider(suites: &[String]) -> Arc<CryptoProvider> {
    if suites.is_empty() {
        return PROVIDER.clone();
    }
    let mut provider = CryptoProvider::clone(&PROVIDER);
    let named = |suite: &SupportedCipherSuite| {
        go_name(suite.suite())
            .is_some_and(|name| suites.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)))
    };
    provider.cipher_suites.retain(|suite| suite.tls13().is_some() || named(suite));
    Arc::new(provider)
}

/// A suite of TLS 1.2 by the constant of Go's crypto/tls; the older ChaCha20 names are aliases there.
fn go_name(suite: CipherSuite) -> Option<&'static str> {
    Some(match suite {
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => {
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
        }
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => {
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
        }
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => {
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => {
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
        }
        _ => return None,
    })
}

/// The versions between the two, of which a suite is left.
pub(super) fn versions(
    min: Option<TlsVersion>,
    max: Option<TlsVersion>,
    provider: &CryptoProvider,
) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let (min, max) = (min.unwrap_or(TlsVersion::Tls12), max.unwrap_or(TlsVersion::Tls13));
    let mut versions = Vec::with_capacity(2);
    if max == TlsVersion::Tls13 {
        versions.push(&version::TLS13);
    }
    let has_suite = provider.cipher_suites.iter().any(|suite| suite.tls13().is_none());
    if min == TlsVersion::Tls12 && has_suite {
        versions.push(&version::TLS12);
    }
    match (versions.is_empty(), has_suite) {
        (false, _) => Ok(versions),
        (true, false) => Err(TlsError::NoSuite),
        (true, true) => Err(TlsError::NoVersion),
    }
}
