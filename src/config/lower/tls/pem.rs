//! Certificates, keys and CAs: of files, of Secrets.

use std::fmt::Display;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;

use crate::base::Secret;
use crate::base::name::is_secret_key;
use crate::config::error::Findings;
use crate::config::lower::secret::{Purpose, Reference};
use crate::config::lower::{LowerContext, Mode, file};
use crate::config::model::{Certificate, ChainError, PairError, Pem, certificates};
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
            let certificate =
                pair(data).map_err(|message| format!("Secret {:?}: {message}", reference.name))?;
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

/// A certificate and a key that belong together; each with its path and the name of its file.
pub(super) fn checked_pair(
    chain: Pem,
    (chain_path, chain_name): (&str, &str),
    key: Pem,
    (key_path, key_name): (&str, &str),
    findings: &mut Findings,
) -> Option<Certificate> {
    let certificate = Certificate { chain, key };
    match certificate.pair(&aws_lc_rs::default_provider()) {
        Ok(_) => return Some(certificate),
        Err(PairError::Chain(error)) => findings.invalid(chain_path, named(chain_name, error)),
        Err(PairError::Key(error)) => findings.invalid(key_path, named(key_name, error)),
    }
    None
}

/// What a Secret of type kubernetes.io/tls holds.
pub(super) fn pair(data: &SecretData) -> Result<Certificate, String> {
    let (chain, key) = (value(data, CERTIFICATE)?, value(data, KEY)?);
    let certificate = Certificate { chain, key };
    match certificate.pair(&aws_lc_rs::default_provider()) {
        Ok(_) => Ok(certificate),
        Err(PairError::Chain(error)) => Err(named(CERTIFICATE, error)),
        Err(PairError::Key(error)) => Err(named(KEY, error)),
    }
}

fn value(data: &SecretData, key: &str) -> Result<Pem, String> {
    let value = data.values.get(key).ok_or_else(|| format!("there is no key {key:?}"))?;
    Ok(Secret::new(Arc::from(value.expose().as_slice())))
}

fn named(name: &str, predicate: impl Display) -> String {
    if name.is_empty() { format!("the file {predicate}") } else { format!("{name:?} {predicate}") }
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
                let pem = value(data, key).and_then(|pem| authorities(&pem, key).map(|()| pem));
                let pem = pem.map_err(|message| format!("Secret {:?}: {message}", written.name))?;
                Ok((pem, None))
            })
        }
        (None, file) => {
            let at = format!("{path}.caFile");
            let pem = file::bytes(file, &at, context, findings)?;
            let report = |message| findings.invalid(&at, message);
            authorities(&pem, file).map_err(report).ok().map(|()| pem)
        }
    }
}

/// Whether a PEM holds certificates of CAs.
fn authorities(pem: &Pem, name: &str) -> Result<(), String> {
    let found = certificates(pem).map_err(|error| named(name, error))?;
    let mut roots = RootCertStore::empty();
    let sound = found.into_iter().all(|one| roots.add(one).is_ok());
    if sound { Ok(()) } else { Err(named(name, ChainError::Malformed)) }
}
