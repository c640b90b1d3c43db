//! What is wrong with a configuration: all of it at once, each with its path and its fix.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;

use super::secrets::Holder;
use crate::base::Reason;
use crate::base::text::printable;

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
    ///
    /// Both texts may have parts that a tenant wrote: they become [`printable`] here, wherever they
    /// are shown later.
    pub fn new(path: impl Into<String>, reason: Reason, message: impl Into<String>) -> Self {
        let shown = |text: String| match printable(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(escaped) => escaped,
        };
        Self { path: shown(path.into()), reason, message: shown(message.into()) }
    }

    /// The same finding inside something larger: `WsTunnel team-a/edge: services[0].addr`.
    #[must_use]
    pub fn within(mut self, whole: &str) -> Self {
        let whole = printable(whole);
        self.path = if self.path.is_empty() {
            whole.into_owned()
        } else {
            format!("{whole}: {}", self.path)
        };
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

    /// Those about an entry, by its path: `services[1]`.
    pub fn about(&self, entry: &str) -> Vec<&Diagnostic> {
        let of_it = |rest: &str| rest.is_empty() || rest.starts_with('.');
        let about = |d: &&Diagnostic| d.path.strip_prefix(entry).is_some_and(of_it);
        self.0.iter().filter(about).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_cannot_forge_lines_or_move_the_cursor() {
        let forged = "a\u{1b}[2Jb\r\nok: 1 service\u{9b}c\u{202e}d\u{2066}e\u{2028}f";
        let finding = Diagnostic::new(forged, Reason::Invalid, forged).within(forged);
        let errors = ConfigErrors::one(finding.clone()).within(forged);
        for text in [finding.to_string(), errors.to_string(), finding.message, finding.path] {
            let bad = |c: &char| c.is_control() || "\u{202e}\u{2066}\u{2028}".contains(*c);
            assert_eq!(text.chars().find(bad), None, "{text:?}");
            assert!(text.contains(r"\u{1b}[2Jb\r\nok"), "{text}");
        }
    }

    #[test]
    fn words_of_every_language_stay_as_they_are() {
        let text = "größe 数 نام ｅ \"a\\b\" 'c'";
        assert_eq!(Diagnostic::new("", Reason::Invalid, text).message, text);
    }
}
