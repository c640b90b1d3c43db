//! Logs: one subscriber, text on a terminal and JSON elsewhere.
//!
//! Whoever logs never waits for the reader of standard error, and in a controller the lines of a
//! tunnel have a budget.

use std::io::{self, IsTerminal, Write, stderr};
use std::panic::set_hook;
use std::sync::OnceLock;
use std::time::Duration;

use clap::ValueEnum;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::base::{Bound, panic};
use crate::metrics::Metrics;

mod budget;
mod lines;

use budget::Budget;
use lines::Lines;

/// How long the end of the process waits for lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Between two looks at what was left out.
const LOOK: Duration = Duration::from_secs(1);

/// The queue of the process's lines, once there is a subscriber.
static STARTED: OnceLock<Lines> = OnceLock::new();

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// What is known of lines that were left out.
pub struct LeftOut {
    lines: Lines,
    budget: Option<Budget>,
    /// Dropped lines that were counted, and those of them that were not said yet.
    counted: u64,
    unsaid: u64,
}

/// Sends log lines to standard error. `level` is a level (`info`) or a filter of tracing's
/// (`info,adit::handler=debug`). With `tenants` the lines of one tunnel, and those of all clients
/// without one, have a budget: [`LeftOut::tell`] says what was beyond it. A single user wants all.
///
/// # Errors
/// If `level` is neither, or a subscriber is already installed.
pub fn start(level: &str, format: Option<LogFormat>, tenants: bool) -> anyhow::Result<LeftOut> {
    let filter = EnvFilter::try_new(quiet(checked(level)?))?;
    let format =
        format.unwrap_or(if stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json });
    let lines = Lines::start(stderr(), lines::QUEUE)?;
    let budget = tenants.then(Budget::default);
    let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone());
    let layer = match format {
        LogFormat::Text => layer.with_ansi(stderr().is_terminal()).with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(budget.clone()).with(layer);
    subscriber.try_init().map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))?;
    let _ = STARTED.set(lines.clone());
    Ok(LeftOut { lines, budget, counted: 0, unsaid: 0 })
}

/// Logs and counts panics from now on. A task's panic ends nothing else, so nobody would hear of it.
pub fn report_panics(metrics: Metrics) {
    set_hook(Box::new(move |info| {
        metrics.panics.inc();
        let place = info.location().map_or_else(|| "?".into(), ToString::to_string);
        panic::note_place(place.clone());
        let message = panic::message(info.payload());
        tracing::error!(target: "adit::panic", place, error = message, "a bug, please report it: panic");
    }));
}

/// Says the last words of the process on standard error, behind all log lines, and waits for them to
/// be written, but not for a reader that does not read.
pub fn last_words(text: &str) {
    match STARTED.get() {
        Some(mut lines) => {
            let _ = (&mut lines).write_all(format!("{text}\n").as_bytes());
        }
        // Standard error may be closed; there is nobody left to tell then.
        None => drop(writeln!(stderr(), "{text}")),
    }
    flush();
}

/// Waits until the lines so far are written, for a second at most.
pub fn flush() {
    match STARTED.get() {
        Some(lines) => lines.flush(LAST_LINES),
        None => drop(io::stderr().flush()),
    }
}

impl LeftOut {
    /// Counts and says what was left out, as long as the process lives.
    pub async fn tell(mut self, metrics: Metrics) {
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            self.look(&metrics);
        }
    }

    fn look(&mut self, metrics: &Metrics) {
        for (object, lines) in self.budget.iter().flat_map(Budget::next) {
            metrics.bound_reached_times(Bound::LogLines, lines);
            match object {
                Some(object) => tracing::warn!(
                    tunnel = object,
                    lines,
                    "the tunnel had more lines in the last second, which were left out"
                ),
                None => tracing::warn!(
                    lines,
                    "clients and nodes without a known tunnel had more lines in the last second, which were left out"
                ),
            }
        }
        let dropped = self.lines.dropped();
        let new = dropped - self.counted;
        self.counted = dropped;
        self.unsaid += new;
        metrics.bound_reached_times(Bound::LogQueue, new);
        // While lines are dropped, so is this one.
        if new == 0 && self.unsaid > 0 {
            let lines = std::mem::take(&mut self.unsaid);
            tracing::warn!(lines, "lines were dropped, as nobody read standard error in time");
        }
    }
}

/// The filter, where each part is a level or `target=level`. tracing takes any other word for a
/// target that alone may speak, so a slip would silence everything. GOST writes `fatal` for the
/// quietest level.
/// A filter without the lines of the Kubernetes client on failed requests, unless it asks for them:
/// each failure is handled, and said where it matters.
fn quiet(filter: &str) -> String {
    if filter.contains("kube") {
        return filter.into();
    }
    format!("{filter},kube_client::client::builder=off")
}

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
    use lines::tests_support::Book;

    #[test]
    fn dropped_lines_are_counted_at_once_and_said_once_they_are_read_again() {
        let metrics = Metrics::new().unwrap();
        let full = Lines::start(Vec::new(), 0).unwrap();
        let mut left_out = LeftOut { lines: full, budget: None, counted: 0, unsaid: 0 };
        let book = Book::default();
        let subscriber = tracing_subscriber::fmt().with_writer(book.clone()).with_ansi(false);
        let subscriber = subscriber.finish();
        tracing::subscriber::with_default(subscriber, || {
            left_out.lines.counts_dropped(3);
            left_out.look(&metrics);
            let text = metrics.encode().unwrap();
            assert!(text.contains("adit_bound_reached_total{bound=\"log_queue\"} 3"), "{text}");
            assert_eq!(book.text(), "");
            (0..2).for_each(|_| left_out.look(&metrics));
        });
        assert_eq!(book.text().matches("lines=3").count(), 1, "{}", book.text());
    }

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
