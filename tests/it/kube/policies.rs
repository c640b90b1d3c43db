//! The chart's admission policies: what the controller's account may not write though its roles let it.

use std::time::Duration;

use serde_json::{Value, json};

use super::fleet::Fleet;
use crate::artifacts::helm_template;
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

const SOON: Duration = Duration::from_secs(20);
const SYSTEM: &str = "adit-system";
const ACCOUNT: &str = "--as=system:serviceaccount:adit-system:adit";

/// The policies for an instance that watches the namespace of its name, under `deploy/rbac.yaml`.
fn policed(cluster: &Cluster, instance: &str) {
    let watched = format!("watch.namespaces={{{instance}}}");
    let manifests = helm_template(
        instance,
        SYSTEM,
        &[
            "--set",
            &watched,
            "--set",
            "serviceAccount.create=false,serviceAccount.name=adit",
            "--show-only",
            "templates/admission-policy.yaml",
            "--show-only",
            "templates/configmap-classes.yaml",
        ],
    );
    cluster.apply(&manifests).unwrap();
}

fn services(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/services")
}

fn config_maps(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// A Service as the controller would make it for the WsTunnel `edge`.
fn child(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": name,
            "labels": {"adit.dev/expose": "x", "app.kubernetes.io/managed-by": "adit.dev"},
            "ownerReferences": [{"apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel",
                "name": "edge", "uid": "00000000-0000-0000-0000-000000000000", "controller": true}],
        },
        "spec": {"ports": [{"port": 80}]},
    })
}

#[test]
fn the_controllers_account_writes_what_is_its_own_and_nothing_else() {
    let cluster = Cluster::start();
    let (ns, other) = (cluster.namespace("policed"), cluster.namespace("unwatched"));
    policed(&cluster, &ns);
    cluster.kubectl(&["create", "service", "clusterip", "foreign", "-n", &ns, "--tcp=80"]).unwrap();

    // As the controller, with its roles: `raw` needs no right to look first.
    let raw = |verb: &str, path: &str, body: &str| {
        let file = if body.is_empty() { &[][..] } else { &["-f", "-"] };
        cluster.kubectl_with(&[&[verb, "--raw", path, ACCOUNT][..], file].concat(), body)
    };
    let denied = |asked: Result<String, String>, why: &str| {
        let said = asked.expect_err(why);
        assert!(said.contains("ValidatingAdmissionPolicy") && said.contains(why), "{why}: {said}");
    };
    let create = |path: &str, body: Value| raw("create", path, &body.to_string());
    let label = |label: &str| {
        cluster.kubectl(&[
            "label",
            "service",
            "foreign",
            "-n",
            &ns,
            label,
            ACCOUNT,
            "--dry-run=server",
        ])
    };
    eventually("the policies are enforced", SOON, || label("a=b").is_err());

    // Other people's Services, also by way of the label.
    for change in ["a=b", "adit.dev/expose=x"] {
        denied(label(change), "this Service belongs to no WsTunnel");
    }
    denied(
        raw("delete", &format!("{}/foreign", services(&ns)), ""),
        "this Service belongs to no WsTunnel",
    );
    let plain = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "new"},
        "spec": {"ports": [{"port": 80}]}});
    denied(create(&services(&ns), plain), "belongs to a WsTunnel");
    let mut unlabelled = child("new");
    unlabelled["metadata"]["labels"] = json!({});
    denied(create(&services(&ns), unlabelled), "has the label adit.dev/expose");
    for (key, value) in [
        ("selector", json!({"app": "other"})),
        ("externalIPs", json!(["192.0.2.1"])),
        ("type", json!("ExternalName")),
    ] {
        let mut stolen = child("new");
        stolen["spec"][key] = value;
        stolen["spec"]["externalName"] = match key {
            "type" => json!("other.example"),
            _ => json!(null),
        };
        denied(create(&services(&ns), stolen), "no selector, no externalIPs and no external name");
    }
    denied(create(&services(&other), child("new")), "does not watch this namespace");
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices");
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "new", "labels": {"kubernetes.io/service-name": "foreign"}},
        "endpoints": [{"addresses": ["192.0.2.1"]}],
    });
    denied(create(&slices, slice), "an EndpointSlice of the controller has the label");

    // The classes, and whatever else is kept beside them.
    let classes = format!("{}/{ns}-adit-classes", config_maps(SYSTEM));
    let only = format!("no ConfigMap but {ns}-report-POD");
    let map =
        |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    denied(raw("replace", &classes, &map(&format!("{ns}-adit-classes")).to_string()), &only);
    denied(raw("delete", &classes, ""), &only);
    denied(create(&config_maps(SYSTEM), map("kube-root-ca.crt.bak")), &only);
    denied(create(&config_maps(SYSTEM), map(&format!("x{ns}-report-a"))), &only);
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases");
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "kube-scheduler"}});
    denied(create(&leases, lease), &format!("no Lease but {ns}-leader"));

    // Its own work, with a Service that an edit by hand took the label from.
    let fleet = Fleet::start(&cluster, &[&ns], 1);
    fleet.leader(&[0], SOON);
    let exposed = |name: &str| {
        json!({"services": [{
            "name": "db", "addr": ":5432", "handler": {"type": "tcp"}, "listener": {"type": "tcp"},
            "forwarder": {"nodes": [{"name": "n", "addr": "192.0.2.1:1"}]},
            "expose": {"name": name},
        }]})
    };
    let exists = |kind: &str, selector: &str| {
        let found = cluster.kubectl(&["get", kind, "-n", &ns, "-l", selector, "-o", "name"]);
        !found.unwrap().trim().is_empty()
    };
    cluster.put(&ns, "edge", exposed("one"));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    eventually("endpoints lead there", SOON, || {
        exists("endpointslices", "kubernetes.io/service-name=one")
    });
    cluster.kubectl(&["label", "service", "one", "-n", &ns, "adit.dev/expose-"]).unwrap();
    eventually("the label is back", SOON, || exists("services", &format!("adit.dev/expose={ns}")));
    cluster.put(&ns, "edge", exposed("two"));
    eventually("the other Service is gone", SOON, || {
        cluster.kubectl(&["get", "service", "one", "-n", &ns]).is_err()
    });
    let replica = &fleet.replicas[0];
    assert!(replica.metric("adit_report_writes_total", &["result=\"ok\""]) > 0.0);
    assert_eq!(replica.metric("adit_report_writes_total", &["result=\"error\""]), 0.0);
}
