//! Certificates, keys and CAs: of files, of Secrets.

use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::base::Secret;
use crate::config::error::Findings;
use crate::config::lower::{LowerContext, file};
use crate::config::model::{Certificate, Pem};
use crate::config::raw;

/// The keys of a Secret of type kubernetes.io/tls, and of the CA beside them.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const CA: &str = "ca.crt";

pub(super) fn names_certificate(tls: Option<&raw::Tls>) -> bool {
    tls.is_some_and(|t| !t.cert_file.is_empty() || !t.key_file.is_empty() || t.secret_ref.is_some())
}

pub(super) fn names_ca(tls: Option<&raw::Tls>) -> bool {
    tls.is_some_and(|t| !t.ca_file.is_empty() || t.client_ca_ref.is_some() || t.ca_ref.is_some())
}

/// `certFile` and `keyFile`, or `secretRef`. `None` is none, or an error that is reported.
pub(super) fn certificate(
    tls: &raw::Tls,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Certificate> {
    let (cert_path, key_path) = (format!("{path}.certFile"), format!("{path}.keyFile"));
    if let Some(reference) = &tls.secret_ref {
        let path = format!("{path}.secretRef");
        if !tls.cert_file.is_empty() || !tls.key_file.is_empty() {
            findings.invalid(&path, "certFile and keyFile stand beside secretRef; keep one form");
            return None;
        }
        let instead = "run a sidecar, or leave it out: the certificate is then self-signed";
        let data = file::secret(&reference.name, &path, instead, context, findings)?;
        let mut value = |key: &str| {
            let value = data.0.get(key);
            if value.is_none() {
                let message = format!("Secret {:?} has no key {key:?}", reference.name);
                findings.invalid(&path, message);
            }
            value.map(|bytes| Secret::new(Arc::from(bytes.expose().as_slice())))
        };
        let (chain, key) = (value(CERTIFICATE), value(KEY));
        return checked_pair(chain?, (&path, CERTIFICATE), key?, (&path, KEY), findings);
    }
    match (tls.cert_file.as_str(), tls.key_file.as_str()) {
        ("", "") => None,
        (_, "") => {
            findings.invalid(&key_path, "the key is missing; certFile and keyFile go together");
            None
        }
        ("", _) => {
            let message = "the certificate is missing; certFile and keyFile go together";
            findings.invalid(&cert_path, message);
            None
        }
        (chain, key) => {
            let chain_bytes = file::bytes(chain, &cert_path, context, findings);
            let key_bytes = file::bytes(key, &key_path, context, findings);
            checked_pair(chain_bytes?, (&cert_path, chain), key_bytes?, (&key_path, key), findings)
        }
    }
}

/// A certificate and a key that have what they should; each with its path and what holds it.
pub(super) fn checked_pair(
    chain: Pem,
    (chain_path, chain_name): (&str, &str),
    key: Pem,
    (key_path, key_name): (&str, &str),
    findings: &mut Findings,
) -> Option<Certificate> {
    let certificates = has_certificates(&chain, chain_path, chain_name, findings);
    let message = match PrivateKeyDer::from_pem_slice(key.expose()) {
        Ok(_) if certificates => return Some(Certificate { chain, key }),
        Ok(_) => return None,
        Err(PemError::NoItemsFound) => "has no private key (a section BEGIN PRIVATE KEY)",
        Err(_) => "is not PEM",
    };
    findings.invalid(key_path, named(key_name, message));
    None
}

fn has_certificates(pem: &Pem, path: &str, name: &str, findings: &mut Findings) -> bool {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose()).collect();
    let message = match certificates {
        Ok(found) if !found.is_empty() => return true,
        Ok(_) => "has no certificate (a section BEGIN CERTIFICATE)",
        Err(_) => "is not PEM",
    };
    findings.invalid(path, named(name, message));
    false
}

fn named(name: &str, message: &str) -> String {
    if name.is_empty() { format!("the file {message}") } else { format!("{name:?} {message}") }
}

/// `caFile`, or the reference that stands for it.
pub(super) fn ca(
    tls: &raw::Tls,
    key: &str,
    reference: Option<&raw::SecretKeyRef>,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Pem> {
    let at = format!("{path}.{key}");
    let (pem, at, name) = match (reference, tls.ca_file.as_str()) {
        (None, "") => return None,
        (Some(_), file) if !file.is_empty() => {
            findings.invalid(&at, format!("caFile stands beside {key}; keep one form"));
            return None;
        }
        (Some(reference), _) => {
            let instead = "run a sidecar with the files";
            let data = file::secret(&reference.name, &at, instead, context, findings)?;
            let name = if reference.key.is_empty() { CA } else { &reference.key };
            let Some(bytes) = data.0.get(name) else {
                let message = format!("Secret {:?} has no key {name:?}", reference.name);
                findings.invalid(&at, message);
                return None;
            };
            (Secret::new(Arc::from(bytes.expose().as_slice())), at, name)
        }
        (None, file) => {
            let at = format!("{path}.caFile");
            (file::bytes(file, &at, context, findings)?, at, file)
        }
    };
    has_certificates(&pem, &at, name, findings).then_some(pem)
}
