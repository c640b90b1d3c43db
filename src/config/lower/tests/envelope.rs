//! Every bound, as a tenant meets it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::config::envelope::{self, ClassBound, Limit, Map, Row, What};
use crate::config::metadata::tests::noted;
use crate::config::model::ClassLimits;
use crate::config::services::{ServicePort, ServiceState, Services};
use crate::config::types::{CONNECTORS, DIALERS, HANDLERS, LISTENERS};

fn judge_within(spec: &Value, limits: &ClassLimits) -> Vec<Diagnostic> {
    let spec: raw::TunnelSpec = serde_json::from_value(spec.clone()).unwrap();
    let secrets = Secrets::default();
    let context = LowerContext::controller("a", &secrets, &[8080, 8443]);
    let lowered = lower_tunnel(&spec, &context.with_limits(limits).of_tunnel("t"));
    lowered.err().map(|errors| errors.0).unwrap_or_default()
}

/// What is wrong with a spec in a cluster.
fn judge(spec: &Value) -> Vec<Diagnostic> {
    judge_within(spec, &ClassLimits::default())
}

/// Whether a spec is out of the bounds of this field.
fn is_out(spec: &Value, path: &str) -> bool {
    let found = judge(spec);
    found.iter().any(|d| {
        let of_bound = d.message.contains("; at most") || d.message.contains("; at least");
        d.path == path && d.reason == Reason::Invalid && of_bound
    })
}

/// A service with parts of these types; `metadata` is that of the part of a map.
fn spec(map: Map, kind: &str, metadata: Value) -> Value {
    let part = json!({"type": kind, "metadata": metadata.clone()});
    let pick = |wanted: Map, default: Value| if map == wanted { part.clone() } else { default };
    let service = if map == Map::Service { metadata.clone() } else { json!({}) };
    let hop = if map == Map::Hop { metadata.clone() } else { json!({}) };
    let of_node = if map == Map::Node { metadata.clone() } else { json!({}) };
    let node = json!({"name": "n", "addr": "h:1", "metadata": of_node,
        "connector": pick(Map::Connector, json!({"type": "relay"})),
        "dialer": pick(Map::Dialer, json!({"type": "tcp"}))});
    json!({
        "services": [{"name": "s", "addr": ":9000", "metadata": service,
            "listener": pick(Map::Listener, json!({"type": if kind == "udp" { "udp" } else { "tcp" }})),
            "handler": pick(Map::Handler, json!({"type": "tcp"})),
            "forwarder": {"nodes": [{"name": "n", "addr": "h:1"}]}}],
        "chains": [{"name": "c", "hops": [{"name": "h", "metadata": hop, "nodes": [node]}]}],
    })
}

/// Where the map of a spec of [`spec`] is.
fn at(map: Map) -> &'static str {
    match map {
        Map::Service => "services[0].metadata",
        Map::Listener => "services[0].listener.metadata",
        Map::Handler => "services[0].handler.metadata",
        Map::Hop => "chains[0].hops[0].metadata",
        Map::Node => "chains[0].hops[0].nodes[0].metadata",
        Map::Connector => "chains[0].hops[0].nodes[0].connector.metadata",
        Map::Dialer => "chains[0].hops[0].nodes[0].dialer.metadata",
    }
}

/// Every map with every type that it can be of.
fn kinds() -> Vec<(Map, &'static str)> {
    let of = |map, names: &[&'static str]| names.iter().map(|n| (map, *n)).collect::<Vec<_>>();
    [
        of(Map::Listener, LISTENERS.ours),
        of(Map::Handler, HANDLERS.ours),
        of(Map::Connector, CONNECTORS.ours),
        of(Map::Dialer, DIALERS.ours),
        vec![(Map::Service, ""), (Map::Hop, ""), (Map::Node, "")],
    ]
    .concat()
}

/// The keys that a part of a type asks for.
fn asked(map: Map, kind: &str, mode: Mode) -> Vec<&'static str> {
    noted();
    let config: raw::Config = serde_json::from_value(spec(map, kind, json!({}))).unwrap();
    let secrets = Secrets::default();
    let _ = match mode {
        Mode::Controller => lower(&config, &LowerContext::controller("a", &secrets, &[])),
        Mode::Files => lower(&config, &LowerContext::files("a", &secrets)),
    };
    noted().into_iter().filter(|(of, _)| *of == map).map(|(_, key)| key).collect()
}

#[test]
fn every_key_that_is_read_has_a_row_and_every_row_is_read() {
    let mut read = BTreeSet::new();
    for (map, kind) in kinds() {
        let modes = [Mode::Controller, Mode::Files];
        for key in modes.into_iter().flat_map(|mode| asked(map, kind, mode)) {
            assert!(envelope::key(map, key).is_some(), "{map:?} {kind}: {key} has no row");
            read.insert((map, key));
        }
    }
    for row in envelope::TABLE.iter().copied().flatten() {
        let What::Key(maps, names) = row.what else { continue };
        for name in names {
            assert!(maps.iter().any(|map| read.contains(&(*map, *name))), "nobody reads {name}");
        }
    }
}

/// Values below, at and above a bound, each with whether it is out.
fn tries(row: &Row) -> Vec<(Value, bool)> {
    let ms = |d: Duration| json!(format!("{}ms", d.as_millis()));
    let step = Duration::from_millis(1);
    let limits = ClassLimits::default();
    let longest =
        |most: Duration| vec![(ms(most - step), false), (ms(most), false), (ms(most + step), true)];
    let shortest = |least: Duration| {
        vec![(ms(least - step), true), (ms(least), false), (ms(least + step), false)]
    };
    let numbers = |least: u32, most: u32| {
        let least = (least > 1).then(|| (json!(least - 1), true));
        let most = [(json!(most - 1), false), (json!(most), false), (json!(most + 1), true)];
        least.into_iter().chain(most).collect()
    };
    match row.limit {
        Limit::AtLeast(least) => shortest(least),
        Limit::AtMost(most) => longest(most),
        Limit::Within(least, most) => [shortest(least), longest(most)].concat(),
        Limit::AtMostOf(_) => longest(limits.max_timeout),
        Limit::WithinOf(least, _) => [shortest(least), longest(limits.max_timeout)].concat(),
        Limit::Number(least, most) => numbers(least, most),
        Limit::Bytes(ClassBound::StreamBuffer) => numbers(0, limits.stream_buffer),
        Limit::Bytes(_) => numbers(0, limits.receive_buffer),
        Limit::Length(most) => [(most - 1, false), (most, false), (most + 1, true)]
            .map(|(n, out)| (json!(format!("/{}", "a".repeat(n as usize - 1))), out))
            .into(),
        Limit::Items(most) => [(most - 1, false), (most, false), (most + 1, true)]
            .map(|(n, out)| (json!(vec!["10.0.0.1"; n as usize]), out))
            .into(),
        Limit::Header => headers(),
        Limit::Entries(_)
        | Limit::Shortened(_)
        | Limit::AnyDuration(_)
        | Limit::Choice
        | Limit::Free(_)
        | Limit::Class(_)
        | Limit::Said(_) => Vec::new(),
    }
}

fn headers() -> Vec<(Value, bool)> {
    let many = |count: usize, value: usize| {
        let each = (0..count).map(|i| (format!("X-{i:04}"), json!("v".repeat(value))));
        Value::Object(each.collect())
    };
    // Six characters a name.
    let together = (envelope::HEADER_CHARACTERS - 8 * 6) / 8;
    vec![
        (many(envelope::HEADERS, 1), false),
        (many(envelope::HEADERS + 1, 1), true),
        (many(8, together), false),
        (many(8, together + 1), true),
    ]
}

#[test]
fn every_key_is_tried_below_at_and_above_its_bound() {
    let mut tried = 0;
    for (map, kind) in kinds() {
        for key in asked(map, kind, Mode::Controller) {
            let row = envelope::key(map, key).unwrap();
            for (value, out) in tries(row) {
                let metadata = json!({"keepalive": true, "tcp.keepalive": true});
                let mut spec = spec(map, kind, metadata);
                let pointer =
                    format!("/{}/{key}", at(map).replace(['.', '['], "/").replace(']', ""));
                let (parent, _) = pointer.rsplit_once('/').unwrap();
                spec.pointer_mut(parent).unwrap()[key] = value.clone();
                let path = format!("{}.{key}", at(map));
                let found = judge(&spec);
                assert_eq!(is_out(&spec, &path), out, "{map:?} {kind} {key} {value}: {found:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 300, "{tried}");
}

#[test]
fn a_header_that_is_too_long_is_named_and_a_name_is_cut() {
    for (map, kind) in [(Map::Listener, "ws"), (Map::Dialer, "wss"), (Map::Handler, "http")] {
        let value = |length: usize| json!({"header": {"X-A": "v".repeat(length)}});
        let path = format!("{}.header.X-A", at(map));
        assert!(!is_out(&spec(map, kind, value(envelope::HEADER_VALUE)), &path));
        assert!(is_out(&spec(map, kind, value(envelope::HEADER_VALUE + 1)), &path));
        let name = |length: usize| json!({"header": {"a".repeat(length): "v"}});
        let path = format!("{}.header.{}", at(map), "a".repeat(envelope::HEADER_NAME));
        assert!(!is_out(&spec(map, kind, name(envelope::HEADER_NAME)), &path));
        assert!(is_out(&spec(map, kind, name(envelope::HEADER_NAME + 1)), &path));
    }
}

#[test]
fn nested_keys_of_a_map_are_counted_one_by_one() {
    let nested = |count: usize| {
        let keys = (0..count).map(|i| (format!("k{i}"), json!(1)));
        json!({"mux": Value::Object(keys.collect())})
    };
    for (map, kind) in [(Map::Listener, "mws"), (Map::Service, ""), (Map::Node, "")] {
        let out = |count| is_out(&spec(map, kind, nested(count)), at(map));
        assert!(!out(envelope::METADATA_KEYS), "{map:?}");
        assert!(out(envelope::METADATA_KEYS + 1) && out(33_000), "{map:?}");
    }
}

#[test]
fn without_an_end_is_longer_than_any_bound() {
    for (map, kind, key) in [
        (Map::Service, "", "dialTimeout"),
        (Map::Handler, "http", "readTimeout"),
        (Map::Handler, "auto", "readTimeout"),
    ] {
        let found = judge(&spec(map, kind, json!({key: "-1s"})));
        let said = found.iter().any(|d| d.message.contains("without an end; at most 10m"));
        assert!(said, "{key}: {found:?}");
    }
    // Here a negative one is the default.
    assert!(
        judge(&spec(Map::Handler, "socks5", json!({"readTimeout": "-1s"})))
            .iter()
            .all(|d| !d.path.contains("readTimeout"))
    );
}

#[test]
fn files_have_gosts_freedom() {
    for (map, kind, metadata) in [
        (Map::Service, "", json!({"dialTimeout": "-1s"})),
        (
            Map::Listener,
            "mws",
            json!({"mux.keepaliveInterval": "1ns", "readHeaderTimeout": "8760h"}),
        ),
        (Map::Dialer, "mws", json!({"mux.maxReceiveBuffer": 2_147_483_648_u32, "ttl": "1ms"})),
    ] {
        let mut spec = spec(map, kind, metadata);
        spec["services"][0]["handler"]["retries"] = json!(100);
        let config: raw::Config = serde_json::from_value(spec).unwrap();
        let secrets = Secrets::default();
        let lowered = lower(&config, &LowerContext::files("a", &secrets));
        assert!(lowered.is_ok(), "{lowered:?}");
    }
}

#[test]
fn the_defaults_of_mux_are_no_more_than_the_class_allows() {
    let small =
        ClassLimits { receive_buffer: 64 << 10, stream_buffer: 64 << 10, ..Default::default() };
    assert_eq!(judge_within(&spec(Map::Listener, "mws", json!({})), &small), []);
    let spec: raw::TunnelSpec =
        serde_json::from_value(spec(Map::Listener, "mws", json!({}))).unwrap();
    let secrets = Secrets::default();
    let context = LowerContext::controller("a", &secrets, &[]);
    let lowered = lower_tunnel(&spec, &context.with_limits(&small)).unwrap();
    let ListenerConfig::Ws(ws) = &lowered.services[0].listener else { panic!() };
    assert_eq!(ws.mux.unwrap().max_receive_buffer, 64 << 10);
}

#[test]
fn the_datagrams_of_a_source_that_wait_are_bounded_together() {
    let waiting = |queue: u32, size: u32| {
        let metadata = json!({"readQueueSize": queue, "readBufferSize": size});
        judge(&spec(Map::Listener, "udp", metadata))
    };
    assert_eq!(waiting(1024, 16_384), []);
    let found = waiting(1024, 16_385);
    assert_eq!(found[0].path, "services[0].listener.metadata.readQueueSize");
    assert!(found[0].message.contains("at most 16777216 (16MiB)"), "{found:?}");
}

/// `services` services by one chain of `nodes` nodes.
fn product(services: usize, nodes: usize) -> Value {
    let service = |i: usize| {
        json!({"name": format!("s{i}"), "addr": format!(":{}", 9000 + i),
            "handler": {"type": "http", "chain": "c"}, "listener": {"type": "tcp"}})
    };
    let node = |i: usize| json!({"name": format!("n{i}"), "addr": "h:1", "dialer": {"type": "tls", "tls": {"secure": true}}});
    let nodes: Vec<_> = (0..nodes).map(node).collect();
    let hops: Vec<_> = nodes.chunks(16).map(|nodes| json!({"nodes": nodes})).collect();
    json!({"services": (0..services).map(service).collect::<Vec<_>>(),
        "chains": [{"name": "c", "hops": hops}]})
}

#[test]
fn nodes_are_tried_at_and_above_their_bound() {
    let limits = |nodes| ClassLimits { nodes_per_tunnel: nodes, ..ClassLimits::default() };
    assert_eq!(judge(&product(32, 16)), []);
    assert_eq!(judge_within(&product(3, 20), &limits(60)), []);
    let found = judge_within(&product(3, 20), &limits(59));
    assert_eq!((found.len(), found[0].reason), (1, Reason::QuotaExceeded));
    assert_eq!(found[0].path, "services");
    assert!(found[0].message.contains("60 nodes; at most 59"), "{found:?}");
    // 24 KB of an object.
    let found = judge(&product(32, 128));
    assert!(found[0].message.contains("4096 nodes; at most 512"), "{found:?}");
    // Without a service, too: each would be made before anybody sees that it has no use.
    let mut unused = product(0, 128);
    let chain = unused["chains"][0].clone();
    let chains = (0..5).map(|i| json!({"name": format!("c{i}"), "hops": chain["hops"]}));
    unused["chains"] = chains.collect();
    let found = judge(&unused);
    assert_eq!((found[0].path.as_str(), found[0].reason), ("chains", Reason::QuotaExceeded));
    assert!(found[0].message.contains("640 nodes; at most 512"), "{found:?}");
}

#[test]
fn targets_of_a_named_hop_count_as_nodes_of_each_service() {
    let service = |i: usize| {
        json!({"name": format!("s{i}"), "addr": format!(":{}", 9000 + i), "listener": {"type": "tcp"},
            "handler": {"type": "tcp"}, "forwarder": {"hop": "h"}})
    };
    let nodes: Vec<_> = (0..16).map(|i| json!({"name": format!("n{i}"), "addr": "h:1"})).collect();
    let spec = json!({"services": (0..4).map(service).collect::<Vec<_>>(),
        "hops": [{"name": "h", "nodes": nodes}]});
    let limits = |nodes| ClassLimits { nodes_per_tunnel: nodes, ..ClassLimits::default() };
    assert_eq!(judge_within(&spec, &limits(64)), []);
    assert_eq!(judge_within(&spec, &limits(63))[0].reason, Reason::QuotaExceeded);
}

fn endpoints(count: u16) -> Services {
    let ready = (0..count).map(|i| ([10, 0, (i >> 8) as u8, i as u8], 5432).into()).collect();
    let port = ServicePort { name: String::new(), number: 5432, udp: false, ready };
    Services([(("a".into(), "pg".into()), ServiceState::Known(vec![port]))].into())
}

/// The targets of a reference, and the warnings.
fn targets(services: &Services, limits: &ClassLimits) -> (BTreeSet<String>, Vec<String>) {
    let spec: raw::TunnelSpec = serde_json::from_value(json!({"services": [{
        "name": "s", "addr": ":9000", "handler": {"type": "tcp"}, "listener": {"type": "tcp"},
        "forwarder": {"nodes": [{"name": "n", "serviceRef": {"name": "pg", "port": 5432}}]}}]}))
    .unwrap();
    let secrets = Secrets::default();
    let context = LowerContext::controller("a", &secrets, &[]);
    let lowered =
        lower_tunnel(&spec, &context.with_services(services).with_limits(limits)).unwrap();
    let HandlerConfig::Forward(forward) = &lowered.services[0].handler else { panic!() };
    let targets = forward.to.nodes.iter().map(|node| node.target.to_string()).collect();
    let of_endpoints = |warning: &String| warning.contains("endpoints");
    (targets, warnings(&lowered).into_iter().filter(of_endpoints).collect())
}

#[test]
fn of_many_endpoints_a_stable_choice_is_taken() {
    let default = ClassLimits::default();
    for count in [63, 64] {
        let (found, warnings) = targets(&endpoints(count), &default);
        assert_eq!((found.len(), warnings.len()), (usize::from(count), 0));
    }
    let (many, warnings) = targets(&endpoints(1000), &default);
    assert_eq!(many.len(), 64);
    let expected = "Service \"pg\" has 1000 ready endpoints on port 5432; 64 of them are nodes";
    assert!(warnings[0].ends_with(expected), "{warnings:?}");
    let (one_more, _) = targets(&endpoints(1001), &default);
    assert!(many.difference(&one_more).count() <= 1, "one comes, at most one goes");
    // Endpoints come without an edit: they make the choice smaller, and never refuse the object.
    let few = ClassLimits { nodes_per_tunnel: 20, ..default };
    let (fewer, _) = targets(&endpoints(1000), &few);
    assert_eq!(fewer.len(), 16);
    assert!(fewer.is_subset(&many));
}
