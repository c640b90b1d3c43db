//! What a command line stands for, against gost's own reading.

use std::process::Command;

use adit::config::lower::{LowerContext, lower};
use adit::config::model::ServiceConfig;
use adit::config::raw::Config;
use adit::config::read::read;
use adit::config::secrets::Secrets;
use serde_json::Value;

use crate::support::tools;

/// The command lines of GOST's WebSocket page.
const PAGE: &[&str] = &[
    "-L ws://:8080",
    "-L wss://:8080",
    "-L mws://:8443",
    "-L mwss://:8443",
    "-L wss://:8443?path=/ws",
    "-L http://:8080 -F wss://:8443?path=/ws",
    "-L http://:8080 -F wss://:8443?host=example.com",
    "-L http://:8080 -F wss://:8443?keepalive=true&ttl=15s",
    "-L http+wss://:8443",
    "-L socks5+wss://:8443",
    "-L relay+wss://:8443",
    "-L wss://:8443/:1080 -L socks5://:1080",
    "-L forward+wss://:8443/:1080 -L socks5://:1080",
];

/// More, which mean the same to both; gost writes them with copies of parameters.
const MORE: &[&str] = &[
    ":8080",
    "-L socks5://u:p@127.0.0.1:1080?udp=true&bind=true",
    "-L :8000-8001/10.0.0.1:1-2",
    "-L tcp://:80/a:1,b:2?strategy=fifo&maxFails=3",
    "-L udp://:53/8.8.8.8:53?keepalive=true&ttl=10s",
    "-L https://:8443?auth=dTpw",
    "-L http://:8080 -F relay+mwss://u:p@127.0.0.1:443?secure=true&mux.version=2",
    "-L http://:8080 -F socks5+tls://h1:443?strategy=rr -F ws://h3:80?node.weight=2",
    "-L rtcp://:8000/:80 -F relay+wss://127.0.0.1:443?path=/x",
    "-L http://:1?limiter.in=1MB&limiter.out=2MB&climiter=5&rlimiter=2.5&retries=2",
    "-L http://:1?admission=~10.0.0.0/8&bypass=a.com,*.b.com&resolver=1.1.1.1&hosts=a:1.2.3.4",
    "-L HTTP+WS://:8080/?path=%2Fa%2Fb&path=/c",
    "-L http://u%20x:p%2F%40@:1",
    "-L http://:1?auth=dTpwYQ==",
    "-L :1 -F :2",
    "-L https://:1 -F https://127.0.0.1:2",
    "-L socks4a://:1 -L socks://:2 -L auto+mws://:3 -L relay+tls://:4/h:1",
    "-L tcp://:1/h:1,i:2?max_fails=2&fail_timeout=5s",
    "-L udp://:1-2/h:1-2 -L forward://:3/h:1 -L mws://:4/h:1",
    "-L http://:1?handler.readTimeout=1s&listener.keepalive=true&service.dialTimeout=2s",
    "-L http://:1 -F http+ws://h:1?connector.timeout=3s&dialer.handshakeTimeout=4s&dialer.path=/x",
    "-L http://:1?limiter.in=1MB&limiter.conn.in=1KB&limiter.conn.out=2KB",
    "-L http://:1?Bypass=a.com&Climiter=3",
    "-L http://:1 -F socks5://h:1?bypass=~a.com&resolver=1.1.1.1&hosts=h:10.0.0.1&failTimeout=3s",
];

fn words(line: &str) -> Vec<&str> {
    let words: Vec<_> = line.split_whitespace().collect();
    if words.len() == 1 { vec!["-L", line] } else { words }
}

fn printed(mut program: Command, line: &str, format: &str) -> String {
    let output = program.args(["-O", format]).args(words(line)).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn adit() -> Command {
    Command::new(env!("CARGO_BIN_EXE_adit"))
}

fn gost() -> Command {
    Command::new(tools::path("gost"))
}

#[test]
fn the_command_lines_of_the_page_are_written_as_gost_writes_them() {
    for line in PAGE {
        let [ours, theirs] = [adit(), gost()].map(|program| printed(program, line, "yaml"));
        let value = |text: &str| serde_yaml::from_str::<Value>(text).unwrap();
        assert_eq!(value(&ours), value(&theirs), "{line}");
        let order = |text: &str| {
            let keys =
                text.lines().filter_map(|line| line.trim_start_matches([' ', '-']).split_once(':'));
            keys.map(|(key, _)| key.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(order(&ours), order(&theirs), "{line}");
        let json: Value = serde_json::from_str(&printed(adit(), line, "json")).unwrap();
        assert_eq!(json, value(&ours), "{line}");
    }
}

fn lowered(line: &str, text: &str) -> Vec<ServiceConfig> {
    let secrets = Secrets::default();
    let config = read(text).unwrap_or_else(|e| panic!("{line}: {e}\n{text}")).gost;
    let mut services = lower(&config, &LowerContext::files("default", &secrets))
        .unwrap_or_else(|e| panic!("{line}: {e}\n{text}"))
        .services;
    // gost's copies of parameters are warned about.
    services.iter_mut().for_each(|service| service.warnings.clear());
    services
}

#[test]
fn what_gost_writes_means_the_same_as_the_command_line() {
    for line in PAGE.iter().chain(MORE) {
        let [ours, theirs] = [adit(), gost()]
            .map(|program| format!("{:#?}", lowered(line, &printed(program, line, "yaml"))));
        // Only names differ where several hops have nodes.
        let plain =
            |text: &str| text.replace("hop-0-node-", "node-").replace("hop-1-node-", "node-");
        assert_eq!(plain(&ours), plain(&theirs), "{line}");
    }
}

/// Keys in any case, numbers as text, a service where a list is expected.
const LENIENT: &str = "
Services:
  name: a
  Addr: ':1'
  handler: {type: http, CHAIN: up, retries: '0x2', auth: {username: 7, password: 1e3}}
chains: [{name: up, hops: [{nodes: [{addr: 'h:1', connector: {type: socks5}}]}]}]
tls: {certFile: a.pem, keyFile: a.key, caFile: a.ca}
";

fn config(mut program: Command, args: &[&str]) -> Config {
    let output = program.args(args).args(["-O", "yaml"]).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    read(&String::from_utf8(output.stdout).unwrap()).unwrap().gost
}

#[test]
fn a_file_and_a_command_line_are_one_configuration_as_for_gost() {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), LENIENT).unwrap();
    let args = ["-C", file.path().to_str().unwrap(), "-L", ":3", "-F", "socks5://:2"];
    let ours = config(adit(), &args);
    assert_eq!(ours, config(gost(), &args));
    // Only what -L says goes through what -F says.
    let chain = |i: usize| ours.services[i].handler.as_ref().unwrap().chain.as_str();
    assert_eq!([chain(0), chain(1)], ["up", "chain-0"]);
}

#[test]
fn every_source_adds_to_the_lists_and_the_last_tls_counts() {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), LENIENT).unwrap();
    let second = r#"{"services": {"name": "b", "addr": ":2", "handler": {"chain": "up"}},
        "tls": {"certFile": "b.pem", "keyFile": "b.key"}}"#;
    let args = ["-C", file.path().to_str().unwrap(), "-C", second, "-L", "ws://:3"];
    let config = config(adit(), &args);
    let names: Vec<&str> = config.services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "service-0"]);
    let tls = config.tls.unwrap();
    assert_eq!((tls.cert_file.as_str(), tls.ca_file.as_str()), ("b.pem", ""));
}

#[test]
fn two_sources_with_one_name_are_an_error() {
    let service = r#"{"services": [{"name": "service-0", "addr": ":1"}]}"#;
    let output = adit().args(["-C", service, "-L", ":2"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("-L :2: name: ") && said.contains("names are unique"), "{said}");
}
