//! The real servers and clients, built by `tests/tools/build` on first use.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// The path of a tool such as `gost`, `helm` or `kube-apiserver`; builds it if need be.
pub fn path(name: &str) -> PathBuf {
    static BUILT: OnceLock<Mutex<HashMap<String, PathBuf>>> = OnceLock::new();
    let mut built = BUILT.get_or_init(Mutex::default).lock().unwrap();
    if let Some(path) = built.get(name) {
        return path.clone();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/build");
    let output = Command::new(script)
        .arg(name)
        .stderr(std::process::Stdio::inherit())
        .output()
        .unwrap_or_else(|e| panic!("cannot run {script}: {e}"));
    assert!(output.status.success(), "{script} {name} failed; its last lines say what to install");
    let stdout = String::from_utf8(output.stdout).unwrap();
    for line in stdout.lines() {
        if let Some((name, path)) = line.split_once('=') {
            built.insert(name.to_string(), PathBuf::from(path));
        }
    }
    built.get(name).unwrap_or_else(|| panic!("{script} {name} printed no path")).clone()
}
