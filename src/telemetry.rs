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
    let filter = EnvFilter::try_new(checked(level)?)?;
    let format =
        format.unwrap_or(if stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let installed = match format {
        LogFormat::Text => builder.with_ansi(stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    installed.map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))
}

/// The filter, where each part is a level or `target=level`. tracing takes any other word for a
/// target that alone may speak, so a slip would silence everything. GOST writes `fatal` for the
/// quietest level.
fn checked(level: &str) -> anyhow::Result<&str> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    if level.eq_ignore_ascii_case("fatal") {
        return Ok("error");
    }
    for part in level.split(',') {
        let word = part.rsplit('=').next().unwrap_or(part).trim();
        anyhow::ensure!(
            LEVELS.iter().any(|known| known.eq_ignore_ascii_case(word)),
            "{part:?} is not a level; write trace, debug, info, warn or error"
        );
    }
    Ok(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused_and_does_not_silence_the_log() {
        for level in ["inof", "foo", "", "info,foo", "adit::handler=loud"] {
            assert!(checked(level).is_err(), "{level}");
        }
        for level in ["info", "WARN", "fatal", "info,adit::handler=debug"] {
            assert!(checked(level).is_ok(), "{level}");
        }
    }
}
