//! Objects that cannot work, beside fifty that do and never notice.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use super::controller::{Controller, knock, spec};
use super::traffic::{Gost, Tunnel, echo};
use crate::support::cluster::Cluster;
use crate::support::ports;
use crate::support::wait::eventually;

/// Objects, and what their condition Ready must say.
fn cases(controller: &Controller) -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let mut chain = controller.spec("/chain", &[]);
    chain["services"][0]["handler"]["chain"] = json!("missing");
    let mut loopback = controller.spec("/loopback", &[]);
    loopback["services"][0]["handler"]["type"] = json!("tcp");
    loopback["services"][0]["forwarder"] =
        json!({"nodes": [{"name": "n", "addr": "127.0.0.1:22"}]});
    let with = |pointer: &str, value: Value| {
        let mut spec = controller.spec("/wrong", &[]);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[key] = value;
        spec
    };
    let listener = "/services/0/listener";
    let metadata =
        |kind: &str, metadata: Value| with(listener, json!({"type": kind, "metadata": metadata}));
    let handler = |kind: &str, metadata: Value| {
        with("/services/0/handler", json!({"type": kind, "metadata": metadata}))
    };
    let files = json!({"type": "wss", "tls": {"certFile": "/a", "keyFile": "/b"}});
    let plain = json!({"type": "ws", "tls": {"serverNames": ["a"]}});
    let no_certificate = json!({"type": "wss", "tls": {"clientCARef": {"name": "ca"}}});
    let bad_strategy = json!([{"name": "c", "hops": [{"nodes": [{"addr": "h:1"}],
        "selector": {"strategy": "parallel"}}]}]);
    let no_bypass = json!([{"name": "c", "hops": [{"bypass": "missing",
        "nodes": [{"addr": "h:1"}]}]}]);
    let named_client = json!([{"name": "a", "matchers": ["example.com"]}]);
    let unlimited = json!([{"name": "l", "limits": ["$ 10"]}]);
    vec![
        ("files", with(listener, files), "False/Invalid", "file"),
        ("plain-tls", with(listener, plain), "False/Invalid", "plain"),
        ("no-certificate", with(listener, no_certificate), "False/Unsupported", "Secret"),
        ("rtcp", metadata("rtcp", json!({})), "False/Unsupported", "rtcp"),
        ("mux", metadata("mws", json!({"mux.version": 3})), "False/Invalid", "smux"),
        ("bind", handler("socks5", json!({"bind": true})), "False/Unsupported", "identity"),
        ("no-target", handler("udp", json!({})), "False/Invalid", "forwarder"),
        ("strategy", with("/chains", bad_strategy), "False/Unsupported", "parallel"),
        ("no-bypass", with("/chains", no_bypass), "False/Invalid", "missing"),
        (
            "no-admission",
            with("/services/0/admission", json!("missing")),
            "False/Invalid",
            "missing",
        ),
        ("no-limiter", with("/services/0/climiter", json!("missing")), "False/Invalid", "missing"),
        ("named-client", with("/admissions", named_client), "False/Invalid", "example.com"),
        ("no-unit", with("/limiters", unlimited), "False/Invalid", "size"),
        ("no-name", with("/hosts", json!([{"mappings": []}])), "False/Invalid", "name"),
        ("unknown-chain", chain, "False/Invalid", "missing"),
        ("bad-port", spec(":99999", "/port", &[]), "False/Invalid", "99999"),
        ("loopback", loopback, "False/LoopbackTarget", "loopback"),
        ("braces", controller.spec("/a{b}", &[]), "False/PathNotAllowed", "{"),
    ]
}

#[test]
fn wrong_objects_say_why_and_disturb_nobody() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("wrong");
    let controller = Controller::start(cluster, &[&ns]);
    for number in 0..50 {
        cluster.put(&ns, &format!("good{number}"), controller.spec(&format!("/good{number}"), &[]));
    }
    let all_good = || (0..50).all(|i| controller.knock("any", &format!("/good{i}")) == 101);
    eventually("the good ones serve", Duration::from_secs(15), all_good);
    cluster.becomes(&ns, "good49", "Ready", "True/Ready");
    let gost = Gost::client(&format!("ws://127.0.0.1:{}?path=/good7", controller.front));
    let transfer = Tunnel::open(gost.proxy, echo()).keep_busy();
    let version = |name| cluster.tunnel(&ns, name)["metadata"]["resourceVersion"].clone();
    let before = version("good7");

    for (name, spec, ready, word) in cases(&controller) {
        // Some are refused at admission already: that is the earliest that they can be told.
        match cluster.try_put(&ns, name, spec) {
            Err(kube::Error::Api(status)) => {
                assert!(status.message.contains("spec"), "{name}: {status:?}");
                eprintln!("{name} was refused at admission: {}", status.message);
            }
            outcome => {
                outcome.unwrap();
                cluster.becomes(&ns, name, "Ready", ready);
                let message = cluster.message(&ns, name, "Accepted");
                assert!(message.contains(word), "{name}: {message}");
            }
        }
    }
    invalid_edit(cluster, &controller, &ns);
    taken_port(cluster, &ns);

    assert!(all_good());
    assert_eq!(version("good7"), before, "nobody wrote to a good object");
    assert!(transfer.intact() > 0);
}

fn invalid_edit(cluster: &Cluster, controller: &Controller, ns: &str) {
    cluster.put(ns, "edited", controller.spec("/edited", &[]));
    cluster.becomes(ns, "edited", "Ready", "True/Ready");
    let mut spec = controller.spec("/edited", &[]);
    // Metadata is open in the schema: only the controller can know that this is wrong.
    spec["services"][0]["listener"]["metadata"]["readHeaderTimeout"] = json!("soon");
    cluster.put(ns, "edited", spec);
    cluster.becomes(ns, "edited", "Programmed", "False/UsingPreviousConfig");
    cluster.becomes(ns, "edited", "Accepted", "False/Invalid");
    let message = cluster.message(ns, "edited", "Accepted");
    assert!(message.contains("services[0].listener.metadata.readHeaderTimeout: "), "{message}");
    assert_eq!(controller.knock("any", "/edited"), 101);
    cluster.put(ns, "edited", controller.spec("/edited", &[]));
    cluster.becomes(ns, "edited", "Ready", "True/Ready");
}

fn taken_port(cluster: &Cluster, ns: &str) {
    let port = ports::free();
    let other = TcpListener::bind(("0.0.0.0", port)).unwrap();
    cluster.put(ns, "taken", spec(&format!(":{port}"), "/x", &[]));
    cluster.becomes(ns, "taken", "Ready", "False/AddressInUse");
    drop(other);
    cluster.becomes(ns, "taken", "Ready", "True/Ready");
    assert_eq!(knock(([127, 0, 0, 1], port).into(), "any", "/x"), 101);
}

#[test]
fn a_stored_object_that_does_not_decode_is_told_so_and_disturbs_nobody() {
    // A cluster of its own: the CRD is widened for a moment, as an older one may have been.
    let cluster = Cluster::start();
    let ns = &cluster.namespace("broken");
    let controller = Controller::start(&cluster, &[ns]);
    cluster.put(ns, "good", controller.spec("/good", &[]));
    cluster.becomes(ns, "good", "Ready", "True/Ready");
    let before = cluster.tunnel(ns, "good")["metadata"]["resourceVersion"].clone();
    cluster.put(ns, "broken", controller.spec("/broken", &[]));
    cluster.becomes(ns, "broken", "Ready", "True/Ready");
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    // The rule on className is one of the whole object.
    let rules = "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations";
    let widen = json!([
        {"op": "replace", "path": path, "value": schema}, {"op": "remove", "path": rules},
    ]);
    let widen = widen.to_string();
    let crd = "crd/wstunnels.adit.dev";
    cluster.kubectl(&["patch", crd, "--type=json", "-p", &widen]).unwrap();
    let broken = json!({"spec": {"services": "none"}}).to_string();
    eventually("the wider CRD is served", Duration::from_secs(20), || {
        let args = ["patch", "wst", "broken", "-n", ns, "--type=merge", "-p", &broken];
        cluster.kubectl(&args).is_ok()
    });
    cluster.becomes(ns, "broken", "Accepted", "False/Undecodable");
    cluster.apply(&adit::crd::yaml()).unwrap();
    assert_eq!(controller.knock("any", "/broken"), 101, "what ran goes on");
    // Under the narrow CRD again it is still stored, and its status can still be written.
    cluster.becomes(ns, "broken", "Programmed", "False/UsingPreviousConfig");
    cluster.kubectl(&["delete", "wst", "broken", "-n", ns, "--timeout=5s"]).unwrap();
    controller.answers("any", "/broken", 404);
    assert_eq!(controller.knock("any", "/good"), 101);
    assert_eq!(cluster.tunnel(ns, "good")["metadata"]["resourceVersion"], before);
}
