//! Chains, hops, nodes, forwarders.

use super::*;
use crate::config::model::{Selector, Standing, Strategy};

#[test]
fn hops_have_nodes_and_choose_among_them() {
    let text = "
services: [{name: a, addr: '127.0.0.1:1', handler: {chain: c}}]
chains:
- name: c
  hops:
  - selector: {strategy: random, maxFails: 3, failTimeout: 1m}
    bypass: b
    resolver: r
    nodes:
    - {addr: 'a:1', metadata: {weight: 5, maxFails: 2, failTimeout: 7}}
    - {name: spare, addr: 'b:1', metadata: {backup: true}, bypasses: [b], resolver: s, hosts: h}
  - {name: named}
hops: [{name: named, selector: {}, nodes: [{addr: 'c:1', connector: {type: relay}}]}]
bypasses: [{name: b, matchers: [x.io]}]
resolvers: [{name: r, nameservers: [{addr: 1.1.1.1}]}, {name: s, nameservers: [{addr: 'tcp://[::1]:54'}]}]
hosts: [{name: h, mappings: [{ip: 10.0.0.9, hostname: b}]}]
";
    let lowered = files(text).unwrap();
    assert_eq!(warnings(&lowered), Vec::<String>::new());
    let [first, second] = &lowered.services[0].chain.hops[..] else { panic!() };
    let fail_timeout = Duration::from_secs(60);
    assert_eq!(first.selector, Selector { strategy: Strategy::Random, max_fails: 3, fail_timeout });
    assert_eq!((first.name.as_str(), first.bypasses.len()), ("hop-0", 1));
    let [node, spare] = &first.nodes[..] else { panic!() };
    let standing = Standing {
        weight: 5,
        backup: false,
        max_fails: Some(2),
        fail_timeout: Some(Duration::from_secs(7)),
    };
    assert_eq!((node.name.as_str(), &node.standing), ("node-0", &standing));
    assert!(spare.standing.backup && spare.bypasses.len() == 1);
    let server = |node: &crate::config::model::NodeConfig| {
        let server = &node.names.resolver.as_ref().unwrap().nameservers[0];
        (server.addr.to_string(), server.tcp)
    };
    assert_eq!(server(node), ("1.1.1.1:53".into(), false));
    assert_eq!(server(spare), ("[::1]:54".into(), true));
    assert!(node.names.hosts.is_none() && spare.names.hosts.is_some());
    assert_eq!((second.name.as_str(), &second.selector), ("named", &Selector::default()));
}

#[test]
fn strategies_have_gosts_names() {
    let strategy = |name: &str| {
        files(&format!(
            "services: [{{name: a, addr: '127.0.0.1:1', handler: {{chain: c}}}}]\n\
             chains: [{{name: c, hops: [{{selector: {{strategy: {name}}}, nodes: [{{addr: 'h:1'}}]}}]}}]"
        ))
        .map(|lowered| lowered.services[0].chain.hops[0].selector.strategy)
    };
    for (names, expected) in [
        (["round", "rr"], Strategy::Round),
        (["random", "rand"], Strategy::Random),
        (["fifo", "ha"], Strategy::Fifo),
        (["hash", "hash"], Strategy::Hash),
    ] {
        assert_eq!(names.map(|name| strategy(name).unwrap()), [expected; 2]);
    }
    for name in ["parallel", "lowestlatency", "lowest", "ll"] {
        assert_eq!(strategy(name).unwrap_err().reason(), Reason::Unsupported, "{name}");
    }
}

#[test]
fn targets_are_many_or_those_of_a_hop() {
    let text = "
services:
- {name: a, addr: '127.0.0.1:1', handler: {type: tcp}, forwarder: {selector: {strategy: fifo},
   nodes: [{addr: 'a:1'}, {name: x, addr: 'b:1', metadata: {backup: true}, bypass: b}]}}
- {name: b, addr: '127.0.0.1:2', handler: {type: udp}, listener: {type: udp}, forwarder: {hop: h}}
hops: [{name: h, selector: {strategy: hash}, nodes: [{name: y, addr: 'c:1', bypass: b}]}]
bypasses: [{name: b, matchers: [x.io]}]
";
    let lowered = files(text).unwrap();
    let to = |i: usize| match &lowered.services[i].handler {
        HandlerConfig::Forward(forward) => forward.to.clone(),
        _ => panic!(),
    };
    let names = |i: usize| to(i).nodes.iter().map(|n| n.name.clone()).collect::<Vec<_>>();
    assert_eq!(
        (to(0).selector.strategy, names(0)),
        (Strategy::Fifo, vec!["target-0".into(), "x".into()])
    );
    assert!(to(0).nodes[1].standing.backup && to(0).nodes[1].bypasses.len() == 1);
    assert_eq!((to(1).selector.strategy, names(1)), (Strategy::Hash, vec!["y".into()]));
}

#[test]
fn a_direct_node_needs_no_address_and_no_dialer() {
    let text = |kind: &str| {
        format!(
            "services: [{{name: a, addr: '127.0.0.1:1', handler: {{chain: c}}}}]\n\
             chains: [{{name: c, hops: [{{nodes: [{{connector: {{type: {kind}}}, \
             dialer: {{type: {kind}}}}}]}}]}}]"
        )
    };
    for kind in ["direct", "virtual"] {
        let lowered = files(&text(kind)).unwrap();
        let node = &lowered.services[0].chain.hops[0].nodes[0];
        assert_eq!(node.connector, ConnectorConfig::Direct);
        assert_eq!(node.dialer.kind(), "tcp");
    }
}

#[test]
fn behind_a_direct_node_loopback_is_still_the_controllers() {
    let text = |kind: &str| {
        format!(
            "chains: [{{name: c, hops: [{{nodes: [{{addr: 'gw:1', connector: {{type: {kind}}}}}]}}, \
             {{nodes: [{{addr: ':8443'}}]}}]}}]"
        )
    };
    assert!(controller(&text("http")).is_ok());
    let error = controller(&text("direct")).unwrap_err();
    assert_eq!(error.reason(), Reason::LoopbackTarget);
    assert_eq!(error.0[0].path, "chains[0].hops[1].nodes[0].addr");
}

#[test]
fn the_dial_timeout_is_the_services() {
    let timeout = |value: &str| {
        let text = format!(
            "services: [{{name: a, addr: '127.0.0.1:1', metadata: {{dialTimeout: {value}}}}}]"
        );
        files(&text).unwrap().services[0].dial_timeout
    };
    let seconds = |n| Some(Duration::from_secs(n));
    assert_eq!([timeout("3"), timeout("0"), timeout("-1s")], [seconds(3), seconds(15), None]);
}

#[test]
fn every_dialer_is_lowered_to_what_it_says() {
    for kind in ["tcp", "tls", "ws", "wss", "mws", "mwss"] {
        let text = format!(
            "services: [{{name: a, addr: '127.0.0.1:1', handler: {{chain: c}}}}]\n\
             chains: [{{name: c, hops: [{{nodes: [{{addr: 'h:1', dialer: {{type: {kind}}}}}]}}]}}]"
        );
        let lowered = files(&text).unwrap();
        assert_eq!(lowered.services[0].chain.hops[0].nodes[0].dialer.kind(), kind);
    }
}
