//! What is wrong with a configuration: all of it at once, each with its path and its fix.

use std::fmt;

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

    fn lines(&self) -> String {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}
