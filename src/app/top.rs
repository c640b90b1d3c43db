//! `log` and `metrics` at the top of a file: what it says of the process. Flags say it louder.

use crate::base::{ListenAddr, Reason};
use crate::cli::ProcessArgs;
use crate::config::error::Diagnostic;
use crate::config::raw;
use crate::config::read::Documents;
use crate::telemetry::LogFormat;

/// GOST's levels.
const LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error", "fatal"];

/// What files say of the process; it counts at the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Top {
    /// `log.level`, or `off` for the output `none`.
    pub level: Option<String>,
    /// `log.format`.
    pub format: Option<LogFormat>,
    /// `metrics.addr`: where probes and metrics are.
    pub admin: Option<ListenAddr>,
}

impl ProcessArgs {
    /// The flags, and what files say where they say nothing.
    pub(super) fn or(&self, top: &Top) -> Self {
        Self { log_format: self.log_format.or(top.format), ..self.clone() }
    }
}

/// Reads it; `errors` and `warnings` get what is wrong and what is odd.
pub(super) fn top(
    documents: &Documents,
    errors: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) -> Top {
    let mut top = Top::default();
    if let Some(log) = &documents.log {
        of_log(log, &mut top, errors, warnings);
    }
    if let Some(metrics) = &documents.metrics {
        match admin(metrics) {
            Ok(admin) => top.admin = admin,
            Err((key, message)) => {
                errors.push(Diagnostic::new(format!("metrics.{key}"), Reason::Invalid, message));
            }
        }
    }
    top
}

fn of_log(
    log: &raw::Log,
    top: &mut Top,
    errors: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) {
    let level = log.level.to_ascii_lowercase();
    if LEVELS.contains(&level.as_str()) {
        top.level = Some(level);
    } else if !level.is_empty() {
        let message = format!("{:?} is not a level; write {}", log.level, LEVELS.join(", "));
        errors.push(Diagnostic::new("log.level", Reason::Invalid, message));
    }
    match log.format.to_ascii_lowercase().as_str() {
        "" => {}
        "text" => top.format = Some(LogFormat::Text),
        "json" => top.format = Some(LogFormat::Json),
        _ => {
            let message = format!("{:?} is not a format; write text or json", log.format);
            errors.push(Diagnostic::new("log.format", Reason::Invalid, message));
        }
    }
    match log.output.as_str() {
        "" | "stderr" => {}
        "none" | "null" => top.level = Some("off".into()),
        _ => {
            let message = "ignored: log lines go to standard error; redirect it";
            warnings.push(Diagnostic::new("log.output", Reason::Unsupported, message));
        }
    }
}

/// The address, or the key that is wrong and why.
fn admin(metrics: &raw::Metrics) -> Result<Option<ListenAddr>, (&'static str, String)> {
    let raw::Metrics { addr, path, auth, auther } = metrics;
    if addr.is_empty() {
        return Ok(None);
    }
    for (key, given) in [("auth", auth.is_some()), ("auther", !auther.is_empty())] {
        if given {
            let message = "there is no password for metrics; keep them on an address of their own";
            return Err((key, message.into()));
        }
    }
    if !matches!(path.as_str(), "" | "/metrics") {
        return Err(("path", "the path of metrics is /metrics".into()));
    }
    addr.parse().map(Some).map_err(|e: crate::base::addr::AddrError| ("addr", e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read::read;

    fn said(text: &str) -> (Top, Vec<String>, Vec<String>) {
        let documents = read(text).unwrap();
        let (mut errors, mut warnings) = (Vec::new(), documents.warnings.clone());
        let top = top(&documents, &mut errors, &mut warnings);
        let lines = |all: Vec<Diagnostic>| all.iter().map(ToString::to_string).collect();
        (top, lines(errors), lines(warnings))
    }

    #[test]
    fn level_format_and_address_are_those_of_the_process() {
        let (top, errors, warnings) =
            said("LOG: {Level: DEBUG, format: json, output: stderr}\nmetrics: {addr: ':9000'}");
        assert_eq!((errors.len(), warnings.len()), (0, 0), "{errors:?} {warnings:?}");
        assert_eq!(top.level.as_deref(), Some("debug"));
        assert_eq!(top.format, Some(LogFormat::Json));
        assert_eq!(top.admin, Some(ListenAddr::port(9000)));
        assert_eq!(said("log: {output: none}").0.level.as_deref(), Some("off"));
        assert_eq!(said("log: {}\nmetrics: {path: /x}\n"), Default::default());
    }

    #[test]
    fn what_cannot_be_done_is_an_error_or_a_warning_with_its_path() {
        for (text, path) in [
            ("log: {level: loud}", "log.level: \"loud\" is not a level"),
            ("log: {format: xml}", "log.format: "),
            ("metrics: {addr: x}", "metrics.addr: "),
            ("metrics: {addr: ':1', path: /m}", "metrics.path: "),
            ("metrics: {addr: ':1', auth: {username: u, password: hunter2}}", "metrics.auth: "),
            ("metrics: {addr: ':1', auther: a}", "metrics.auther: "),
        ] {
            let (_, errors, _) = said(text);
            assert_eq!(errors.len(), 1, "{text}");
            assert!(errors[0].starts_with(path) && !errors[0].contains("hunter2"), "{errors:?}");
        }
        let (_, errors, warnings) = said("log: {output: /var/log/x, rotation: {maxSize: 1}}");
        assert_eq!((errors.len(), warnings.len()), (0, 2), "{warnings:?}");
    }
}
