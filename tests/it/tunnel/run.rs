//! The program on a file that a test changes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::http::get;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::wait::eventually;

const WITHIN: Duration = Duration::from_secs(20);

/// `adit -C FILE` with its admin port.
pub struct Run {
    pub adit: Process,
    admin: SocketAddr,
    folder: tempfile::TempDir,
}

impl Run {
    /// Starts it on a file with this text, and waits until it is ready.
    pub fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("adit.yaml");
        std::fs::write(&file, text).unwrap();
        let admin = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let file = file.display().to_string();
        let adit = Process::adit(&["-C", &file, "--admin", &admin.to_string()]);
        let run = Self { adit, admin, folder };
        run.is_content();
        run
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As editors do: a new file takes the name.
    pub fn write(&self, text: &str) {
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), self.path("adit.yaml")).unwrap();
    }

    /// Changes the file and waits until the change is carried out.
    pub fn becomes(&self, text: &str) {
        let plans = || self.metric("adit_plan_seconds_count", "");
        let before = plans();
        self.write(text);
        eventually("the change is carried out", WITHIN, || plans() > before);
    }

    /// Waits until the newest file is refused for this reason, and whatever ran before still does.
    pub fn refuses(&self, why: &str) {
        eventually(&format!("the change is refused: {why}"), WITHIN, || {
            let answer = get(self.admin, "/readyz").ok();
            answer.is_some_and(|answer| answer.status == 200 && answer.text().contains(why))
        });
        assert_eq!(self.metric("adit_config_last_reload_successful", ""), 0.0);
        self.adit.prints("configuration refused, the one before it runs");
    }

    /// Waits until it is ready and has nothing to complain about.
    pub fn is_content(&self) {
        eventually("it is ready", WITHIN, || {
            let answer = get(self.admin, "/readyz").ok();
            answer.is_some_and(|answer| answer.status == 200 && answer.text() == "ok\n")
        });
        assert_eq!(self.metric("adit_config_last_reload_successful", ""), 1.0);
    }

    /// The sum of a metric's samples with this label.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let text = get(self.admin, "/metrics").unwrap().text();
        let samples = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && line.contains(label)
        });
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}
