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

    eventually("the Lease is refused", Duration::from_secs(10), || denied("get", "leases"));

    // Enough to serve, not to say so.
    let (verbs, resource) = ("--verb=list,watch", "--resource=wstunnels.adit.dev");
    cluster.kubectl(&["create", "role", "read", "-n", &ns, verbs, resource]).unwrap();
    let bind = ["create", "rolebinding", "read", "-n", &ns, "--role=read", &account];
    cluster.kubectl(&bind).unwrap();
    controller.is_ready();
    cluster.put(&ns, "edge", controller.spec("/x", &[]));
    controller.answers("any", "/x", 101);
    assert_eq!(controller.metric("adit_leader", &[]), 0.0);
    assert_eq!(cluster.condition(&ns, "edge", "Ready"), "", "nobody has said anything");

    // Enough to lead, with nobody to count but itself, and not to write.
    let (verbs, resource) = ("--verb=get,create,update", "--resource=leases");
    let here = ["-n", "adit-system"];
    let role = &*format!("{ns}-lead");
    cluster.kubectl(&[&["create", "role", role, verbs, resource][..], &here].concat()).unwrap();
    let bind = ["create", "rolebinding", role, &format!("--role={role}"), &account];
    cluster.kubectl(&[&bind[..], &here].concat()).unwrap();
    eventually("the status is refused", Duration::from_secs(30), || {
        denied("patch", "wstunnels/status")
    });
    for (verb, resource) in [("list", "pods"), ("list", "configmaps"), ("create", "configmaps")] {
        eventually("it is counted", Duration::from_secs(20), || denied(verb, resource));
    }

    // All of the chart's rights, in this namespace.
    let role = "--clusterrole=adit-system:adit";
    cluster.kubectl(&["create", "rolebinding", "all", "-n", &ns, role, &account]).unwrap();
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    assert_eq!(controller.probe("/livez"), 200);
}
