//! Configurations as text.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::Format;
use crate::config::raw;
use crate::config::read::Documents;

/// A configuration as GOST has it in one file.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    config: &'a raw::Config,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a raw::Log>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<&'a raw::Metrics>,
}

/// A file of GOST's: `config`, and what the documents say of the process.
///
/// # Errors
/// As [`text`].
pub(super) fn gost(
    config: &raw::Config,
    documents: &Documents,
    format: Format,
) -> anyhow::Result<String> {
    let (log, metrics) = (documents.log.as_ref(), documents.metrics.as_ref());
    text(&Whole { config, log, metrics }, format)
}

/// `-O`: the merged configuration, before it is validated. Doubts go to standard error.
///
/// # Errors
/// Objects, which are no part of it.
pub(super) fn print(documents: &Documents, format: Format) -> anyhow::Result<ExitCode> {
    if let Some(tunnel) = documents.tunnels.first() {
        anyhow::bail!("{} is no GOST configuration; use adit convert", tunnel.title());
    }
    warn(documents)?;
    super::print(&gost(&documents.gost, documents, format)?)
}

/// Says what was read in spite of a doubt.
///
/// # Errors
/// If standard error is closed.
pub(super) fn warn(documents: &Documents) -> std::io::Result<()> {
    let mut stderr = std::io::stderr().lock();
    documents.warnings.iter().try_for_each(|warning| writeln!(stderr, "warning: {warning}"))
}

/// A value as a document.
///
/// # Errors
/// Never for a configuration: it has text keys only.
pub(super) fn text(value: &impl Serialize, format: Format) -> anyhow::Result<String> {
    Ok(match format {
        Format::Yaml => serde_yaml::to_string(value)?,
        Format::Json => serde_json::to_string_pretty(value)? + "\n",
    })
}
