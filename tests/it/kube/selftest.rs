//! `adit selftest` against a running controller, with the rights that the chart gives it.

use std::path::Path;
use std::process::Command;

use super::controller::Controller;
use crate::artifacts::helm_template;
use crate::support::cluster::Cluster;

/// Exit code and what was printed, both streams.
fn selftest(kubeconfig: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(["selftest", "--kubeconfig"])
        .arg(kubeconfig)
        .args(args)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// The account of the chart's test pod, in a namespace.
fn tester(cluster: &Cluster, ns: &str) -> std::path::PathBuf {
    let only = ["--show-only", "templates/tests/selftest.yaml"];
    let manifests = helm_template("small", ns, &only);
    // All but the pod, which needs a node.
    let rights: Vec<_> = manifests.split("---\n").filter(|m| !m.contains("kind: Pod\n")).collect();
    assert_eq!(rights.len(), 4, "{manifests}");
    cluster.apply(&rights.join("---\n")).unwrap();
    cluster.kubeconfig_of(ns, "small-adit-test")
}

#[test]
fn the_selftest_goes_through_the_front_port_with_and_without_tls_and_leaves_nothing() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("selftest");
    // With the guard of a cluster: the target is a port of the same object.
    let controller = Controller::guarded(&cluster.controller_kubeconfig(), &[&ns], &[]);
    controller.is_ready();
    let kubeconfig = tester(cluster, &ns);
    for (kind, port) in [("ws", controller.front), ("wss", controller.front_tls)] {
        let front = format!("--front={kind}://127.0.0.1:{port}");
        let (code, said) = selftest(&kubeconfig, &["-n", &ns, &front, &format!("--addr=:{port}")]);
        assert_eq!(code, Some(0), "{said}");
        // Other tests' ports are taken here, and then it tries another one.
        let steps: Vec<_> = said.lines().collect();
        let begins = steps.iter().rposition(|step| step.ends_with(" made")).unwrap();
        let (taken, steps) = steps.split_at(begins);
        let is_retry =
            |step: &&&str| step.ends_with(" made") || step.ends_with("trying another one");
        assert_eq!(taken.iter().filter(is_retry).count(), taken.len(), "{said}");
        assert_eq!(steps.len(), 4, "{said}");
        for (step, word) in steps.iter().zip(["made", "on 1/1 replicas", "the word", "deleted"]) {
            assert!(step.starts_with("ok: ") && step.contains(word), "{word}: {said}");
        }
        assert_eq!(cluster.kubectl(&["get", "wst", "-n", &ns, "-o", "name"]).unwrap(), "");
    }
}

#[test]
fn the_selftest_says_which_step_failed_and_leaves_nothing() {
    let cluster = Cluster::shared();
    let (ns, other) = (cluster.namespace("failing"), cluster.namespace("unwatched"));
    let controller = Controller::start(cluster, &[&ns]);
    let kubeconfig = tester(cluster, &ns);
    let addr = format!("--addr=:{}", controller.front);
    // Nobody listens at the front that is named.
    let nowhere = format!("--front=ws://127.0.0.1:{}", crate::support::ports::free());
    let (code, said) = selftest(&kubeconfig, &["-n", &ns, &nowhere, &addr]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the selftest failed") && said.contains("refused"), "{said}");
    assert!(!said.contains("selftest:"), "the password is not printed: {said}");
    // The front that is named is another port than the object's: the controller refuses the claim.
    let front = format!("--front=ws://127.0.0.1:{}", controller.front);
    let tls = format!("--addr=:{}", controller.front_tls);
    let (code, said) = selftest(&kubeconfig, &["-n", &ns, &front, &tls]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("it was refused") && said.contains("PortConflict"), "{said}");
    assert_eq!(cluster.kubectl(&["get", "wst", "-n", &ns, "-o", "name"]).unwrap(), "");
    // A namespace that nobody serves.
    let kubeconfig = tester(cluster, &other);
    let args = ["-n", &other, &front, &addr, "--timeout=2s"];
    let (code, said) = selftest(&kubeconfig, &args);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not Ready after 2s"), "{said}");
    assert!(said.contains(&format!("watches namespace {other}")), "{said}");
    assert_eq!(cluster.kubectl(&["get", "wst", "-n", &other, "-o", "name"]).unwrap(), "");
    // A right is missing.
    let (code, said) = selftest(&kubeconfig, &["-n", &ns, &front, &addr]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("may not create wstunnels.adit.dev"), "{said}");
}
