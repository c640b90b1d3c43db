//! Several installations in one cluster, at once and one after the other.

use std::time::Duration;

use serde_json::json;

use super::controller::Controller;
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

#[test]
fn an_installation_never_writes_over_the_verdict_of_another() {
    let cluster = Cluster::shared();
    let (ns, other) = (cluster.namespace("elder"), cluster.namespace("younger"));
    let get = |path: &str| {
        let path = format!("jsonpath={{{path}}}");
        cluster.kubectl(&["get", "wst", "t", "-n", &ns, "-o", &path]).unwrap()
    };
    let elder = Controller::start(cluster, &[&ns]);
    cluster.put(&ns, "t", elder.spec("/x", &[]));
    cluster.becomes(&ns, "t", "Ready", "True/Ready");
    assert_eq!(get(".status.controller"), format!("adit-system/{ns}"));
    assert_eq!(get(".status.className"), "adit");
    // It has a default class too, and would serve the object.
    let younger = Controller::launch(&cluster.controller_kubeconfig(), &[&other, &ns], &[]);
    younger.is_ready();
    younger.process.prints("another installation serves tunnels of a class that is here too");
    eventually("the metric counts it", Duration::from_secs(10), || {
        younger.metric("adit_tunnels_held_elsewhere", &[]) == 1.0
    });
    eventually("the elder answers the question", Duration::from_secs(10), || {
        get(".status.contender").is_empty()
    });
    assert_eq!(get(".status.controller"), format!("adit-system/{ns}"));
    assert_eq!((elder.knock("any", "/x"), younger.knock("any", "/x")), (101, 404));
    // What the younger one came first to is its own.
    cluster.put(&other, "u", younger.spec("/u", &[]));
    cluster.becomes(&other, "u", "Ready", "True/Ready");
    younger.answers("any", "/u", 101);
    assert_eq!(elder.metric("adit_tunnels_held_elsewhere", &[]), 0.0);
}

#[test]
fn an_installation_of_another_name_takes_over_a_status_and_leaves_no_ghost() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("renamed");
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "reason": "Ready", "message": "by the old one",
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let listener = |name: &str| {
        json!({"name": name, "address": "old.example:80/x", "port": 80, "replicas": "2/2",
            "conditions": [condition("Accepted"), condition("Ready")]})
    };
    let spec = |name: &str, front: u16| {
        let mut spec = super::controller::spec(&format!(":{front}"), "/x", &[]);
        spec["services"][0]["name"] = json!(name);
        spec
    };
    let front = crate::support::ports::free();
    cluster.put(&ns, "t", spec("one", front));
    // As an adit of release `old` left it, that applied its statuses.
    let old = json!({
        "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel",
        "metadata": {"name": "t", "namespace": ns},
        "status": {"listeners": [listener("one"), listener("ghost")],
            "addresses": [{"type": "Hostname", "value": "old.example", "port": 80}],
            "conditions": [condition("Accepted"), condition("Ready")]},
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), old.to_string()).unwrap();
    let path = file.path().display().to_string();
    cluster
        .kubectl(&[
            "apply",
            "--server-side",
            "--subresource=status",
            "--field-manager=adit-old",
            "-f",
            &path,
        ])
        .unwrap();
    let controller = Controller::start(cluster, &[&ns]);
    let listeners = || {
        let path = "jsonpath={.status.listeners[*].name} {.status.addresses}";
        cluster.kubectl(&["get", "wst", "t", "-n", &ns, "-o", path]).unwrap().trim().to_string()
    };
    cluster.put(&ns, "t", spec("one", controller.front));
    cluster.becomes(&ns, "t", "Ready", "True/Ready");
    eventually("only its own is left", Duration::from_secs(10), || listeners() == "one");
    cluster.put(&ns, "t", spec("two", controller.front));
    eventually("a renamed service is the only one", Duration::from_secs(10), || {
        listeners() == "two"
    });
    cluster.becomes(&ns, "t", "Ready", "True/Ready");
}

#[test]
fn a_class_name_is_corrected_while_no_class_serves_the_object_and_fixed_afterwards() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("corrected");
    let controller = Controller::start(cluster, &[&ns]);
    let mut spec = controller.spec("/x", &[]);
    spec["className"] = json!("nobody-has-it");
    cluster.put(&ns, "t", spec);
    let name = |class: &str| {
        let patch = json!({"spec": {"className": class}}).to_string();
        cluster.kubectl(&["patch", "wst", "t", "-n", &ns, "--type=merge", "-p", &patch])
    };
    name("adit").unwrap();
    cluster.becomes(&ns, "t", "Ready", "True/Ready");
    let refused = name("another").unwrap_err();
    assert!(
        refused.contains("className cannot change while a class serves the object"),
        "{refused}"
    );
}
