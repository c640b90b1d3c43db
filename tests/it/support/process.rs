//! Processes of the tests: started with a kept pid, ended by it, also when a test panics.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::wait::eventually;

/// A child process and what it has printed so far, both streams.
pub struct Process {
    child: Child,
    printed: Arc<Mutex<String>>,
    collecting: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a program.
    pub fn start<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S]) -> Self {
        Self::spawn(Command::new(program).args(args))
    }

    /// Starts the adit of this build.
    pub fn adit<S: AsRef<OsStr>>(args: &[S]) -> Self {
        Self::start(env!("CARGO_BIN_EXE_adit"), args)
    }

    /// Starts a prepared command.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let printed = Arc::new(Mutex::new(String::new()));
        let collecting = vec![
            collect(child.stdout.take().unwrap(), printed.clone()),
            collect(child.stderr.take().unwrap(), printed.clone()),
        ];
        Self { child, printed, collecting }
    }

    /// Starts the adit of this build with its standard error there; what it prints is the other
    /// stream.
    pub fn adit_with_stderr<S: AsRef<OsStr>>(args: &[S], stderr: impl Into<Stdio>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().unwrap();
        let printed = Arc::new(Mutex::new(String::new()));
        let collecting = vec![collect(child.stdout.take().unwrap(), printed.clone())];
        Self { child, printed, collecting }
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// Waits until it has printed `text`.
    pub fn prints(&self, text: &str) {
        eventually(&format!("it prints {text:?}"), Duration::from_secs(20), || {
            let printed = self.printed();
            assert!(
                printed.contains(text) || !self.is_zombie(),
                "it ended without printing {text:?}:\n{printed}"
            );
            printed.contains(text)
        });
    }

    /// Sends a signal, such as `TERM` or `STOP`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(status.success(), "cannot send {name}");
    }

    /// Its exit status, within the time. All that it has printed is there then.
    pub fn ends(&mut self, within: Duration) -> ExitStatus {
        let mut status = None;
        eventually("the process ends", within, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        self.collecting.drain(..).for_each(|collector| collector.join().unwrap());
        status.unwrap()
    }

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn is_zombie(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- process {} printed:\n{}", self.child.id(), self.printed());
        }
    }
}

fn collect(
    stream: impl std::io::Read + Send + 'static,
    printed: Arc<Mutex<String>>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut printed = printed.lock().unwrap();
            printed.push_str(&line);
            printed.push('\n');
        }
    })
}
