//! What the API server refuses to say of Secrets is no removal of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::controller::Controller;
use super::references::{User, with_users};
use super::secrets;
use super::traffic::echo;
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

const SECRETS: &str = "resource=\"secrets\"";

/// A controller of a namespace whose rights on Secrets are a Role of their own, and a tunnel that
/// asks users.
struct Poor<'a> {
    cluster: &'a Cluster,
    ns: &'a str,
}

impl Poor<'_> {
    fn start(&self) -> (Controller, User) {
        let Self { cluster, ns } = self;
        let own = |resource, verb: &[&str]| json!({"apiGroups": ["adit.dev"], "resources": [resource], "verbs": verb});
        let rules =
            json!([own("wstunnels", &["list", "watch"]), own("wstunnels/status", &["patch"])]);
        self.apply(&[
            json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": "poor", "namespace": ns}}),
            self.role("tunnels", rules),
            self.binding("tunnels", "tunnels", ns),
            self.binding(&format!("{ns}-poor"), "adit", "adit-system"),
        ]);
        self.may(&["get", "list", "watch"]);
        let controller = Controller::launch(&cluster.kubeconfig_of(ns, "poor"), &[ns], &[]);
        controller.is_ready();
        secrets::put_users(cluster, ns, &[("ann", "one")]);
        cluster.put(ns, "edge", with_users(&controller));
        cluster.becomes(ns, "edge", "Ready", "True/Ready");
        let ann = User::new(&controller, "ann", "one", echo());
        assert!(ann.passes());
        (controller, ann)
    }

    /// What it may do with Secrets.
    fn may(&self, verbs: &[&str]) {
        let rule = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": verbs});
        // A rule without verbs is no rule.
        let rules = if verbs.is_empty() { json!([]) } else { json!([rule]) };
        self.apply(&[self.role("secrets", rules), self.binding("secrets", "secrets", self.ns)]);
        let account = format!("--as=system:serviceaccount:{}:poor", self.ns);
        for verb in ["get", "list", "watch"] {
            let can = ["auth", "can-i", verb, "secrets", "-n", self.ns, &account];
            eventually("the Role holds", Duration::from_secs(10), || {
                self.cluster.kubectl(&can).is_ok() == verbs.contains(&verb)
            });
        }
    }

    fn role(&self, name: &str, rules: Value) -> Value {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name, "namespace": self.ns}, "rules": rules})
    }

    fn binding(&self, name: &str, role: &str, namespace: &str) -> Value {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "poor", "namespace": self.ns}]})
    }

    fn apply(&self, objects: &[Value]) {
        let texts: Vec<_> = objects.iter().map(ToString::to_string).collect();
        self.cluster.apply(&texts.join("\n---\n")).unwrap();
    }

    /// Once the right is back, what happened meanwhile is seen.
    fn recovers(&self, ann: &User) {
        let Self { cluster, ns } = self;
        self.may(&["get", "list", "watch"]);
        eventually("the removal is seen", Duration::from_secs(30), || !ann.passes());
        cluster.becomes(ns, "edge", "Ready", "False/SecretNotFound");
        secrets::put_users(cluster, ns, &[("ann", "one")]);
        eventually("the return is seen", Duration::from_secs(30), || ann.passes());
        cluster.becomes(ns, "edge", "Ready", "True/Ready");
    }
}

fn denied(controller: &Controller, verb: &str) -> f64 {
    controller.metric("adit_kube_denied_total", &[SECRETS, &format!("verb=\"{verb}\"")])
}

#[test]
fn a_refused_read_is_no_removal() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("denied");
    let poor = Poor { cluster, ns: &ns };
    let (controller, ann) = poor.start();

    // Its watches go on for a while and tell of the end; what the read would say is not known.
    poor.may(&[]);
    secrets::delete(cluster, &ns, "users");
    eventually("the read is refused", Duration::from_secs(10), || denied(&controller, "get") > 0.0);
    controller.process.prints("what is known of it stays");
    assert!(ann.passes());
    assert_eq!(cluster.condition(&ns, "edge", "Ready"), "True/Ready");

    // A new object cannot know, and says so.
    let mut other = with_users(&controller);
    other["services"][0]["listener"]["metadata"]["path"] = json!("/y");
    other["authers"][0]["secretRef"]["name"] = json!("others");
    cluster.put(&ns, "other", other);
    cluster.becomes(&ns, "other", "Ready", "False/Pending");
    let message = cluster.message(&ns, "other", "Ready");
    assert!(message.contains("needs get on secrets"), "{message}");

    poor.recovers(&ann);
    cluster.becomes(&ns, "other", "Ready", "False/SecretNotFound");
}

#[test]
fn a_list_that_fails_is_no_removal() {
    let mut cluster = Cluster::start();
    let ns = cluster.namespace("unlisted");
    let (controller, ann) = Poor { cluster: &cluster, ns: &ns }.start();

    Poor { cluster: &cluster, ns: &ns }.may(&["get", "watch"]);
    // A server that has just started does not know what came before it: from the version before
    // this write nobody can watch, and everything has to be listed again.
    secrets::put(&cluster, &ns, "unrelated", "Opaque", json!({}), &[]);
    cluster.signal_apiserver("KILL");
    let _server = cluster.restart_apiserver();
    let gone = ["kind=\"secrets\"", "error=\"gone\""];
    eventually("all has to be listed again", Duration::from_secs(30), || {
        controller.metric("adit_kube_watch_errors_total", &gone) > 0.0
    });
    let refused_again = || {
        let before = denied(&controller, "list");
        eventually("the list is refused", Duration::from_secs(30), || {
            denied(&controller, "list") >= before + 3.0
        });
    };
    refused_again();
    assert!(ann.passes());
    assert_eq!(cluster.condition(&ns, "edge", "Ready"), "True/Ready");
    // It is gone now, and nobody can know.
    secrets::delete(&cluster, &ns, "users");
    refused_again();
    assert!(ann.passes());

    Poor { cluster: &cluster, ns: &ns }.recovers(&ann);
}
