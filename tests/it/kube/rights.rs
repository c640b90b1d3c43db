//! What the controller does without the rights that it needs.

use std::time::Duration;

use super::controller::Controller;
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

#[test]
fn missing_rights_are_counted_and_nothing_restarts_when_they_come() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("rights");
    cluster.kubectl(&["create", "serviceaccount", "poor", "-n", &ns]).unwrap();
    let account = format!("--serviceaccount={ns}:poor");
    let kubeconfig = cluster.kubeconfig_of(&ns, "poor");
    let controller = Controller::launch(&kubeconfig, &[&ns], &[]);
    let denied = |verb: &str, resource: &str| {
        let labels = [&*format!("verb=\"{verb}\""), &format!("resource=\"{resource}\"")];
        controller.metric("adit_kube_denied_total", &labels) > 0.0
    };
    eventually("it lives", Duration::from_secs(10), || controller.probe("/livez") == 200);
    eventually("the list is refused", Duration::from_secs(10), || denied("list", "wstunnels"));
    assert_eq!(controller.probe("/readyz"), 503);
    controller.process.prints("deploy/rbac.yaml");

    // Enough to serve, not to say so.
    let (verbs, resource) = ("--verb=list,watch", "--resource=wstunnels.adit.dev");
    cluster.kubectl(&["create", "role", "read", "-n", &ns, verbs, resource]).unwrap();
    let bind = ["create", "rolebinding", "read", "-n", &ns, "--role=read", &account];
    cluster.kubectl(&bind).unwrap();
    controller.is_ready();
    cluster.put(&ns, "edge", controller.spec("/x", &[]));
    controller.answers("any", "/x", 101);
    eventually("the status is refused", Duration::from_secs(10), || {
        denied("patch", "wstunnels/status")
    });
    assert_eq!(cluster.condition(&ns, "edge", "Ready"), "", "nobody has said anything");

    // All of the chart's rights, in this namespace.
    let role = "--clusterrole=adit-system:adit";
    cluster.kubectl(&["create", "rolebinding", "all", "-n", &ns, role, &account]).unwrap();
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    assert_eq!(controller.probe("/livez"), 200);
}
