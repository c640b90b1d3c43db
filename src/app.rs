//! Puts the rooms together for each way to run.
//!
//! Floor 10.

mod aside;
mod banner;
mod check;
mod classes;
mod controller;
mod convert;
mod explain;
mod files;
mod memory;
mod output;
mod places;
mod process;
mod reload;
mod run;
mod selftest;
mod sidecar;
mod top;

use std::io::Write;
use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::config::error::ConfigErrors;

/// The exit code for a configuration that cannot run (`EX_USAGE` of sysexits.h).
pub const EXIT_CONFIG: u8 = 64;

/// Does what the command line says, to the end of the process.
///
/// # Errors
/// What stopped it. A [`ConfigErrors`] among the causes means exit code [`EXIT_CONFIG`].
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => run::run(args).await,
        Command::Controller(args) => controller::run(*args).await,
        Command::Sidecar(args) => sidecar::run(args).await,
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(args).await,
        Command::Convert(args) => convert::run(&args),
        Command::Selftest(args) => selftest::run(args).await,
        Command::Crd => print(&crate::crd::yaml()),
        Command::Version => print(concat!("adit ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

/// The exit code of an error that ended the process.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<ConfigErrors>().is_some() {
        ExitCode::from(EXIT_CONFIG)
    } else {
        ExitCode::FAILURE
    }
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
