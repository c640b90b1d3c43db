//! Installed with Helm, removed, installed with kubectl.

use std::time::Duration;

use crate::cluster::{Node, SYSTEM};
use crate::{readme, sidecar};

pub fn helm_installs_it_restricted_before_there_is_a_tunnel(node: &Node) {
    readme::run(node, "helm install");
    let controller = node.sh(&format!("kubectl -n {SYSTEM} get deploy adit -o wide --no-headers"));
    assert!(controller.contains(" 2/2 "), "helm --wait returned before it was ready: {controller}");
    // No name was overridden: the image that was made is the one that the chart asks for.
    let image = concat!("ghcr.io/adit-dev/adit:", env!("CARGO_PKG_VERSION"));
    assert!(controller.contains(image), "{controller}");
    assert_eq!(node.sh("kubectl get wst --all-namespaces --output=name"), "");
}

pub fn helm_test_goes_through_a_tunnel_of_its_own_and_leaves_nothing(node: &Node) {
    let (printed, _) = readme::run(node, "helm test");
    assert!(printed.contains("Succeeded"), "{printed}");
    assert_eq!(node.sh("kubectl get wst --all-namespaces --output=name"), "");
    let left = node.sh(&format!("kubectl -n {SYSTEM} get pod,role,rolebinding,sa --output=name"));
    assert!(!left.contains("adit-test"), "{left}");
}

pub fn the_quickstart_becomes_ready_and_shows_what_the_readme_shows(node: &Node) {
    readme::run(node, "examples/quickstart.yaml");
    node.sh("kubectl wait --for=condition=Ready wst/quickstart --timeout=10s");
    let (printed, promised) = readme::run(node, "kubectl get wst");
    assert_eq!(without_age(&printed), without_age(&promised));
}

/// The words of a table, without its last column.
fn without_age(table: &str) -> Vec<Vec<&str>> {
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.map(|mut row| {
        row.pop();
        row
    })
    .collect()
}

pub fn uninstalling_keeps_the_crd_and_the_tunnels(node: &Node) {
    let uid = "kubectl get wst quickstart --output=jsonpath={.metadata.uid}";
    let before = node.sh(uid);
    node.sh(&format!("helm uninstall adit --namespace {SYSTEM} --wait"));
    // What stays is the namespace's own.
    let kinds = "deploy,pod,service,serviceaccount";
    let left = format!("left=$(kubectl -n {SYSTEM} get {kinds} -o name); echo $left end");
    node.until_prints(
        &format!("{left}; test \"$left\" = serviceaccount/default"),
        "serviceaccount/default end",
        Duration::from_secs(90),
    );
    node.sh("kubectl get crd wstunnels.adit.dev");
    assert_eq!(node.sh(uid), before, "the tunnel is another one");
}

pub fn kubectl_alone_installs_the_same(node: &Node) {
    readme::run(node, "deploy/install.yaml");
    node.sh(&format!("kubectl -n {SYSTEM} rollout status deploy/adit --timeout=90s"));
    node.sh("kubectl wait --for=condition=Ready wst/quickstart --timeout=10s");
    // Ready may be what the controller before it wrote; so ask for what only a live one does.
    sidecar::until_the_app_gets(node, "hello from the cluster");
}
