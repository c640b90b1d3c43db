//! Two namespaces want the same host and path.

use super::controller::Controller;
use crate::support::cluster::Cluster;

#[test]
fn the_incumbent_keeps_host_and_path_whoever_is_older_or_more_specific() {
    let cluster = Cluster::shared();
    let (a, b) = (cluster.namespace("duel-a"), cluster.namespace("duel-b"));
    let controller = Controller::start(cluster, &[&a, &b]);
    // Made first, but it moves to the contested place later.
    cluster.put(&a, "older", controller.spec("/quiet", &["duel.example"]));
    cluster.becomes(&a, "older", "Ready", "True/Ready");
    cluster.put(&b, "incumbent", controller.spec("/x/", &["duel.example"]));
    cluster.becomes(&b, "incumbent", "Ready", "True/Ready");

    cluster.put(&a, "older", controller.spec("/x/", &["duel.example"]));
    cluster.put(&a, "specific", controller.spec("/x/y", &["duel.example"]));
    for name in ["older", "specific"] {
        cluster.becomes(&a, name, "Ready", "False/HostConflict");
        let message = cluster.message(&a, name, "Accepted");
        assert!(!message.contains("incumbent") && !message.contains(&b), "{message}");
    }
    cluster.becomes(&b, "incumbent", "Ready", "True/Ready");
    assert_eq!(controller.knock("duel.example", "/x/y"), 101);
    assert_eq!(controller.knock("duel.example", "/quiet"), 404);

    // A new process has only what the statuses say.
    controller.hands_over();
    let controller = Controller::start(cluster, &[&a, &b]);
    let addr = format!(":{}", controller.front);
    let front =
        serde_json::json!([{"op": "replace", "path": "/spec/services/0/addr", "value": addr}]);
    for (ns, name) in [(&b, "incumbent"), (&a, "older"), (&a, "specific")] {
        let patch = front.to_string();
        cluster.kubectl(&["patch", "wst", name, "-n", ns, "--type=json", "-p", &patch]).unwrap();
        let wanted = if name == "incumbent" { "True/Ready" } else { "False/HostConflict" };
        cluster.becomes(ns, name, "Ready", wanted);
    }

    cluster.kubectl(&["delete", "wst", "-n", &b, "incumbent"]).unwrap();
    cluster.becomes(&a, "older", "Ready", "True/Ready");
    cluster.becomes(&a, "specific", "Ready", "True/Ready");
}
