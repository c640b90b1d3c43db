//! Certificates, keys and CAs: of files, of Secrets.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::base::Secret;
use crate::base::name::is_secret_key;
use crate::config::error::Findings;
use crate::config::lower::secret::{Purpose, Reference};
use crate::config::lower::{LowerContext, Mode, file};
use crate::config::model::{Certificate, Pem};
use crate::config::raw;
use crate::config::secrets::SecretData;

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
/// `sent`: to another host, by a dialer.
pub(super) fn certificate(
    tls: &raw::Tls,
    path: &str,
    sent: bool,
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
        let purpose = Purpose::Certificate;
        let reference = Reference { name: &reference.name, path: &path, purpose, sent };
        return reference.load(context, findings, |data| {
            let certificate = pair(data, context.mode)
                .map_err(|message| format!("Secret {:?}: {message}", reference.name))?;
            let ends = certificate.ends();
            Ok((certificate, ends))
        });
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
    let mut report = |path: &str, outcome: Result<(), String>| {
        outcome.map_err(|message| findings.invalid(path, message)).is_ok()
    };
    let certificates = report(chain_path, has_certificates(&chain, chain_name));
    let keys = report(key_path, has_key(&key, key_name));
    (certificates && keys).then_some(Certificate { chain, key })
}

/// What a Secret of type kubernetes.io/tls holds.
pub(super) fn pair(data: &SecretData, mode: Mode) -> Result<Certificate, String> {
    let (chain, key) = (value(data, CERTIFICATE)?, value(data, KEY)?);
    has_certificates(&chain, CERTIFICATE)?;
    has_key(&key, KEY)?;
    let certificate = Certificate { chain, key };
    // From files it is said when the service starts: nothing else has to go on without it.
    if mode == Mode::Controller && !belong_together(&certificate) {
        return Err(format!("{KEY:?} is not the key of {CERTIFICATE:?}, or one of them is broken"));
    }
    Ok(certificate)
}

fn belong_together(certificate: &Certificate) -> bool {
    let chain = CertificateDer::pem_slice_iter(certificate.chain.expose()).collect();
    let key = PrivateKeyDer::from_pem_slice(certificate.key.expose());
    let (Ok(chain), Ok(key)) = (chain, key) else { return false };
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).is_ok()
}

fn value(data: &SecretData, key: &str) -> Result<Pem, String> {
    let value = data.values.get(key).ok_or_else(|| format!("there is no key {key:?}"))?;
    Ok(Secret::new(Arc::from(value.expose().as_slice())))
}

fn has_key(pem: &Pem, name: &str) -> Result<(), String> {
    match PrivateKeyDer::from_pem_slice(pem.expose()) {
        Ok(_) => Ok(()),
        Err(PemError::NoItemsFound) => {
            Err(named(name, "has no private key (a section BEGIN PRIVATE KEY)"))
        }
        Err(_) => Err(named(name, "is not PEM")),
    }
}

fn has_certificates(pem: &Pem, name: &str) -> Result<(), String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose()).collect();
    match certificates {
        Ok(found) if !found.is_empty() => Ok(()),
        Ok(_) => Err(named(name, "has no certificate (a section BEGIN CERTIFICATE)")),
        Err(_) => Err(named(name, "is not PEM")),
    }
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
    match (reference, tls.ca_file.as_str()) {
        (None, "") => None,
        (Some(_), file) if !file.is_empty() => {
            findings.invalid(&at, format!("caFile stands beside {key}; keep one form"));
            None
        }
        (Some(written), _) => {
            let purpose = Purpose::Authority;
            let reference = Reference { name: &written.name, path: &at, purpose, sent: false };
            let key = if written.key.is_empty() { CA } else { &written.key };
            if context.mode == Mode::Controller && !is_secret_key(key) {
                let message = format!(
                    "{key:?} cannot be a key of a Secret: write at most 253 letters, digits, \
                     hyphens, dots and underscores, as its data has them"
                );
                findings.invalid(&format!("{at}.key"), message);
                return None;
            }
            reference.load(context, findings, |data| {
                let pem = value(data, key)
                    .and_then(|pem| has_certificates(&pem, key).map(|()| pem))
                    .and_then(|pem| usable(&pem, key, context).map(|()| pem));
                let pem = pem.map_err(|message| format!("Secret {:?}: {message}", written.name))?;
                Ok((pem, None))
            })
        }
        (None, file) => {
            let at = format!("{path}.caFile");
            let pem = file::bytes(file, &at, context, findings)?;
            let report = |message| findings.invalid(&at, message);
            has_certificates(&pem, file).map_err(report).ok().map(|()| pem)
        }
    }
}

/// Whether certificates can be CAs. From files it is said when the service starts.
fn usable(pem: &Pem, name: &str, context: &LowerContext) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    let mut all = CertificateDer::pem_slice_iter(pem.expose());
    let sound = all.all(|certificate| certificate.is_ok_and(|one| roots.add(one).is_ok()));
    match sound || context.mode == Mode::Files {
        true => Ok(()),
        false => Err(named(name, "has a broken certificate")),
    }
}
