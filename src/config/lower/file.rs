//! What files hold that fields refer to.

use super::{LowerContext, Mode};
use crate::config::error::Findings;
use crate::config::model::Pem;
use crate::config::raw;

/// How a message ends about a file that nobody has tried to read.
pub(super) const NOT_READ: &str = "it was not there when files were read";

/// The bytes of a file.
pub(super) fn bytes(
    file: &str,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Pem> {
    if context.mode == Mode::Controller {
        let message = "a file would be read with the controller's rights, not with yours; write \
                       the values, or refer to a Secret";
        findings.invalid(path, message);
        return None;
    }
    let message = match context.files.0.get(file) {
        Some(Ok(bytes)) => return Some(bytes.clone()),
        Some(Err(error)) => format!("cannot read {file:?}: {error}"),
        None => format!("cannot read {file:?}: {NOT_READ}"),
    };
    findings.invalid(path, message);
    None
}

/// The lines of a file with their numbers, without comments (`#` at the start) and empty ones.
pub(super) fn lines(
    file: Option<&raw::FileRef>,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Vec<(usize, String)>> {
    let Some(file) = file else { return Some(Vec::new()) };
    let path = format!("{path}.file.path");
    if file.path.is_empty() {
        findings.invalid(&path, "the file's path is missing");
        return None;
    }
    text_lines(&file.path, &path, context, findings)
}

/// As [`lines`], of a path.
pub(super) fn text_lines(
    file: &str,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Vec<(usize, String)>> {
    let bytes = bytes(file, path, context, findings)?;
    let Ok(text) = std::str::from_utf8(bytes.expose()) else {
        findings.invalid(path, format!("{file:?} is not UTF-8 text"));
        return None;
    };
    let lines = text.lines().map(str::trim).enumerate().map(|(i, line)| (i + 1, line.to_string()));
    Some(lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect())
}

/// A line without what stands behind a `#`.
pub(super) fn uncommented(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// `reload` has to be a duration; files are read again when they change, whatever it says.
pub(super) fn reload(reload: Option<&String>, path: &str, findings: &mut Findings) {
    if let Some(text) = reload {
        super::duration(text, &format!("{path}.reload"), findings);
    }
}
