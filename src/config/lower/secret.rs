//! What Secrets hold that fields refer to.

use std::sync::Arc;

use jiff::Timestamp;

use super::{LowerContext, Mode};
use crate::base::Reason;
use crate::base::name::is_subdomain;
use crate::base::shell::quoted;
use crate::config::error::{Diagnostic, Findings, Loaded};
use crate::config::raw;
use crate::config::secrets::{Holder, SecretData, SecretState};

/// What a Secret is for; each has its own line that makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A certificate and its key.
    Certificate,
    /// CAs.
    Authority,
    /// Names and passwords of users.
    Users,
    /// One name and password.
    Credentials,
}

/// A reference to a Secret of the tunnel's namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference<'a> {
    pub(super) name: &'a str,
    /// The field.
    pub(super) path: &'a str,
    pub(super) purpose: Purpose,
    /// What it holds goes to another host.
    pub(super) sent: bool,
}

impl Reference<'_> {
    /// What is wrong with what the Secret holds.
    pub(super) fn invalid(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.path, Reason::SecretInvalid, message)
    }

    /// What the Secret holds, if it may be used so.
    pub(super) fn find<'a>(
        &self,
        context: &LowerContext<'a>,
    ) -> Result<&'a Arc<SecretData>, Diagnostic> {
        let (name, namespace) = (self.name, context.namespace);
        if name.is_empty() {
            let path = format!("{}.name", self.path);
            return Err(Diagnostic::new(path, Reason::Invalid, "the Secret's name is missing"));
        }
        if context.mode == Mode::Controller && !is_subdomain(name) {
            let path = format!("{}.name", self.path);
            let message = format!(
                "{name:?} cannot be the name of a Secret: write at most 253 lower-case letters, \
                 digits, hyphens and dots, as its metadata.name has them"
            );
            return Err(Diagnostic::new(path, Reason::Invalid, message));
        }
        match context.secrets.find(namespace, name) {
            SecretState::Known(data) if self.sent && !data.shared => Err(self.invalid(format!(
                "Secret {name:?} would be sent to another host, which its owner has to allow: \
                 kubectl label secret {} -n {} adit.dev/share=true",
                quoted(name),
                quoted(namespace)
            ))),
            SecretState::Known(data) => Ok(data),
            SecretState::Refused(why) => Err(self.invalid(why)),
            SecretState::Withheld(why) => {
                Err(Diagnostic::new(self.path, Reason::SecretNotFound, why.clone()))
            }
            SecretState::Unread(why) => {
                let message = format!("Secret {name:?} was not read yet: {why}");
                Err(Diagnostic::new(self.path, Reason::Pending, message))
            }
            SecretState::Missing => {
                let make = match context.mode {
                    Mode::Files => "; add a document of kind Secret".into(),
                    Mode::Controller => format!(": {}", self.made_by(namespace)),
                };
                let message =
                    format!("Secret {name:?} does not exist in namespace {namespace:?}{make}");
                Err(Diagnostic::new(self.path, Reason::SecretNotFound, message))
            }
        }
    }

    /// The line that makes the Secret.
    fn made_by(&self, namespace: &str) -> String {
        let (kind, rest, label) = match self.purpose {
            Purpose::Certificate => ("tls", "--cert=FILE --key=FILE", None),
            Purpose::Authority => ("generic", "--from-file=ca.crt=FILE", Some("ca")),
            Purpose::Users => ("generic", "--from-literal=USER=PASSWORD", Some("users")),
            Purpose::Credentials => (
                "generic",
                "--type=kubernetes.io/basic-auth --from-literal=username=USER \
                 --from-literal=password=PASSWORD",
                None,
            ),
        };
        let usage = label.map(|usage| format!("adit.dev/usage={usage}"));
        let labels: Vec<_> =
            usage.into_iter().chain(self.sent.then(|| "adit.dev/share=true".into())).collect();
        let (name, namespace) = (quoted(self.name), quoted(namespace));
        let line = format!("kubectl create secret {kind} {name} -n {namespace} {rest}");
        match labels.as_slice() {
            [] => line,
            labels => {
                format!("{line} && kubectl label secret {name} -n {namespace} {}", labels.join(" "))
            }
        }
    }

    /// The TLS part that `read` makes of the Secret. What it made of the data before stays in use
    /// when there is nothing better: a removed Secret or a broken renewal ends no listener.
    pub(super) fn load<T>(
        &self,
        context: &LowerContext,
        findings: &mut Findings,
        read: impl Fn(&SecretData) -> Result<(T, Option<Timestamp>), String>,
    ) -> Option<T> {
        let holder = Holder::Secret(self.name.into());
        let loaded = |current, ends| Loaded {
            path: self.path.into(),
            holder: holder.clone(),
            current,
            ends,
        };
        let problem = match self.find(context) {
            Ok(data) => match read(data) {
                Ok((value, ends)) => {
                    findings.loaded.push(loaded(true, ends));
                    return Some(value);
                }
                Err(message) => self.invalid(message),
            },
            Err(problem) => problem,
        };
        // What may not be sent any more is not sent any more.
        let withdrawn = match context.secrets.find(context.namespace, self.name) {
            SecretState::Known(data) => self.sent && !data.shared,
            SecretState::Refused(_) => self.sent,
            SecretState::Missing | SecretState::Withheld(_) | SecretState::Unread(_) => false,
        };
        let kept = context.kept.filter(|_| !withdrawn).and_then(|kept| kept.get(&holder));
        let Some((value, ends)) = kept.and_then(|data| read(data).ok()) else {
            findings.errors.push(problem);
            return None;
        };
        findings.loaded.push(loaded(false, ends));
        findings.stale.push(goes_on(problem));
        Some(value)
    }
}

/// What is said where there is something older.
pub(super) fn goes_on(problem: Diagnostic) -> Diagnostic {
    let message = format!(
        "{}; what was loaded before goes on until the controller restarts",
        problem.message
    );
    Diagnostic { message, ..problem }
}

/// The authers whose users are in Secrets, too.
pub(super) fn of_authers(config: &raw::Config) -> impl Iterator<Item = &str> {
    let with = config.authers.iter().filter(|auther| {
        auther.secret_ref.is_some() || auther.auths.iter().any(|auth| auth.secret_ref.is_some())
    });
    with.map(|auther| auther.name.as_str())
}
