//! The first minutes: two commands and a request.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::support::http::{get_through, origin};
use crate::support::process::Process;

fn in_repository(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file).display().to_string()
}

/// The `cargo run --release -- ...` lines of the README, as argument lists.
fn readme_commands() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(in_repository("README.md")).unwrap();
    let lines = readme.lines().filter_map(|line| line.strip_prefix("cargo run --release -- "));
    lines
        .map(|line| line.split(' ').map(|word| word.trim_matches('\'').to_string()).collect())
        .collect()
}

fn run(words: &[String]) -> Process {
    let words: Vec<_> = words
        .iter()
        .map(|word| if word.starts_with("deploy/") { in_repository(word) } else { word.clone() })
        .collect();
    Process::adit(&words)
}

#[test]
fn the_two_commands_of_the_readme_carry_a_request() {
    let commands = readme_commands();
    assert_eq!(commands.len(), 2, "{commands:?}");
    let server = run(&commands[0]);
    server.prints("web: http proxy on ws [::]:8080 /quickstart");
    let printed = server.printed();
    let next = printed.lines().find(|line| line.contains("adit -L")).unwrap();
    assert!(next.contains("-F 'ws://USER:PASSWORD@127.0.0.1:8080?path=/quickstart'"), "{next}");
    let client = run(&commands[1]);
    client.prints("http proxy on tcp 127.0.0.1:1080");
    let proxy: SocketAddr = "127.0.0.1:1080".parse().unwrap();
    let response = get_through(proxy, origin("hello")).unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    // What the README says to type next: the answer is the server's own 404, through the tunnel.
    let response = get_through(proxy, "127.0.0.1:8080".parse().unwrap()).unwrap();
    assert_eq!((response.status, response.text().as_str()), (404, "404 page not found\n"));
}

#[test]
fn a_port_that_is_taken_ends_the_command_with_its_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let mut adit = Process::adit(&["-L", &url]);
    let status = adit.ends(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1));
    assert!(adit.printed().contains("the address is in use"), "{}", adit.printed());
}

#[test]
fn nothing_to_run_says_what_to_type() {
    let mut adit = Process::adit::<&str>(&[]);
    assert_eq!(adit.ends(Duration::from_secs(10)).code(), Some(1));
    assert!(adit.printed().contains("give a file with -C, or a service with -L"));
}
