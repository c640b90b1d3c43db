//! One node for all claims, and commands against it from a host beside the cluster.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::tools;

/// Where the claims apply what a tenant applies; the namespace of the current context.
pub const TENANT: &str = "team";
/// Where the README installs the controller.
pub const SYSTEM: &str = "adit-system";

/// A node that is up.
pub struct Node {
    state: PathBuf,
    /// What `tests/node/up` says of it.
    env: Vec<(String, String)>,
    /// README commands that a claim has run.
    pub(crate) ran: RefCell<BTreeSet<String>>,
    janitor: Option<Child>,
}

impl Node {
    /// Brings up a node with two namespaces that take restricted pods only.
    pub fn up() -> Self {
        let state = tempfile::Builder::new().prefix("adit-node-").tempdir().unwrap().keep();
        let janitor = Some(janitor(&state));
        let status = Command::new(script("up")).arg(&state).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "tests/node/up failed");
        let env = std::fs::read_to_string(state.join("env")).unwrap();
        let pairs = env.lines().filter_map(|line| line.split_once('='));
        let env = pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let node = Self { state, env, ran: RefCell::default(), janitor };
        std::fs::create_dir(node.state.join("path")).unwrap();
        for tool in ["kubectl", "helm", "gost", "app"] {
            let link = node.state.join("path").join(tool);
            std::os::unix::fs::symlink(tools::path(tool), link).unwrap();
        }
        for namespace in [SYSTEM, TENANT] {
            node.sh(&format!("kubectl create namespace {namespace}"));
            let label = "pod-security.kubernetes.io/enforce=restricted";
            node.sh(&format!("kubectl label namespace {namespace} {label}"));
        }
        node.sh(&format!("kubectl config set-context --current --namespace={TENANT}"));
        node
    }

    /// What `STATE/env` says.
    pub fn env(&self, name: &str) -> &str {
        &self.env.iter().find(|(known, _)| known == name).unwrap().1
    }

    /// Where files of this run may be put; gone after a run without failure.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// A program on the host beside the cluster, in the root of the repository.
    pub fn command<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.env("OUTSIDE_NETNS")));
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.state.join("path").display()));
        command.env("KUBECONFIG", self.env("KUBECONFIG"));
        // Helm keeps nothing of a run in the home of who runs it.
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(home, self.state.join("helm"));
        }
        command.arg(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
        command
    }

    /// Runs a line of shell there; its standard output, or all that it said.
    pub fn try_sh(&self, line: &str) -> Result<String, String> {
        let args = ["150", "sh", "-euc", line];
        let output = self.command("timeout", &args).stdin(Stdio::null()).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(printed);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("$ {line}\n{printed}{said}({})", output.status))
    }

    /// Runs a line of shell there that has to succeed.
    pub fn sh(&self, line: &str) -> String {
        println!("      $ {}", line.lines().next().unwrap_or_default());
        self.try_sh(line).unwrap_or_else(|said| panic!("{said}"))
    }

    /// Applies objects that are no file.
    pub fn apply(&self, objects: &str) {
        self.sh(&format!("kubectl apply -f - <<'EOF'\n{}\nEOF", objects.trim()));
    }

    /// Runs a line until it succeeds and prints `wanted`.
    pub fn until_prints(&self, line: &str, wanted: &str, within: Duration) -> String {
        println!("      $ {line}  # until it prints {wanted:?}");
        let deadline = Instant::now() + within;
        loop {
            let answer = self.try_sh(line);
            match answer {
                Ok(printed) if printed.contains(wanted) => return printed,
                _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(250)),
                last => panic!("not within {within:?}: {line} prints {wanted:?}; last {last:?}"),
            }
        }
    }

    /// Runs one of the scripts beside this file for the node.
    pub fn script(&self, name: &str, args: &[&str]) -> String {
        let mut command = Command::new(script(name));
        let output = command.arg(&self.state).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tests/node/{name} {args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What helps to see why a claim failed.
    pub fn show_everything(&self) {
        for namespace in [SYSTEM, TENANT] {
            let k = format!("kubectl --namespace={namespace}");
            let pods = self.try_sh(&format!("{k} get pods -o name")).unwrap_or_default();
            let mut lines = vec![
                format!("{k} get all,wst -o wide"),
                format!("{k} describe wst"),
                format!("{k} get events --sort-by=.lastTimestamp | tail -n 40"),
            ];
            for pod in pods.lines() {
                let logs = format!("{k} logs {pod} --all-containers --prefix --tail=40");
                lines.push(format!("{logs}; {logs} --previous 2>/dev/null || true"));
            }
            for line in lines {
                println!("--- {line}");
                println!("{}", self.try_sh(&line).unwrap_or_else(|said| said));
            }
        }
        println!("--- logs of the node's servers stay in {}", self.state.join("log").display());
    }

    /// Ends the node and removes its files.
    pub fn down(mut self) {
        self.end();
        std::fs::remove_dir_all(&self.state).unwrap();
    }

    fn end(&mut self) {
        let Some(mut janitor) = self.janitor.take() else { return };
        drop(janitor.stdin.take());
        let _ = janitor.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends the node when this process is no more, however it went: its end of the pipe closes then.
/// In a process group of its own, which Ctrl-C does not reach.
fn janitor(state: &Path) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", r#"cat; exec "$0" "$1""#]).arg(script("down")).arg(state);
    command.stdin(Stdio::piped()).process_group(0).spawn().unwrap()
}

/// A script beside this file.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node").join(name)
}
