//! What a file of GOST's says of the process.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::process::Process;
use crate::support::{http, ports};

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn log_and_metrics_of_a_file_are_those_of_the_process_until_a_flag_says_more() {
    let (port, metrics) = (ports::free(), ports::free());
    let file = file(&format!(
        "
services: [{{name: in, addr: '127.0.0.1:{port}', handler: {{type: http}}}}]
log: {{level: debug, format: text}}
metrics: {{addr: '127.0.0.1:{metrics}'}}
"
    ));
    let path = file.path().to_str().unwrap();
    let adit = Process::adit(&["-C", path]);
    adit.prints("in: http proxy on tcp");
    let answer = http::get(SocketAddr::from(([127, 0, 0, 1], metrics)), "/metrics").unwrap();
    assert!(answer.text().contains("adit_build_info"), "{}", answer.text());
    drop(adit);
    let adit = Process::adit(&["-C", path, "--log-format", "json", "--log-level", "trace"]);
    adit.prints("in: http proxy on tcp");
    http::get(SocketAddr::from(([127, 0, 0, 1], metrics)), "/metrics").unwrap();
    adit.prints("\"level\":");
}

#[test]
fn a_level_that_is_none_and_a_password_for_metrics_are_errors() {
    let text = "services: [{name: in, addr: ':1'}]\nlog: {level: loud}\n\
                metrics: {addr: ':2', auth: {username: u, password: hunter2}}";
    let file = file(text);
    let path = file.path().to_str().unwrap();
    for args in [&["-C", path][..], &["check", path], &["sidecar", "--config", path]] {
        let mut adit = Process::adit(args);
        assert_eq!(adit.ends(Duration::from_secs(10)).code(), Some(64));
        adit.prints("log.level: \"loud\" is not a level");
        adit.prints("metrics.auth: there is no password");
        assert!(!adit.printed().contains("hunter2"), "{}", adit.printed());
    }
}
