//! What is wrong with a configuration: all of it at once, each with its path and its fix.

use std::fmt;

use jiff::Timestamp;

use super::secrets::Holder;
use crate::base::Reason;

/// One finding: `services[1].listener.type: unknown listener "wsss"; write ws or tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where: `services[1].listener.metadata.path`; empty for the whole document.
    pub path: String,
    /// The condition reason that it becomes on an object.
    pub reason: Reason,
    /// What is wrong and what to write instead. Never contains a secret.
    pub message: String,
}

impl Diagnostic {
    /// A finding at a path.
    pub fn new(path: impl Into<String>, reason: Reason, message: impl Into<String>) -> Self {
        Self { path: path.into(), reason, message: message.into() }
    }

    /// The same finding inside something larger: `WsTunnel team-a/edge: services[0].addr`.
    #[must_use]
    pub fn within(mut self, whole: &str) -> Self {
        self.path =
            if self.path.is_empty() { whole.into() } else { format!("{whole}: {}", self.path) };
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Every error of a configuration, in document order. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.lines())]
pub struct ConfigErrors(pub Vec<Diagnostic>);

impl ConfigErrors {
    /// A single error.
    pub fn one(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }

    /// The reason that a condition shows: that of the first error.
    pub fn reason(&self) -> Reason {
        self.0.first().map_or(Reason::Invalid, |d| d.reason)
    }

    /// The same errors inside something larger, as [`Diagnostic::within`].
    #[must_use]
    pub fn within(self, whole: &str) -> Self {
        Self(self.0.into_iter().map(|d| d.within(whole)).collect())
    }

    fn lines(&self) -> String {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

/// Errors and warnings on their way out of a pass: it goes on after an error, to find the others.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
    /// References that no longer hold, while what they once led to goes on.
    pub(crate) stale: Vec<Diagnostic>,
    /// Secrets whose TLS part is in use.
    pub(crate) loaded: Vec<Loaded>,
    /// Paths of entries that were referred to since somebody last took them.
    pub(crate) touched: Vec<String>,
    /// References to entries that have errors of their own.
    pub(crate) broken: usize,
}

/// A certificate or CA of a Secret that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// The field that needs it.
    pub(crate) path: String,
    /// Whose it is.
    pub(crate) holder: Holder,
    /// It is what the Secret holds now.
    pub(crate) current: bool,
    /// When the certificate ends.
    pub(crate) ends: Option<Timestamp>,
}

impl Findings {
    pub(crate) fn error(&mut self, path: &str, reason: Reason, message: impl Into<String>) {
        self.errors.push(Diagnostic::new(path, reason, message));
    }

    /// An error of the most common reason.
    pub(crate) fn invalid(&mut self, path: &str, message: impl Into<String>) {
        self.error(path, Reason::Invalid, message);
    }

    pub(crate) fn unsupported(&mut self, path: &str, message: impl Into<String>) {
        self.error(path, Reason::Unsupported, message);
    }

    pub(crate) fn warn(&mut self, path: &str, reason: Reason, message: impl Into<String>) {
        self.warnings.push(Diagnostic::new(path, reason, message));
    }

    /// Adds what another pass found.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.errors.append(&mut other.errors);
        self.warnings.append(&mut other.warnings);
        self.stale.append(&mut other.stale);
        self.loaded.append(&mut other.loaded);
    }

    /// Both lists if nothing is wrong.
    pub(crate) fn into_result<T>(self, value: T) -> Result<(T, Vec<Diagnostic>), ConfigErrors> {
        if self.errors.is_empty() {
            Ok((value, self.warnings))
        } else {
            Err(ConfigErrors(self.errors))
        }
    }
}
