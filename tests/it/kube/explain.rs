//! `adit explain` with the rights of a tenant who may read tunnels and nothing else.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use adit::base::Reason;

use super::controller::Controller;
use crate::support::cluster::Cluster;

/// Exit code and what was printed, both streams.
fn explain(kubeconfig: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(["explain", "--kubeconfig"])
        .arg(kubeconfig)
        .args(args)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// A ServiceAccount that may `get` tunnels of the namespace, and nothing else.
fn reader(cluster: &Cluster, ns: &str) -> std::path::PathBuf {
    cluster.kubectl(&["create", "serviceaccount", "reader", "-n", ns]).unwrap();
    let resource = "--resource=wstunnels.adit.dev";
    cluster.kubectl(&["create", "role", "read", "-n", ns, "--verb=get", resource]).unwrap();
    let account = format!("--serviceaccount={ns}:reader");
    let bind = ["create", "rolebinding", "read", "-n", ns, "--role=read", &account];
    cluster.kubectl(&bind).unwrap();
    cluster.kubeconfig_of(ns, "reader")
}

#[test]
fn a_tenant_reads_whether_each_service_serves_why_not_and_what_to_do() {
    let cluster = Cluster::shared();
    let (ns, other) = (cluster.namespace("explained"), cluster.namespace("others"));
    let controller = Controller::start(cluster, &[&ns, &other]);
    let kubeconfig = reader(cluster, &ns);
    let explain = |what: &str| explain(&kubeconfig, &[what]);

    cluster.put(&ns, "good", controller.spec("/good", &["good.example"]));
    cluster.becomes(&ns, "good", "Ready", "True/Ready");
    let (code, said) = explain(&format!("{ns}/good"));
    assert_eq!(code, Some(0), "{said}");
    let address = format!("Address:    good.example:{}/good", controller.front);
    for part in [&*format!("WsTunnel {ns}/good: serves\n"), "in: serves\n", &address, "1/1"] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
    assert!(said.contains("Note:") && said.contains("open proxy"), "{said}");

    // Metadata is open in the schema: the controller is the first to see this.
    let mut spec = controller.spec("/invalid", &[]);
    spec["services"][0]["listener"]["metadata"]["readHeaderTimeout"] = json!("soon");
    cluster.put(&ns, "invalid", spec);
    cluster.becomes(&ns, "invalid", "Ready", "False/Invalid");
    let (code, said) = explain(&format!("{ns}/invalid"));
    assert_eq!(code, Some(1), "{said}");
    for part in [
        "invalid: does not serve\n",
        "Reason:     Invalid (Accepted)",
        "services[0].listener.metadata.readHeaderTimeout: ",
        "in: does not serve\n",
        &format!("kubectl edit wst invalid -n {ns}"),
    ] {
        assert!(said.contains(part), "{part}:\n{said}");
    }

    // Somebody in another namespace has the host and path.
    cluster.put(&other, "first", controller.spec("/taken", &["taken.example"]));
    cluster.becomes(&other, "first", "Ready", "True/Ready");
    cluster.put(&ns, "second", controller.spec("/taken", &["taken.example"]));
    cluster.becomes(&ns, "second", "Ready", "False/HostConflict");
    let (code, said) = explain(&format!("{ns}/second"));
    assert_eq!(code, Some(1), "{said}");
    for part in ["Reason:     HostConflict (Accepted)", "set spec.services[0].hostnames or "] {
        assert!(said.contains(part), "{part}:\n{said}");
    }

    // One service of two lacks its Secret.
    let mut spec = controller.spec("/half", &[]);
    spec["services"].as_array_mut().unwrap().push(json!({
        "name": "tls", "addr": format!(":{}", controller.front_tls), "handler": {"type": "http"},
        "listener": {"type": "wss", "tls": {"secretRef": {"name": "edge-tls"}}},
    }));
    cluster.put(&ns, "half", spec);
    cluster.becomes(&ns, "half", "Ready", "False/SecretNotFound");
    let (code, said) = explain(&format!("{ns}/half"));
    assert_eq!(code, Some(1), "{said}");
    for part in [
        "half: serves 1 of 2 services\n",
        "in: serves\n",
        "tls: does not serve\n",
        "Reason:     SecretNotFound (ResolvedRefs)",
        &format!("kubectl create secret tls edge-tls -n {ns}"),
        "nothing to apply again",
    ] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
}

/// What the controller would write, written by the test: what is told of each reason needs no right
/// but the tenant's to read the object.
#[test]
fn every_reason_is_told_to_who_may_only_read_tunnels() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("reasons");
    let kubeconfig = reader(cluster, &ns);
    cluster.put(&ns, "edge", super::controller::spec(":8080", "/x", &[]));
    for reason in Reason::ALL.iter().map(|reason| reason.as_str()) {
        let good = ["Accepted", "ResolvedRefs", "Programmed", "Ready"];
        let conditions: Vec<_> = good
            .iter()
            .map(|kind| {
                let bad = ["Programmed", "Ready"].contains(kind) && !good.contains(&reason);
                let (status, reason) = if bad { ("False", reason) } else { ("True", *kind) };
                json!({"type": kind, "status": status, "reason": reason, "message": "the words",
                    "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"})
            })
            .collect();
        let status = json!({"status": {
            "observedGeneration": 1, "conditions": conditions,
            "summary": {"listeners": "0/1", "replicas": "0/1"},
            "listeners": [{"name": "in", "replicas": "0/1", "conditions": conditions}],
        }});
        let patch = status.to_string();
        let args = ["patch", "wst", "edge", "-n", &ns, "--subresource=status", "--type=merge"];
        cluster.kubectl(&[&args[..], &["-p", &patch]].concat()).unwrap();
        let (code, said) = explain(&kubeconfig, &[&format!("{ns}/edge")]);
        if good.contains(&reason) {
            assert_eq!(code, Some(0), "{reason}: {said}");
            continue;
        }
        assert_eq!(code, Some(1), "{reason}: {said}");
        for part in [&*format!("Reason:     {reason} (Programmed)"), "the words", "Next:"] {
            assert!(said.contains(part), "{reason}: {part}:\n{said}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_said_with_the_right_that_is_missing() {
    let cluster = Cluster::shared();
    let (ns, other) = (cluster.namespace("unread"), cluster.namespace("foreign"));
    let kubeconfig = reader(cluster, &ns);
    let (code, said) = explain(&kubeconfig, &[&format!("{ns}/nothing")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("WsTunnel {ns}/nothing does not exist")), "{said}");
    let (code, said) = explain(&kubeconfig, &["edge", "-n", &other]);
    assert_eq!(code, Some(1), "{said}");
    let words = format!("may not get wstunnels.adit.dev in namespace {other}");
    assert!(said.contains(&words) && said.contains("--verb=get"), "{said}");
    let (code, said) = explain(Path::new("/nowhere"), &["edge"]);
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = explain(&kubeconfig, &["a/b/c"]);
    assert_eq!(code, Some(64), "{said}");

    // Nobody serves this namespace; and a name alone is of the context's namespace.
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["contexts"][0]["context"]["namespace"] = json!(ns);
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    cluster.put(&ns, "edge", super::controller::spec(":8080", "/x", &[]));
    let (code, said) = explain(&kubeconfig, &["edge"]);
    assert_eq!(code, Some(1), "{said}");
    for part in [
        &*format!("WsTunnel {ns}/edge: does not serve"),
        "Generation: 1; the controller has not seen this generation yet",
        "Message:    waiting for a controller",
        &format!("watches namespace {ns}"),
    ] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
}
