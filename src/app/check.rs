//! `adit check`: what would be wrong.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

use super::{EXIT_CONFIG, files};
use crate::cli::CheckArgs;
use crate::config::cmdline::{self, Line};
use crate::config::error::ConfigErrors;
use crate::sidecar::Inputs;

/// Prints every error and warning of files, folders and the command line, and how many services
/// would run.
///
/// # Errors
/// If standard input or output is closed, or there is nothing to check.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        !(args.files.is_empty() && args.listen.is_empty() && args.forward.is_empty()),
        "nothing to check: give files or folders, or -L and -F"
    );
    let inputs = Inputs::open(&args.files).context("cannot read standard input")?;
    let (line, mut errors) = match cmdline::parse(&args.listen, &args.forward) {
        Ok(line) => (line, Vec::new()),
        Err(ConfigErrors(errors)) => (Line::default(), errors),
    };
    let mut out = std::io::stdout().lock();
    match files::load(&inputs, &line).outcome {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                writeln!(out, "warning: {warning}")?;
            }
            if errors.is_empty() {
                let count = loaded.services.len();
                writeln!(out, "ok: {count} service{}", if count == 1 { "" } else { "s" })?;
            }
        }
        Err(ConfigErrors(found)) => errors.extend(found),
    }
    for error in &errors {
        writeln!(out, "error: {error}")?;
    }
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) })
}
