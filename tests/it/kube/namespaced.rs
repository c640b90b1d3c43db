//! Rights in the watched namespaces alone, as the chart renders them for a list of namespaces.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::controller::Controller;
use super::references::{SOON, tls, with_users};
use super::secrets::{self, TlsKnock};
use super::traffic::{Gost, Tunnel, echo};
use crate::artifacts::helm_template;
use crate::support::cluster::Cluster;
use crate::support::pki::Authority;
use crate::support::wait::eventually;

/// Grants what the chart does for a release in `own` that watches `team`; the kubeconfig.
pub fn granted(cluster: &Cluster, own: &str, team: &str, values: &[&str]) -> std::path::PathBuf {
    let watched = format!("watch.namespaces={{{team}}}");
    let few = ["--set", &watched, "--set", "rbac.aggregate=false", "--set", "crds.install=false"];
    let only = ["templates/serviceaccount.yaml", "templates/rbac.yaml"];
    let manifests = helm_template("small", own, &[&few[..], values, &show_only(&only)].concat());
    assert!(!manifests.contains("ClusterRole"), "{manifests}");
    cluster.apply(&manifests).unwrap();
    cluster.kubeconfig_of(own, "small-adit")
}

fn show_only<'a>(templates: &[&'a str]) -> Vec<&'a str> {
    templates.iter().flat_map(|template| ["--show-only", template]).collect()
}

#[test]
fn roles_in_the_watched_namespaces_are_enough() {
    let cluster = Cluster::shared();
    let (own, team) = (cluster.namespace("release"), cluster.namespace("team"));
    let kubeconfig = granted(cluster, &own, &team, &[]);
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

#[test]
fn a_role_that_names_secrets_is_enough_for_these_and_opens_no_other() {
    let (cluster, folder) = (Cluster::shared(), tempfile::tempdir().unwrap());
    let (own, team) = (cluster.namespace("release"), cluster.namespace("team"));
    let names = ["--set", "rbac.secretNames={edge-tls,users}"];
    let kubeconfig = granted(cluster, &own, &team, &names);
    let may = |verb: &str, what: &str, namespace: &str| {
        let account = format!("--as=system:serviceaccount:{own}:small-adit");
        cluster.kubectl(&["auth", "can-i", verb, what, "-n", namespace, &account]).is_ok()
    };
    for verb in ["get", "list", "watch"] {
        for name in ["secrets/edge-tls", "secrets/users"] {
            assert!(may(verb, name, &team) && !may(verb, name, &own), "{verb} {name}");
        }
        for more in ["secrets", "secrets/other-tls"] {
            assert!(!may(verb, more, &team) && !may(verb, more, &own), "{verb} {more}");
        }
    }
    let lease = format!("--lease-namespace={own}");
    let flags = [&*lease, "--secret-name=edge-tls", "--secret-name=users"];
    let controller = Controller::launch(&kubeconfig, &[&team], &flags);
    controller.is_ready();

    // It comes, is renewed, and goes.
    let authority = Authority::new(folder.path(), "ca");
    cluster.put(&team, "edge", tls(&controller, json!({"secretRef": {"name": "edge-tls"}})));
    cluster.becomes(&team, "edge", "Ready", "False/SecretNotFound");
    secrets::put_pair(cluster, &team, "edge-tls", &authority.leaf("first"));
    cluster.becomes(&team, "edge", "Ready", "True/Ready");
    let gost = Gost::client(&format!("wss://127.0.0.1:{}?path=/x", controller.front_tls));
    let mut tunnel = Tunnel::open(gost.proxy, echo());
    tunnel.exchange(1 << 20);
    let knock = TlsKnock::new(&authority.ca, None);
    let second = authority.leaf("second");
    let wanted = CertificateDer::from_pem_file(&second.cert).unwrap();
    secrets::put_pair(cluster, &team, "edge-tls", &second);
    eventually("the new certificate is shown", SOON, || {
        knock.upgrade(controller.front_tls, "/x").unwrap() == (101, wanted.to_vec())
    });
    tunnel.exchange(1 << 20);
    tunnel.finish();
    secrets::delete(cluster, &team, "edge-tls");
    cluster.becomes(&team, "edge", "Ready", "False/SecretNotFound");

    // The label is asked for as ever, and is seen when it comes.
    secrets::put(cluster, &team, "users", "Opaque", json!({}), &[("ann", "one")]);
    cluster.put(&team, "asks", with_users(&controller));
    cluster.becomes(&team, "asks", "Ready", "False/SecretInvalid");
    secrets::put_users(cluster, &team, &[("ann", "one")]);
    cluster.becomes(&team, "asks", "Ready", "True/Ready");

    // Another one is there, and nobody asks for it.
    secrets::put_pair(cluster, &team, "other-tls", &authority.leaf("other"));
    let mut other = tls(&controller, json!({"secretRef": {"name": "other-tls"}}));
    other["services"][0]["hostnames"] = json!(["other.example"]);
    cluster.put(&team, "other", other);
    cluster.becomes(&team, "other", "Ready", "False/SecretNotFound");
    let message = cluster.message(&team, "other", "ResolvedRefs");
    assert!(message.contains("not among the secretNames of this installation"), "{message}");
    assert!(message.contains("ask who installed it to add other-tls"), "{message}");
    assert_eq!(controller.metric("adit_kube_denied_total", &[]), 0.0);
    controller.hands_over();
}
