//! The class file: what it refuses, and its changes while tunnels are open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::controller::Controller;
use super::namespaced::granted;
use super::references::{SOON, tls};
use super::secrets::{self, TlsKnock};
use super::traffic::{Gost, Tunnel, echo};
use crate::support::cluster::Cluster;
use crate::support::pki::{Authority, Leaf};
use crate::support::wait::eventually;

/// A folder as kubelet mounts a ConfigMap.
pub struct Mount {
    root: tempfile::TempDir,
    version: usize,
}

impl Mount {
    pub fn new(classes: &str) -> Self {
        let mut mount = Self { root: tempfile::tempdir().unwrap(), version: 0 };
        mount.publish(classes);
        mount
    }

    pub fn file(&self) -> PathBuf {
        self.root.path().join("classes.yaml")
    }

    /// Swaps the file as kubelet does.
    pub fn publish(&mut self, classes: &str) {
        use std::os::unix::fs::symlink;
        self.version += 1;
        let root = self.root.path();
        let data = format!("..{}", self.version);
        std::fs::create_dir(root.join(&data)).unwrap();
        std::fs::write(root.join(&data).join("classes.yaml"), classes).unwrap();
        symlink(&data, root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        let _ = symlink("..data/classes.yaml", self.file());
    }
}

/// A class file of one default class for all namespaces, with tunnels for everybody.
fn one(rest: &str) -> String {
    format!(
        "classes:\n- name: adit\n  default: true\n  namespaces: {{all: true}}\n  \
         requireAuth: false\n{rest}"
    )
}

fn start(cluster: &Cluster, namespaces: &[&str], classes: &Path) -> Controller {
    let classes = format!("--classes={}", classes.display());
    let controller = Controller::launch(&cluster.controller_kubeconfig(), namespaces, &[&classes]);
    controller.is_ready();
    controller
}

#[test]
fn each_thing_that_a_class_does_not_allow_has_its_reason() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("refused");
    let elsewhere = cluster.namespace("elsewhere");
    let classes = format!(
        "classes:
- name: narrow
  namespaces: {{names: [{namespace}]}}
  listeners: [ws, tcp]
  requireAuth: false
  hostnames: ['*.{{namespace}}.example']
  paths: ['/t/{{namespace}}']
  ports: {{bind: 1024-2000}}
  expose: {{types: [ClusterIP, LoadBalancer]}}
- name: single
  namespaces: {{all: true}}
  requireAuth: false
  limits: {{tunnelsPerNamespace: 1}}
- name: closed
  namespaces: {{all: true}}
"
    );
    let mount = Mount::new(&classes);
    let controller = start(cluster, &[&namespace, &elsewhere], &mount.file());
    let good = format!("/t/{namespace}/x");
    let host = format!("a.{namespace}.example");
    let of = |class: &str, mut spec: Value| {
        if !class.is_empty() {
            spec["className"] = json!(class);
        }
        spec
    };
    let mws = {
        let mut spec = controller.spec(&good, &[&host]);
        spec["services"][0]["listener"]["type"] = json!("mws");
        spec
    };
    let port = json!({"services": [{"name": "in", "addr": ":2001",
        "handler": {"type": "http", "auth": {"username": "u", "password": "p"}},
        "listener": {"type": "tcp"}}]});
    let lent = |auth: Value| {
        json!({"services": [{"name": "in", "addr": ":1080", "handler": {"type": "http", "auth": auth},
            "listener": {"type": "tcp"}, "expose": {"type": "LoadBalancer"}}]})
    };
    let open = {
        let mut spec = lent(json!(null));
        spec["services"][0]["handler"] = json!({"type": "http"});
        spec
    };
    let fine = controller.spec(&good, &[&host]);
    for (name, spec, wanted, part) in [
        ("fine", of("narrow", fine), "True/Accepted", ""),
        ("listener", of("narrow", mws), "False/NotAllowedByClass", "it allows ws, tcp"),
        (
            "host",
            of("narrow", controller.spec(&good, &["a.other.example"])),
            "False/HostnameNotAllowed",
            &*format!("it allows *.{namespace}.example"),
        ),
        (
            "path",
            of("narrow", controller.spec("/t/other", &[&host])),
            "False/PathNotAllowed",
            &*format!("below /t/{namespace}"),
        ),
        ("port", of("narrow", port), "False/PortNotAllowed", "1024-2000"),
        (
            "lent",
            of("narrow", lent(json!({"username": "u", "password": "p"}))),
            "True/Accepted",
            "",
        ),
        ("open", of("narrow", open), "False/NotAllowedByClass", "add auth or an auther"),
        // The namespace's tunnels of other classes count.
        ("one", of("single", controller.spec("/s/1", &[])), "False/QuotaExceeded", "of 1 tunnels"),
        (
            "asks",
            of("closed", controller.spec("/closed", &[])),
            "False/NotAllowedByClass",
            "class \"closed\" requires users: add auth or an auther",
        ),
        ("none", controller.spec("/none", &[]), "False/NoClass", "set className"),
    ] {
        cluster.put(&namespace, name, spec);
        // Another installation has 30 s to answer for an object that no class here is for.
        eventually(&format!("{name} is {wanted}"), Duration::from_secs(50), || {
            cluster.condition(&namespace, name, "Accepted") == wanted
        });
        let message = cluster.message(&namespace, name, "Accepted");
        assert!(message.contains(part), "{name}: {message}");
    }
    cluster.put(&elsewhere, "t", of("narrow", controller.spec("/e", &[])));
    cluster.becomes(&elsewhere, "t", "Accepted", "False/NotAllowedByClass");
    controller.answers(&host, &good, 101);
    controller.answers(&host, "/s/2", 404);
}

#[test]
fn without_a_class_file_a_tunnel_without_users_is_refused_and_auto_follows_its_class() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("shipped");
    let kubeconfig = cluster.controller_kubeconfig();
    let shipped = Controller::shipped(&kubeconfig, &[&namespace], &[]);
    shipped.is_ready();
    cluster.put(&namespace, "open", shipped.spec("/open", &[]));
    cluster.becomes(&namespace, "open", "Accepted", "False/NotAllowedByClass");
    shipped.answers("any", "/open", 404);
    let mut closed = shipped.spec("/closed", &[]);
    closed["services"][0]["handler"]["auth"] = json!({"username": "u", "password": "p"});
    cluster.put(&namespace, "closed", closed);
    cluster.becomes(&namespace, "closed", "Ready", "True/Ready");
    shipped.hands_over();

    let mut mount = Mount::new(&one(""));
    let _controller = start(cluster, &[&namespace], &mount.file());
    let port = crate::support::ports::free();
    let auto = json!({"services": [{"name": "in", "addr": format!(":{port}"),
        "handler": {"type": "auto"}, "listener": {"type": "tcp"}}]});
    cluster.put(&namespace, "auto", auto);
    cluster.becomes(&namespace, "auto", "Ready", "True/Ready");
    // The first byte of the answer to a SOCKS5 greeting, if there is one.
    let greeted = || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(&[5, 1, 0]).unwrap();
        let mut answer = [0];
        matches!(stream.read(&mut answer), Ok(1)).then_some(answer[0])
    };
    assert_eq!(greeted(), Some(5));
    mount.publish(&one("  handlers: [auto, http]\n"));
    eventually("SOCKS5 is closed", Duration::from_secs(20), || greeted().is_none());
    mount.publish(&one("  handlers: [auto, http, socks5]\n"));
    eventually("SOCKS5 is answered", Duration::from_secs(20), || greeted() == Some(5));
}

#[test]
fn a_class_narrowed_under_traffic_drains_and_closes_and_a_broken_file_changes_nothing() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("narrowed");
    let mut mount = Mount::new(&one("  limits: {maxDrain: 2s}\n"));
    let controller = start(cluster, &[&namespace], &mount.file());
    cluster.put(&namespace, "t", controller.spec("/t", &[]));
    cluster.put(&namespace, "kept", controller.spec("/kept", &[]));
    cluster.becomes(&namespace, "t", "Ready", "True/Ready");
    let gost =
        |path: &str| Gost::client(&format!("ws://127.0.0.1:{}?path={path}", controller.front));
    let (of_t, of_kept) = (gost("/t"), gost("/kept"));
    let mut open = Tunnel::open(of_t.proxy, echo());
    let mut kept = Tunnel::open(of_kept.proxy, echo());
    open.exchange(1000);
    kept.exchange(1000);

    mount.publish(&one("  path: [/kept]\n"));
    controller.process.prints("classes refused");
    assert_eq!(controller.metric("adit_config_reload_failures_total", &[]), 1.0);
    let body = controller.body("/readyz");
    assert!(body.contains("classes[0]: unknown field `path`"), "{body}");
    assert_eq!(controller.probe("/readyz"), 200);
    open.exchange(1000);
    assert_eq!(cluster.condition(&namespace, "t", "Ready"), "True/Ready");

    mount.publish(&one("  limits: {maxDrain: 2s}\n  paths: [/kept]\n"));
    cluster.becomes(&namespace, "t", "Accepted", "False/PathNotAllowed");
    controller.answers("any", "/t", 404);
    open.ends_early();
    kept.exchange(1000);
    assert!(!controller.body("/readyz").contains("refused"));

    mount.publish(&one(""));
    cluster.becomes(&namespace, "t", "Ready", "True/Ready");
    controller.answers("any", "/t", 101);
}

#[test]
fn a_classes_certificate_is_shown_renewed_and_missed_with_rights_to_it_alone() {
    let (cluster, folder) = (Cluster::shared(), tempfile::tempdir().unwrap());
    let (own, team) = (cluster.namespace("release"), cluster.namespace("team"));
    let named = r#"[{"name":"adit","default":true,"namespaces":{"all":true},"defaultCertificate":{"secret":"front"}}]"#;
    let kubeconfig = granted(cluster, &own, &team, &["--set-json", &format!("classes={named}")]);
    let may = |what: &str, namespace: &str| {
        let account = format!("--as=system:serviceaccount:{own}:small-adit");
        cluster.kubectl(&["auth", "can-i", "get", what, "-n", namespace, &account]).is_ok()
    };
    assert!(may("secrets/front", &own) && !may("secrets", &own) && !may("secrets/other", &own));
    let mut mount = Mount::new(&one(""));
    let (classes, lease) =
        (format!("--classes={}", mount.file().display()), format!("--lease-namespace={own}"));
    let controller = Controller::launch(&kubeconfig, &[&team], &[&classes, &lease]);
    controller.is_ready();
    cluster.put(&team, "t", tls(&controller, json!({})));
    cluster.becomes(&team, "t", "Ready", "True/Ready");
    assert!(cluster.message(&team, "t", "Accepted").contains("self-signed"));

    let authority = Authority::new(folder.path(), "ca");
    let first = authority.leaf("first");
    secrets::put_pair(cluster, &own, "front", &first);
    mount.publish(&one("  defaultCertificate: {secret: front}\n"));
    let knock = TlsKnock::new(&authority.ca, None);
    let shows = |leaf: &Leaf, within: Duration| {
        let wanted = CertificateDer::from_pem_file(&leaf.cert).unwrap();
        eventually(
            "the class's certificate is shown",
            within,
            || matches!(knock.upgrade(controller.front_tls, "/x"), Ok((101, der)) if der == *wanted),
        );
    };
    // The file is looked at once a second.
    shows(&first, Duration::from_secs(10));
    // It was Ready before, so that says nothing of what the message is about.
    eventually("it is not called self-signed any more", Duration::from_secs(10), || {
        !cluster.message(&team, "t", "Accepted").contains("self-signed")
    });
    let second = authority.leaf("second");
    secrets::put_pair(cluster, &own, "front", &second);
    shows(&second, SOON);

    secrets::delete(cluster, &own, "front");
    cluster.becomes(&team, "t", "Ready", "False/SecretNotFound");
    let message = cluster.message(&team, "t", "ResolvedRefs");
    assert!(message.contains("default certificate of class \"adit\" is not there"), "{message}");
    assert!(!message.contains("front") && !message.contains(&own), "{message}");
    shows(&second, SOON);
    assert_eq!(controller.metric("adit_kube_denied_total", &[]), 0.0);
    controller.hands_over();
}

#[test]
fn namespaces_come_and_go_by_their_labels() {
    // Labels are asked for of all namespaces, so nobody else may be here.
    let cluster = Cluster::start();
    let namespace = cluster.namespace("labelled");
    // The shipped classes need no rights to namespaces, so the shipped roles give none.
    let role = json!({
        "apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": {"name": "reads-namespaces"},
                "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                "metadata": {"name": "reads-namespaces"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reads-namespaces"},
                "subjects": [{"kind": "ServiceAccount", "name": "adit", "namespace": "adit-system"}]},
        ]
    });
    cluster.apply(&role.to_string()).unwrap();
    let classes = "classes:\n- {name: adit, default: true, namespaces: {matchLabels: {tunnels: 'yes'}}, requireAuth: false}\n";
    let mount = Mount::new(classes);
    let classes = format!("--classes={}", mount.file().display());
    let kubeconfig = cluster.controller_kubeconfig();
    let mut narrow = Controller::launch(&kubeconfig, &[&namespace], &[&classes]);
    assert!(!narrow.process.ends(Duration::from_secs(20)).success());
    assert!(narrow.process.printed().contains("matchLabels needs all namespaces"));
    let controller = Controller::launch(&kubeconfig, &[], &[&classes]);
    controller.is_ready();
    cluster.put(&namespace, "t", controller.spec("/labelled", &[]));
    cluster.becomes(&namespace, "t", "Accepted", "False/NotAllowedByClass");
    cluster.kubectl(&["label", "namespace", &namespace, "tunnels=yes"]).unwrap();
    cluster.becomes(&namespace, "t", "Ready", "True/Ready");
    cluster.kubectl(&["label", "namespace", &namespace, "tunnels-"]).unwrap();
    cluster.becomes(&namespace, "t", "Accepted", "False/NotAllowedByClass");
    controller.answers("any", "/labelled", 404);
}

#[test]
fn a_class_file_that_is_wrong_at_the_start_ends_the_process() {
    let cluster = Cluster::shared();
    let mount = Mount::new("classes: [{name: a}]");
    let classes = format!("--classes={}", mount.file().display());
    let kubeconfig = cluster.controller_kubeconfig();
    let mut controller = Controller::launch(&kubeconfig, &["none"], &[&classes]);
    controller.process.prints("classes[0].namespaces");
    let status = controller.process.ends(Duration::from_secs(10));
    assert_eq!(status.code(), Some(64));
}
