//! Rights in the watched namespaces alone, as the chart renders them for a list of namespaces.

use std::time::Duration;

use super::controller::Controller;
use crate::artifacts::helm_template;
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

#[test]
fn roles_in_the_watched_namespaces_are_enough() {
    let cluster = Cluster::shared();
    let (own, team) = (cluster.namespace("release"), cluster.namespace("team"));
    let watched = format!("watch.namespaces={{{team}}}");
    let values =
        ["--set", &watched, "--set", "rbac.aggregate=false", "--set", "crds.install=false"];
    let only = ["templates/serviceaccount.yaml", "templates/rbac.yaml"];
    let manifests = helm_template("small", &own, &[&values[..], &show_only(&only)].concat());
    assert!(!manifests.contains("ClusterRole"), "{manifests}");
    cluster.apply(&manifests).unwrap();
    let kubeconfig = cluster.kubeconfig_of(&own, "small-adit");
    let controller =
        Controller::launch(&kubeconfig, &[&team], &[&format!("--lease-namespace={own}")]);
    controller.is_ready();
    cluster.put(&team, "edge", controller.spec("/x", &[]));
    cluster.becomes(&team, "edge", "Ready", "True/Ready");
    controller.answers("any", "/x", 101);
    let events = || cluster.kubectl(&["get", "events.events.k8s.io", "-n", &team]).unwrap();
    eventually("an Event says so", Duration::from_secs(5), || events().contains("Ready"));
    assert_eq!(controller.metric("adit_kube_denied_total", &[]), 0.0);
    controller.hands_over();
}

fn show_only<'a>(templates: &[&'a str]) -> Vec<&'a str> {
    templates.iter().flat_map(|template| ["--show-only", template]).collect()
}
