//! The default certificate of a class, for listeners that have none.

use super::pem::pair;
use crate::base::Reason;
use crate::config::error::{Diagnostic, Findings, Loaded};
use crate::config::lower::LowerContext;
use crate::config::lower::secret::goes_on;
use crate::config::model::Certificate;
use crate::config::secrets::{ClassCertificate, Holder, SecretState};

/// What listeners without a certificate show, if their class has something for them. `None` is
/// nothing, or an error that is reported: a broken default is none, never a self-signed one.
pub(super) fn certificate(
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Certificate> {
    let of = context.class_certificate?;
    let holder = Holder::Class(of.class.into());
    let mut loaded = |certificate: &Certificate, current| {
        let (path, holder) = (path.into(), holder.clone());
        findings.loaded.push(Loaded { path, holder, current, ends: certificate.ends() });
    };
    let problem = match usable(of.state) {
        Ok(certificate) => {
            loaded(&certificate, true);
            return Some(certificate);
        }
        Err(unusable) => unusable.said_of(of, path),
    };
    let kept = context.kept.and_then(|kept| kept.get(&holder));
    let Some(certificate) = kept.and_then(|data| pair(data).ok()) else {
        findings.errors.push(problem);
        return None;
    };
    loaded(&certificate, false);
    findings.stale.push(goes_on(problem));
    Some(certificate)
}

/// Why a Secret is no default certificate: for who runs the installation, who may know its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableCertificate {
    /// There is none of the name.
    #[error("it does not exist")]
    Missing,
    /// What it holds is no certificate with its key.
    #[error("{0}")]
    Broken(String),
    /// It is not known.
    #[error("it was not read yet: {0}")]
    Unread(String),
}

impl UnusableCertificate {
    /// For who owns an object of the class. They can do nothing about the Secret, and what there is
    /// in its namespace is not theirs to know.
    fn said_of(&self, of: ClassCertificate, path: &str) -> Diagnostic {
        let (reason, what) = match self {
            Self::Missing => (Reason::SecretNotFound, "is not there"),
            Self::Broken(_) => (Reason::SecretInvalid, "cannot be used"),
            Self::Unread(_) => (Reason::Pending, "was not read yet"),
        };
        let message = format!(
            "the default certificate of class {:?} {what}: ask who installed adit, or write \
             tls.secretRef",
            of.class
        );
        Diagnostic::new(path, reason, message)
    }
}

/// The certificate and key that a class's Secret holds.
///
/// # Errors
/// What is wrong with it.
pub fn usable(state: &SecretState) -> Result<Certificate, UnusableCertificate> {
    match state {
        SecretState::Known(data) => pair(data).map_err(UnusableCertificate::Broken),
        SecretState::Missing => Err(UnusableCertificate::Missing),
        SecretState::Refused(why) | SecretState::Withheld(why) => {
            Err(UnusableCertificate::Broken(why.clone()))
        }
        SecretState::Unread(why) => Err(UnusableCertificate::Unread(why.clone())),
    }
}
