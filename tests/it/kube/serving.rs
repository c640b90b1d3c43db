//! A WsTunnel becomes a listener that a real gost tunnels through, and changes under traffic.

use std::time::{Duration, Instant};

use serde_json::json;

use super::controller::Controller;
use super::traffic::{BIG, Gost, Tunnel, echo, listens};
use crate::support::cluster::Cluster;
use crate::support::process::Process;
use crate::support::wait::eventually;
use crate::support::{http, ports, tools};

#[test]
fn gost_tunnels_through_an_applied_object_and_every_byte_is_counted() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("serve");
    let controller = Controller::start(cluster, &[&ns]);
    let manifest = json!({
        "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel",
        "metadata": {"name": "edge", "namespace": ns}, "spec": controller.spec("/x", &[]),
    });
    cluster.apply(&manifest.to_string()).unwrap();
    let applied = Instant::now();
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    let took = applied.elapsed();
    assert!(took < Duration::from_secs(5), "Ready after {took:?}");

    let gost = Gost::client(&format!("ws://127.0.0.1:{}?path=/x", controller.front));
    let mut tunnel = Tunnel::open(gost.proxy, echo());
    tunnel.exchange(BIG);
    tunnel.finish();
    for direction in ["up", "down"] {
        let labels = [
            &*format!("namespace=\"{ns}\""),
            &format!("direction=\"{direction}\""),
            "tunnel=\"edge\"",
        ];
        eventually("the bytes are counted", Duration::from_secs(5), || {
            controller.metric("adit_bytes_total", &labels) == BIG as f64
        });
    }
    let events = || cluster.kubectl(&["get", "events.events.k8s.io", "-n", &ns]).unwrap();
    eventually("an Event says so", Duration::from_secs(5), || events().contains("Ready"));
    let columns = cluster.kubectl(&["get", "wst", "-n", &ns]).unwrap();
    assert!(columns.contains("1/1"), "{columns}");
    assert!(columns.contains("True"), "{columns}");
}

#[test]
fn adit_as_the_client_tunnels_through_gost() {
    let (server, listen, admin) = (ports::free(), ports::free(), ports::free());
    let url = format!("ws://127.0.0.1:{server}?path=/x");
    let _gost = Process::start(tools::path("gost"), &["-L", &url]);
    let _adit = Process::adit(&[
        "-L",
        &format!("http://127.0.0.1:{listen}"),
        "-F",
        &url,
        "--admin",
        &format!("127.0.0.1:{admin}"),
    ]);
    let proxy = ([127, 0, 0, 1], listen).into();
    listens(([127, 0, 0, 1], server).into());
    listens(proxy);
    let mut tunnel = Tunnel::open(proxy, echo());
    tunnel.exchange(BIG);
    tunnel.finish();
    eventually("the bytes are counted", Duration::from_secs(5), || {
        let text = http::get(([127, 0, 0, 1], admin).into(), "/metrics").unwrap().text();
        let counted = text.lines().filter(|line| {
            line.starts_with("adit_bytes_total{") && line.ends_with(&format!(" {BIG}"))
        });
        counted.count() == 2
    });
}

#[test]
fn edits_take_effect_without_touching_what_is_open() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("edit");
    let controller = Controller::start(cluster, &[&ns]);
    cluster.put(&ns, "edge", controller.spec("/old", &[]));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    let gost = Gost::client(&format!("ws://127.0.0.1:{}?path=/old", controller.front));
    let target = echo();
    let transfer = Tunnel::open(gost.proxy, target).keep_busy();

    cluster.put(&ns, "edge", controller.spec("/new", &[]));
    controller.answers("any", "/new", 101);
    assert_eq!(controller.knock("any", "/old"), 404);
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");

    let (bound, released) = (controller.steps("bind"), controller.steps("release"));
    let mut spec = controller.spec("/new", &[]);
    spec["services"][0]["handler"]["auth"] = json!({"username": "u", "password": "p"});
    cluster.put(&ns, "edge", spec);
    let newer = Gost::client(&format!("ws://127.0.0.1:{}?path=/new", controller.front));
    eventually("who has no password is refused", Duration::from_secs(10), || {
        http::connect_through(newer.proxy, target).is_err()
    });
    let known = Gost::client(&format!("ws://u:p@127.0.0.1:{}?path=/new", controller.front));
    Tunnel::open(known.proxy, target).exchange(1 << 20);
    assert_eq!((controller.steps("bind"), controller.steps("release")), (bound, released));
    assert!(transfer.intact() > 0);
}

#[test]
fn objects_share_the_front_port_by_host_and_path_and_go_without_hanging() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("share");
    let controller = Controller::start(cluster, &[&ns]);
    cluster.put(&ns, "one", controller.spec("/p", &["one.example"]));
    cluster.put(&ns, "two", controller.spec("/p", &["two.example"]));
    cluster.put(&ns, "three", controller.spec("/q", &["one.example"]));
    for name in ["one", "two", "three"] {
        cluster.becomes(&ns, name, "Ready", "True/Ready");
    }
    for (host, path, status) in [
        ("one.example", "/p", 101),
        ("two.example", "/p", 101),
        ("one.example", "/q", 101),
        ("two.example", "/q", 404),
        ("else.example", "/p", 404),
    ] {
        assert_eq!(controller.knock(host, path), status, "{host}{path}");
    }
    let url = format!("ws://127.0.0.1:{}?path=/p&host=one.example", controller.front);
    let gost = Gost::client(&url);
    let transfer = Tunnel::open(gost.proxy, echo()).keep_busy();
    let began = Instant::now();
    cluster.kubectl(&["delete", "wst", "-n", &ns, "one", "--timeout=5s"]).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    controller.answers("one.example", "/p", 404);
    assert_eq!(controller.knock("two.example", "/p"), 101);
    assert_eq!(controller.knock("one.example", "/q"), 101);
    assert!(transfer.intact() > 0, "what was open had the time to end");
}
