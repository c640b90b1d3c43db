//! What `adit convert` writes, before a real API server with its strictest validation.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::cluster::Cluster;

const PAGE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/gost-websocket-page.yaml"));

/// Every list and most fields, with names and passwords that YAML and Kubernetes take amiss.
const RICH: &str = "
services:
- name: Front Door
  addr: '127.0.0.1:8443'
  admissions: [Office, lab]
  bypass: inner
  resolver: dns
  hosts: names
  limiter: bytes
  climiter: many
  rlimiter: often
  handler: {type: socks5, chain: up, authers: [users], retries: 2, metadata: {readTimeout: 5s, udp: true}}
  listener:
    type: mwss
    tls: {certFile: /etc/it's.pem, keyFile: key.pem, caFile: ca.pem, options: {alpn: [http/1.1]}}
    metadata: {path: /t, mux: {version: 2}, header: {X-A: b}}
  metadata: {dialTimeout: 3}
- {addr: ':9000', handler: {type: rtcp}, listener: {type: tcp}, forwarder: {hop: named}}
- {name: own, addr: ':9001', handler: {type: http, auth: {username: 'null', password: '0x1F'}}}
- {name: gone, addr: ':9002', handler: {type: rtcp}, listener: {type: rtcp}, forwarder: {nodes: [{addr: 'h:1'}]}}
chains:
- name: up
  hops:
  - name: named
  - bypass: inner
    selector: {strategy: hash, maxFails: 3, failTimeout: 1m}
    nodes:
    - addr: gw:443
      connector: {type: relay, auth: {username: u, password: 'p: #1'}}
      dialer: {type: mwss, tls: {secure: true, serverName: gw.example, caFile: ca.pem}}
hops: [{name: named, nodes: [{addr: 'one:1', connector: {type: http}, dialer: {type: ws, tls: {serverName: one}}}]}]
authers: [{name: users, auths: [{username: u, password: 'yes'}, {username: 'a@b', password: '- x'}], file: {path: u.txt}}]
admissions: [{name: Office, whitelist: true, matchers: [10.0.0.0/8]}, {name: lab, reverse: true, matchers: ['::1']}]
bypasses: [{name: inner, network: tcp, matchers: ['*.corp']}]
resolvers: [{name: dns, nameservers: [{addr: 'tcp://1.1.1.1', only: ipv6, ttl: 1s, timeout: 2s}]}]
hosts: [{name: names, mappings: [{ip: 10.0.0.9, hostname: db.corp, aliases: [db2.corp]}]}]
limiters: [{name: bytes, limits: ['$ 1MB 2MB']}]
climiters: [{name: many, limits: ['$$ 5']}]
rlimiters: [{name: often, limits: ['$ 2.5']}]
";

fn converted(args: &[&str], input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_adit"))
        .arg("convert")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{input}\n{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_convert_writes_is_taken_by_the_api_server_as_it_is() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("converted");
    let mut all = Vec::new();
    for (i, text) in PAGE.split("#### example\n").skip(1).enumerate() {
        all.push(converted(&["-", "-n", &ns, "--name", &format!("page{i}")], text));
    }
    let line = ["-L", "socks5+ws://u:p@:8080?path=/x", "-F", "relay+mwss://v:q@gw:443?secure=true"];
    all.push(converted(&[&line[..], &["-n", &ns, "--name", "line"]].concat(), ""));
    all.push(converted(&["-", "-n", &ns, "--name", "rich"], RICH));
    let inline = ["-", "-n", &ns, "--name", "inline", "--inline-credentials"];
    all.push(converted(&inline, RICH));
    let said = cluster.apply(&all.join("---\n")).unwrap();
    assert!(!said.contains("Warning"), "{said}");
    assert_eq!(said.lines().filter(|l| l.contains("wstunnel")).count(), 12 + 3, "{said}");

    // It comes back as it went in.
    let stored = cluster.kubectl(&["get", "wst,secrets", "-n", &ns, "-o", "json"]).unwrap();
    let list: serde_json::Value = serde_json::from_str(&stored).unwrap();
    let find = |kind: &str, name: &str| {
        let mut found = list["items"].as_array().unwrap().iter();
        found.find(|o| o["kind"] == kind && o["metadata"]["name"] == name).unwrap()
    };
    let written: serde_json::Value =
        serde_yaml::from_str(all[13].rsplit("---\n").next().unwrap()).unwrap();
    assert_eq!(find("WsTunnel", "rich")["spec"], written["spec"]);
    assert_eq!(find("Secret", "rich-own-auth")["type"], "kubernetes.io/basic-auth");
    assert_eq!(find("Secret", "rich-own-auth")["data"]["password"], "MHgxRg==");
    assert_eq!(find("Secret", "rich-users")["data"]["u"], "eWVz");
}
