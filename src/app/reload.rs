//! Changes of the configuration while it runs.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};

use super::aside::aside;
use super::files::{self, Attempt, Loaded};
use super::process::Process;
use super::top::Top;
use crate::base::Reason;
use crate::config::cmdline::Line;
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::sidecar::{Inputs, Look};

/// Of inputs without a service.
pub(super) const NOTHING_TO_RUN: &str =
    "nothing to run: no service is given; write one under `services:`, or give one with -L";

const NOTHING_LEFT: &str = "no service is left: the files are empty, or have none under `services:`; to \
                            close all, end the process";

/// A configuration that can be read again: when files look different, on SIGHUP, and at an interval
/// if one is given.
pub(super) struct Source {
    inputs: Inputs,
    line: Line,
    every: Option<Duration>,
    /// Whether there has to be a service.
    pub some_service: bool,
    /// Some service runs: a file that became empty is a mistake, as a volume that is not filled yet.
    runs: bool,
    /// What the files said of the process when it started.
    top: Option<Top>,
    seen: Look,
    hangup: Signal,
}

impl Source {
    /// From inputs and the command line.
    ///
    /// # Errors
    /// If the signal handler cannot be installed.
    pub(super) fn new(
        inputs: Inputs,
        line: Line,
        every: Option<Duration>,
    ) -> std::io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        let seen = Look::default();
        Ok(Self { inputs, line, every, some_service: false, runs: false, top: None, seen, hangup })
    }

    /// Reads everything.
    ///
    /// # Errors
    /// All that is wrong.
    pub(super) async fn load(&mut self) -> Result<Loaded, ConfigErrors> {
        let (inputs, line, before) = (self.inputs.clone(), self.line.clone(), self.seen.clone());
        match aside(move || files::load(&inputs, &line)).await {
            Ok(Attempt { outcome, seen }) => {
                self.seen = seen;
                let none = |loaded: &Loaded| loaded.services.is_empty();
                if self.some_service && outcome.as_ref().is_ok_and(none) {
                    let found = Diagnostic::new("", Reason::Invalid, NOTHING_TO_RUN);
                    return Err(ConfigErrors::one(found));
                }
                if self.runs && outcome.as_ref().is_ok_and(none) {
                    let found = Diagnostic::new("", Reason::Invalid, NOTHING_LEFT);
                    return Err(ConfigErrors::one(found));
                }
                self.runs |= outcome.as_ref().is_ok_and(|loaded| !none(loaded));
                let mut outcome = outcome;
                if let Ok(loaded) = &mut outcome {
                    let first = self.top.get_or_insert_with(|| loaded.top.clone());
                    if *first != loaded.top {
                        let message = "log and metrics of a file count when the process starts";
                        let found = Diagnostic::new("", Reason::Unsupported, message);
                        loaded.warnings.push(found);
                    }
                }
                outcome
            }
            Err(bug) => {
                // The same files would meet the same bug.
                let inputs = self.inputs.clone();
                self.seen = aside(move || before.again(&inputs)).await?;
                Err(bug)
            }
        }
    }

    /// Takes changes over for as long as the process lives. What is wrong changes nothing: the
    /// configuration before it runs on, and the log, `/readyz` and metrics say so.
    pub(super) async fn follow(&mut self, process: &Process) {
        let mut revision = 1;
        let every = self.every.unwrap_or(Duration::from_secs(24 * 3600));
        let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.inputs.changed(&self.seen) => {}
                _ = self.hangup.recv() => {}
                _ = ticks.tick(), if self.every.is_some() => {}
            }
            let metrics = &process.metrics;
            match self.load().await {
                Ok(loaded) => {
                    revision += 1;
                    files::warn(&loaded);
                    let services = loaded.services.len();
                    process.engine.apply(loaded.desired(revision));
                    process.refused_change.send_replace(None);
                    metrics.config_last_reload_successful.set(1);
                    tracing::info!(revision, services, "configuration taken over");
                }
                Err(errors) => {
                    metrics.config_reload_failures.inc();
                    metrics.config_last_reload_successful.set(0);
                    tracing::warn!(
                        error = %errors,
                        "configuration refused, the one before it runs"
                    );
                    process.refused_change.send_replace(Some(errors.to_string()));
                }
            }
        }
    }
}
