//! `adit convert`, as a person or a script uses it, and what gost makes of what it writes.

use std::sync::Arc;

use std::io::Write;
use std::process::{Command, Stdio};

use adit::config::lower::{LowerContext, lower};
use adit::config::model::ServiceConfig;
use adit::config::read::read;
use adit::config::secrets::Secrets;

use crate::support::tools;

/// The exit code, standard output and standard error of a run with something on its input.
fn adit(args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const FILE: &str = "
services:
- name: in
  addr: ':8080'
  handler: {type: socks5, chain: up, auther: users}
  listener: {type: mws, metadata: {path: /t, mux: {version: 2}}}
- name: out
  addr: ':9000'
  handler: {type: tcp}
  forwarder: {selector: {strategy: fifo, failTimeout: 5s}, nodes: [{addr: 'db:5432'}, {addr: 'db-1:5432'}]}
chains:
- name: up
  hops:
  - nodes:
    - addr: gw:443
      connector: {type: relay, auth: {username: v, password: hunter2}}
      dialer: {type: mwss, tls: {secure: true, serverName: gw.example}, metadata: {keepalive: true, ttl: 5s}}
authers: [{name: users, auths: [{username: u, password: 'hunter2 &/?@'}]}]
";

#[test]
fn a_file_is_a_tunnel_that_check_takes_and_a_file_again() {
    let (code, tunnel, said) = adit(&["convert", "-", "--name", "edge", "-n", "team-a"], FILE);
    assert_eq!(code, Some(0), "{said}");
    assert!(tunnel.contains("kind: WsTunnel") && tunnel.contains("namespace: team-a"), "{tunnel}");
    assert!(!said.contains("hunter2"), "{said}");
    let (code, said, _) = adit(&["check", "-"], &tunnel);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ok: 2 services"), "{said}");
    let (code, file, said) = adit(&["convert", "-C", "-"], &tunnel);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(nameless(lowered(&file)), nameless(lowered(FILE)));
}

#[test]
fn each_line_of_standard_error_has_its_flag_or_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("My Gost.yaml");
    std::fs::write(&path, "services: [{name: a, addr: '127.0.0.1:1080'}]").unwrap();
    let path = path.display().to_string();
    let (code, out, said) = adit(&["convert", &path, "-L", "rtcp://:1/:2"], "");
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains("name: my-gost"), "{out}");
    assert!(said.contains(&format!("warning: {path}: services[0].addr: ")), "{said}");
    assert!(said.contains("warning: -L rtcp://:1: listener.type: left out"), "{said}");
    let (_, _, said) = adit(&["convert", "-L", "http://:8080/", "-F", "ws://:8081"], "");
    for part in ["services[0].addr: a cluster refuses it as it is: port 8080", "loopback"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn what_is_wrong_by_itself_or_leaves_nothing_is_code_64_and_no_output() {
    let tunnel = adit(&["convert", "-"], FILE).1;
    let both = format!("{tunnel}---\n{FILE}");
    for (args, input, part) in [
        (&["convert"][..], "", "nothing to convert"),
        (&["convert", "-"], "", "neither services nor a WsTunnel"),
        (&["convert", "-"], "services: [{name: a, addr: ':1', handler: {type: quic}}]", "quic"),
        (&["convert", "-"], "services: [{handler: {chain: nowhere}}]", "nowhere"),
        (&["convert", "-", "-o", "cmdline"], "services: [{name: a", "not YAML"),
        (&["convert", "-L", "wsss://:1"], "", "wsss"),
        (&["convert", "-L", "rtcp://:1/:2"], "", "nothing is left"),
        (&["convert", "-L", "http://:1-40"], "", "at most 32 entries, here are 40"),
        (&["convert", "-"], &both, "say with -o"),
        (&["convert", "-", "-o", "gost", "--name", "x"], FILE, "--name"),
    ] {
        let (code, out, said) = adit(args, input);
        assert_eq!((code, out.as_str()), (Some(64), ""), "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let (code, _, said) = adit(&["convert", "-", "--name", "Not A Label"], FILE);
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn the_commands_of_the_readme_work() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let objects = adit(&["convert", "-"], FILE).1;
    let (secrets, tunnel) = objects.rsplit_once("---\n").unwrap();
    for (name, text) in [("gost.yaml", FILE), ("tunnel.yaml", tunnel), ("secrets.yaml", secrets)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let lines: Vec<&str> = readme.lines().filter(|l| l.starts_with("adit convert ")).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in lines {
        let line = line.replacen("adit", env!("CARGO_BIN_EXE_adit"), 1).replace("kubectl", "cat #");
        let script = format!("set -o pipefail; {line}");
        let output =
            Command::new("bash").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{line}: {output:?}");
    }
}

fn lowered(text: &str) -> Vec<ServiceConfig> {
    let secrets = Secrets::default();
    let config = read(text).unwrap_or_else(|e| panic!("{e}\n{text}")).gost;
    let lowered = lower(&config, &LowerContext::files("default", &secrets));
    lowered.unwrap_or_else(|e| panic!("{e}\n{text}")).services
}

/// Without what differs for no reason: names, and warnings about copies of parameters.
fn nameless(mut services: Vec<ServiceConfig>) -> String {
    for service in &mut services {
        (service.name, service.warnings) = ("".into(), Vec::new());
        let mut chain = service.chain.as_ref().clone();
        chain.name.clear();
        for hop in &mut chain.hops {
            hop.name.clear();
            hop.nodes.iter_mut().for_each(|node| Arc::make_mut(node).name.clear());
        }
        service.chain = std::sync::Arc::new(chain);
    }
    format!("{services:#?}").replace("name: \"target-1\"", "").replace("name: \"target-0\"", "")
}

#[test]
fn gost_reads_the_same_in_what_is_written_for_it() {
    let gost = |args: &[&str]| {
        let output = Command::new(tools::path("gost")).args(args).args(["-O", "yaml"]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let tunnel = adit(&["convert", "-"], FILE).1;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gost.yaml");
    std::fs::write(&path, adit(&["convert", "-"], &tunnel).1).unwrap();
    let read = gost(&["-C", path.to_str().unwrap()]);
    assert_eq!(nameless(lowered(&read)), nameless(lowered(FILE)));

    let (code, commands, said) = adit(&["convert", "-", "-o", "cmdline"], &tunnel);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(commands.lines().count(), 2, "{commands}");
    let mut services = Vec::new();
    for command in commands.lines() {
        // As a shell takes it apart.
        let script = command.replacen("adit", "printf '%s\\n'", 1);
        let words = Command::new("sh").args(["-c", &script]).output().unwrap();
        let words = String::from_utf8(words.stdout).unwrap();
        services.extend(lowered(&gost(&words.lines().collect::<Vec<_>>())));
    }
    assert_eq!(nameless(services), nameless(lowered(FILE)));
}
