//! Admissions, bypasses, limits, hosts, resolvers.

use super::*;
use crate::base::Network;
use crate::config::model::{Limits, Prefer, Rate};

const SERVICE: &str = "
services:
- name: a
  addr: '127.0.0.1:1'
  admission: office
  admissions: [more]
  bypasses: [corp]
  resolver: r
  hosts: h
  limiter: bw
  climiter: conns
  rlimiter: rate
";

#[test]
fn a_service_gets_the_gates_that_it_names() {
    let text = format!(
        "{SERVICE}
admissions: [{{name: office, whitelist: true, matchers: [10.1.2.3/16, '::1']}},
  {{name: more, reverse: true, matchers: 10.0.0.1, file: {{path: in}}}}]
bypasses: [{{name: corp, network: udp, matchers: ['*.corp:53', 10.0.0.0/8], file: {{path: out}}}}]
resolvers: [{{name: r, nameservers: [{{addr: 'udp://10.96.0.10', prefer: ipv6, ttl: -1s, timeout: 2s}},
  {{addr: '10.96.0.11:54', only: ip4}}]}}]
hosts: [{{name: h, mappings: [{{ip: 10.0.0.9, hostname: DB.corp, aliases: [.db]}}], file: {{path: hosts}}}}]
limiters: [{{name: bw, limits: ['$ 100MB 10MB', '$$ 1KB', '10.0.0.0/8 0 1.5KB 2KB'], file: {{path: l}}}}]
climiters: [{{name: conns, limits: ['$ 1000', '$$ 50', '10.0.0.1 0']}}]
rlimiters: [{{name: rate, limits: ['$$ 0.5', '$ 0']}}]
"
    );
    let contents = [
        ("in", "# office\n192.0.2.0/24 # lab\n"),
        ("out", ".intern\n"),
        ("hosts", "10.0.0.9 x y # z\n"),
        ("l", "::1 1MB\n"),
    ];
    let lowered = with_files(&text, &contents).unwrap();
    let service = &lowered.services[0];
    let [office, more] = &service.gates.admissions[..] else { panic!() };
    let nets = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>();
    assert_eq!(office.nets, nets(&["10.1.0.0/16", "::1/128"]));
    assert_eq!(more.nets, nets(&["10.0.0.1/32", "192.0.2.0/24"]));
    assert!(office.whitelist && more.whitelist);
    let bypass = &service.gates.bypasses[0];
    assert_eq!((bypass.network, bypass.patterns.list().len()), (Some(Network::Udp), 3));
    let [first, second] = &service.names.resolver.as_ref().unwrap().nameservers[..] else {
        panic!()
    };
    assert_eq!((first.prefer, second.prefer), (Prefer::Ipv6First, Prefer::Ipv4Only));
    assert_eq!((first.ttl, second.ttl), (Some(Duration::ZERO), None));
    assert_eq!((first.timeout, second.timeout), (Duration::from_secs(2), Duration::from_secs(5)));
    let hosts = &service.names.hosts.as_ref().unwrap().0;
    assert_eq!(hosts.keys().collect::<Vec<_>>(), [".db", "db.corp", "x", "y"]);
    let rate = |up, down, burst| Rate { up, down, burst };
    let expected = Limits {
        service: Some(rate(Some(100 << 20), Some(10 << 20), None)),
        each: Some(rate(Some(1 << 10), None, None)),
        nets: vec![
            ("10.0.0.0/8".parse().unwrap(), rate(None, Some(1536), Some(2048))),
            ("::1/128".parse().unwrap(), rate(Some(1 << 20), None, None)),
        ],
    };
    assert_eq!(**service.gates.traffic.as_ref().unwrap(), expected);
    let connections = service.gates.connections.as_ref().unwrap();
    assert_eq!((connections.service, connections.each), (Some(1000), Some(50)));
    assert_eq!(connections.nets, [("10.0.0.1/32".parse().unwrap(), u32::MAX)]);
    let requests = service.gates.requests.as_ref().unwrap();
    assert_eq!((requests.service, requests.each), (None, Some(0.5)));
}

#[test]
fn a_gate_that_does_not_exist_is_an_error() {
    let expected = [
        "services[0].resolver: resolver \"r\" does not exist; known: none",
        "services[0].hosts: entry of hosts \"h\" does not exist; known: none",
        "services[0].admission: admission \"office\" does not exist; known: none",
        "services[0].admissions[0]: admission \"more\" does not exist; known: none",
        "services[0].bypasses[0]: bypass \"corp\" does not exist; known: none",
        "services[0].limiter: limiter \"bw\" does not exist; known: none",
        "services[0].climiter: climiter \"conns\" does not exist; known: none",
        "services[0].rlimiter: rlimiter \"rate\" does not exist; known: none",
    ];
    let mut found = errors(files(SERVICE));
    found.sort();
    let mut expected = expected.map(String::from).to_vec();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn an_empty_list_says_what_it_does() {
    let lowered =
        files("admissions: [{name: a}, {name: b, whitelist: true}]\nbypasses: [{name: c}]");
    let expected = [
        "admissions[0]: without matchers everybody is admitted",
        "admissions[1]: without matchers nobody is admitted",
        "bypasses[0]: without matchers nothing is ever passed by",
    ];
    assert_eq!(warnings(&lowered.unwrap()), expected);
}
