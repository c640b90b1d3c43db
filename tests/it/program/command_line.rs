//! What a command line stands for, against gost's own reading.

use std::process::Command;

use adit::config::lower::{LowerContext, lower};
use adit::config::model::ServiceConfig;
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
