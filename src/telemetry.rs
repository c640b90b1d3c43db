//! Logs: one subscriber, text on a terminal and JSON elsewhere.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Sends log lines to standard error. `level` is a level (`info`) or a filter of tracing's
/// (`info,adit::handler=debug`).
///
/// # Errors
/// If `level` is neither, or a subscriber is already installed.
pub fn start(level: &str, format: Option<LogFormat>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(gost_level(level))?;
    let format =
        format.unwrap_or(if stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let installed = match format {
        LogFormat::Text => builder.with_ansi(stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    installed.map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))
}

/// GOST writes `fatal` for the quietest level.
fn gost_level(level: &str) -> &str {
    if level.eq_ignore_ascii_case("fatal") { "error" } else { level }
}
