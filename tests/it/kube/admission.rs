//! What the API server itself refuses, and what passes a client that reads no warnings.

use serde_json::json;

use super::controller::Controller;
use crate::support::cluster::Cluster;

const TYPO: &str = r#"
apiVersion: adit.dev/v1alpha1
kind: WsTunnel
metadata: {name: typo}
spec:
  services:
  - name: in
    addr: ":ADDR"
    handler: {type: http, authr: users}
    listener: {type: ws, metadata: {path: /typo}}
  authers:
  - name: users
    auths: [{username: u, password: p}]
"#;

#[test]
fn a_typo_in_auther_is_refused_by_kubectl_and_flagged_where_warnings_are_ignored() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("typo");
    let controller = Controller::start(cluster, &[&ns]);
    let manifest = TYPO.replace("ADDR", &controller.front.to_string());
    let refused = cluster.kubectl_with(&["apply", "-n", &ns, "-f", "-"], &manifest).unwrap_err();
    assert!(refused.contains("authr"), "{refused}");
    cluster.kubectl_with(&["apply", "-n", &ns, "--validate=ignore", "-f", "-"], &manifest).unwrap();
    cluster.becomes(&ns, "typo", "Accepted", "True/Accepted");
    let message = cluster.message(&ns, "typo", "Accepted");
    assert!(message.contains("open proxy"), "{message}");

    // The same manifest as a file: an error, before anything listens.
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), &manifest).unwrap();
    let path = file.path().display().to_string();
    for args in [vec!["check", &path], vec!["-C", &path]] {
        let adit =
            std::process::Command::new(env!("CARGO_BIN_EXE_adit")).args(&args).output().unwrap();
        let said = String::from_utf8_lossy(&adit.stderr).into_owned();
        let said = said + &String::from_utf8_lossy(&adit.stdout);
        assert_eq!(adit.status.code(), Some(64), "{args:?}: {said}");
        assert!(said.contains("authr") && said.contains("auther"), "{args:?}: {said}");
    }
}

#[test]
fn two_services_of_one_name_are_refused_at_admission() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("twice");
    let service = json!({"name": "in", "addr": ":8080", "handler": {"type": "http"},
        "listener": {"type": "ws"}});
    let manifest = json!({
        "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel",
        "metadata": {"name": "twice", "namespace": ns},
        "spec": {"services": [service, service]},
    });
    let refused = cluster.kubectl_with(&["create", "-f", "-"], &manifest.to_string()).unwrap_err();
    assert!(refused.contains("Duplicate value"), "{refused}");
}
