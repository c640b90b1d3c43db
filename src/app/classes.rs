//! The class file of `--classes`, and its changes.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::aside::aside;
use super::process::Process;
use crate::base::Reason;
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::control::policy::{Policy, Reserved};
use crate::sidecar::{Inputs, Look};

/// A class file that can be read again.
#[derive(Clone)]
pub(super) struct Classes {
    inputs: Inputs,
    fronts: Vec<u16>,
    admin: Option<u16>,
    /// Only some namespaces are watched: nobody can ask for the labels of all.
    namespaced: bool,
    seen: Look,
}

impl Classes {
    /// The file, or folder, for a process with these ports.
    pub(super) fn new(path: &Path, fronts: Vec<u16>, admin: Option<u16>) -> Self {
        let (inputs, seen) = (Inputs::folder(path), Look::default());
        Self { inputs, fronts, admin, namespaced: false, seen }
    }

    /// The same for a process that watches these namespaces only, if any.
    #[must_use]
    pub(super) fn within(self, namespaces: &[String]) -> Self {
        Self { namespaced: !namespaces.is_empty(), ..self }
    }

    /// Reads it.
    ///
    /// # Errors
    /// All that is wrong.
    pub(super) fn load(&mut self) -> Result<Policy, ConfigErrors> {
        self.seen = self.inputs.look([]);
        let mut files = Vec::new();
        let mut errors = Vec::new();
        for file in self.inputs.read() {
            match file {
                Ok(file) => files.push(file),
                Err((name, error)) => {
                    errors.push(Diagnostic::new(name, Reason::Invalid, error.to_string()));
                }
            }
        }
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let texts = files.iter().map(|file| (&*file.name, &*file.text));
        let policy = Policy::read(texts, Reserved { fronts: &self.fronts, admin: self.admin })?;
        if self.namespaced && policy.needs_labels() {
            let message = "matchLabels needs all namespaces, and --namespace leaves some out; write \
                           names";
            let error = Diagnostic::new("classes", Reason::Invalid, message);
            return Err(ConfigErrors::one(error));
        }
        Ok(policy)
    }

    /// The same without keeping the caller's task waiting for a disk: it renews the Lease.
    ///
    /// # Errors
    /// All that is wrong.
    async fn load_aside(&mut self) -> Result<Policy, ConfigErrors> {
        let mut classes = self.clone();
        let loaded = aside(move || {
            let outcome = classes.load();
            (classes.seen, outcome)
        });
        match loaded.await {
            Ok((seen, outcome)) => {
                self.seen = seen;
                outcome
            }
            Err(bug) => {
                // The same file would meet the same bug.
                let (seen, inputs) = (self.seen.clone(), self.inputs.clone());
                self.seen = aside(move || seen.again(&inputs)).await?;
                Err(bug)
            }
        }
    }

    /// Takes changes over for as long as the process lives. A file that is wrong changes nothing:
    /// the classes before it stay, and the log, `/readyz` and metrics say so.
    pub(super) async fn follow(&mut self, process: &Process, policy: &watch::Sender<Arc<Policy>>) {
        let metrics = &process.metrics;
        loop {
            self.inputs.changed(&self.seen).await;
            match self.load_aside().await {
                Ok(classes) => {
                    process.refused_change.send_replace(None);
                    metrics.config_last_reload_successful.set(1);
                    let names: Vec<_> = classes.classes().map(|class| &*class.name).collect();
                    tracing::info!(classes = names.join(", "), "classes taken over");
                    policy.send_replace(Arc::new(classes));
                }
                Err(errors) => {
                    metrics.config_reload_failures.inc();
                    metrics.config_last_reload_successful.set(0);
                    tracing::warn!(error = %errors, "classes refused, those before them stay");
                    process.refused_change.send_replace(Some(errors.to_string()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::process::Command;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_class_file_on_a_slow_disk_keeps_no_task_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("classes.yaml");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut classes = Classes::new(&path, Vec::new(), None);
        // The disk answers when the task has gone on, or after a time that fails the test.
        let (went_on, goes_on) = mpsc::channel();
        let text = "classes: [{name: gold, default: true, namespaces: {all: true}}]";
        let disk = std::thread::spawn(move || {
            let went_on: Result<(), _> = goes_on.recv_timeout(Duration::from_secs(20));
            std::fs::write(&path, text).unwrap();
            went_on
        });
        let mut load = pin!(classes.load_aside());
        tokio::select! {
            biased;
            _ = &mut load => {}
            () = std::future::ready(()) => went_on.send(()).unwrap(),
        }
        assert_eq!(disk.join().unwrap(), Ok(()), "the task waited for the disk");
        let policy = load.await.unwrap();
        assert!(policy.class(Some("gold")).is_some());
    }
}
