//! The chart's roles, against what the API server was asked.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::controller::{Controller, spec};
use super::fleet::{Fleet, make_pod, pod_is_ready};
use super::secrets;
use crate::support::cluster::Cluster;
use crate::support::pki::Authority;
use crate::support::wait::eventually;

const SOON: Duration = Duration::from_secs(20);
const ACCOUNT: &str = "system:serviceaccount:adit-system:adit";

/// A tunnel that needs everything: a certificate, a Service that it follows, one that leads to it.
fn everything(front: u16, front_tls: u16, expose: &str) -> Value {
    let mut spec = spec(&format!(":{front}"), "/plain", &[]);
    let services = spec["services"].as_array_mut().unwrap();
    services.push(json!({
        "name": "tls", "addr": format!(":{front_tls}"), "handler": {"type": "http"},
        "listener": {"type": "wss", "tls": {"secretRef": {"name": "pair"}}},
    }));
    services.push(json!({
        "name": "db", "addr": ":5432", "handler": {"type": "tcp"}, "listener": {"type": "tcp"},
        "forwarder": {"nodes": [{"name": "n", "serviceRef": {"name": "backend", "port": 80}}]},
        "expose": {"name": expose},
    }));
    spec
}

/// What `everything` refers to.
fn surroundings(cluster: &Cluster, ns: &str, pki: &Authority) {
    secrets::put_pair(cluster, ns, "pair", &pki.leaf("edge"));
    cluster.kubectl(&["create", "service", "clusterip", "backend", "-n", ns, "--tcp=80"]).unwrap();
}

/// `group/resource verb` of the rules of a role.
fn granted(role: &Value) -> BTreeSet<String> {
    let words = |rule: &Value, key: &str| -> Vec<String> {
        let words = rule[key].as_array().cloned().unwrap_or_default();
        words.iter().map(|word| word.as_str().unwrap().to_string()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                for verb in words(rule, "verbs") {
                    granted.insert(format!("{group}/{resource} {verb}"));
                }
            }
        }
    }
    granted
}

fn role(cluster: &Cluster, args: &[&str]) -> Value {
    let role = cluster.kubectl(&[&["get", "-o", "json"][..], args].concat()).unwrap();
    serde_json::from_str(&role).unwrap()
}

/// The chart's rules: in watched namespaces, and in the release's.
fn roles(cluster: &Cluster) -> [Value; 2] {
    [
        role(cluster, &["clusterrole", "adit-system:adit"]),
        role(cluster, &["role", "adit", "-n", "adit-system"]),
    ]
}

/// The same of what was asked, and what of it was refused.
fn asked(cluster: &Cluster) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut asked, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for entry in cluster.audited().iter().filter(|entry| entry["user"]["username"] == ACCOUNT) {
        let object = &entry["objectRef"];
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        let resource = match text("subresource") {
            "" => text("resource").to_string(),
            sub => format!("{}/{sub}", text("resource")),
        };
        let what = |verb: &str| format!("{}/{resource} {verb}", text("apiGroup"));
        let verb = entry["verb"].as_str().unwrap();
        asked.insert(what(verb));
        match entry["responseStatus"]["code"].as_u64() {
            // An apply that makes the object needs the right to create it besides.
            Some(201) if verb == "patch" => drop(asked.insert(what("create"))),
            Some(403) => drop(refused.insert(what(verb))),
            _ => {}
        }
    }
    (asked, refused)
}

#[test]
fn every_right_of_the_chart_is_used_and_no_other_is_asked_for() {
    let cluster = Cluster::audited_and_collected();
    let ns = cluster.namespace("audited");
    let folder = tempfile::tempdir().unwrap();
    let pki = Authority::new(folder.path(), "ca");
    surroundings(&cluster, &ns, &pki);
    let fleet = Fleet::start(&cluster, &[&ns], 1);
    fleet.leader(&[0], SOON);
    cluster.put(&ns, "edge", everything(8080, 8443, "one"));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    let exists = |kind: &str, selector: &str| {
        let found = cluster.kubectl(&["get", kind, "-n", &ns, "-l", selector, "-o", "name"]);
        !found.unwrap().trim().is_empty()
    };
    eventually("endpoints lead there", SOON, || {
        exists("endpointslices", "kubernetes.io/service-name=one")
    });
    cluster.put(&ns, "edge", everything(8080, 8443, "two"));
    eventually("the other Service is gone", SOON, || {
        cluster.kubectl(&["get", "service", "one", "-n", &ns]).is_err()
    });
    // The same word twice is one Event, counted.
    for _ in 0..2 {
        cluster.put(&ns, "edge", spec(":22", "/plain", &[]));
        cluster.becomes(&ns, "edge", "Accepted", "False/PortNotAllowed");
        cluster.put(&ns, "edge", everything(8080, 8443, "two"));
        cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    }
    // Whoever has no Pod takes its report along.
    let (kubeconfig, alone) = (cluster.controller_kubeconfig(), cluster.namespace("audited"));
    let mut homeless = Controller::launch(&kubeconfig, &[&alone], &["--shutdown-delay=0s"]);
    eventually("it reports", SOON, || {
        homeless.probe("/readyz") == 200
            && homeless.metric("adit_report_writes_total", &["result=\"ok\""]) > 0.0
    });
    homeless.process.signal("TERM");
    assert!(homeless.process.ends(SOON).success());

    let rules = roles(&cluster);
    let granted: BTreeSet<String> = rules.iter().flat_map(granted).collect();
    let (asked, refused) = asked(&cluster);
    assert_eq!(granted.difference(&asked).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(asked.difference(&granted).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(refused, BTreeSet::new());

    // What an object had goes with it; nothing of ours has to be there for that.
    drop(fleet);
    cluster.kubectl(&["delete", "wstunnel", "edge", "-n", &ns, "--wait=false"]).unwrap();
    let ours = format!("adit.dev/expose={ns}");
    eventually("its Service and EndpointSlices are gone", Duration::from_secs(40), || {
        !exists("services", &ours) && !exists("endpointslices", &ours)
    });
}

#[test]
fn without_any_one_of_its_rules_it_lives_and_says_which() {
    let cluster = Cluster::shared();
    let folder = tempfile::tempdir().unwrap();
    let pki = Authority::new(folder.path(), "ca");
    let [watched, own] = roles(cluster);
    let rules = |role: &Value| role["rules"].as_array().unwrap().clone();
    let mut poor = Vec::new();
    for (of_own, missing) in [(false, &watched), (true, &own)] {
        for (i, rule) in rules(missing).into_iter().enumerate() {
            let without = |role: &Value, this: bool| {
                let mut rules = rules(role);
                if this {
                    rules.remove(i);
                }
                rules
            };
            let ns = cluster.namespace("minus");
            cluster.kubectl(&["create", "serviceaccount", "poor", "-n", &ns]).unwrap();
            for (place, rules) in
                [(&*ns, without(&watched, !of_own)), ("adit-system", without(&own, of_own))]
            {
                bind(cluster, place, &ns, &rules);
            }
            surroundings(cluster, &ns, &pki);
            let (pod, addr) = (format!("{ns}-pod"), "198.51.100.7");
            make_pod(cluster, &pod, addr.parse().unwrap());
            pod_is_ready(cluster, &pod, true);
            let kubeconfig = cluster.kubeconfig_of(&ns, "poor");
            let more = [
                &*format!("--pod-name={pod}"),
                "--pod-namespace=adit-system",
                &format!("--pod-ip={addr}"),
            ];
            let controller = Controller::launch(&kubeconfig, &[&ns], &more);
            let spec = everything(controller.front, controller.front_tls, "one");
            cluster.put(&ns, "edge", spec);
            poor.push((controller, rule, ns, pod));
        }
    }
    for (controller, rule, ns, pod) in poor {
        let denied = || {
            let resources = rule["resources"].as_array().unwrap();
            resources.iter().any(|resource| {
                let label = format!("resource={resource}");
                controller.metric("adit_kube_denied_total", &[&label]) > 0.0
            })
        };
        eventually(&format!("{ns} counts what it has no right to: {rule}"), SOON * 2, denied);
        assert_eq!(controller.probe("/livez"), 200, "{rule}");
        drop(controller);
        cluster.kubectl(&["delete", "pod", &pod, "-n", "adit-system", "--force"]).unwrap();
    }
}

/// A Role for the account `poor` of a namespace.
fn bind(cluster: &Cluster, place: &str, account_of: &str, rules: &[Value]) {
    let name = format!("{account_of}-poor");
    let metadata = json!({"name": name, "namespace": place});
    let group = "rbac.authorization.k8s.io";
    let role = json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata,
        "rules": rules});
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "poor", "namespace": account_of}],
    });
    cluster
        .apply(&json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]}).to_string())
        .unwrap();
}
