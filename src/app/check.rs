//! `adit check`: what would be wrong.

use std::io::Write;
use std::process::ExitCode;

use super::{EXIT_CONFIG, files};
use crate::cli::CheckArgs;
use crate::config::raw;

/// Prints every error and warning of the files, and a line for each service that would run.
///
/// # Errors
/// If a file cannot be read.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let sources = files::sources(&args.files)?;
    let mut out = std::io::stdout().lock();
    match files::load(&sources, raw::Config::default()) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                writeln!(out, "warning: {warning}")?;
            }
            writeln!(out, "ok: {} services", loaded.services.len())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(errors) => {
            for error in &errors.0 {
                writeln!(out, "error: {error}")?;
            }
            Ok(ExitCode::from(EXIT_CONFIG))
        }
    }
}
