//! Secrets that objects refer to come, change and go, under traffic.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::controller::{self, Controller};
use super::secrets::{self, BASIC_AUTH, TlsKnock};
use super::traffic::{Gost, Tunnel, echo};
use crate::support::cluster::Cluster;
use crate::support::http;
use crate::support::pki::Authority;
use crate::support::wait::eventually;

/// What follows a change within the time that is promised.
const SOON: Duration = Duration::from_secs(2);

/// A service with TLS on the front port for it.
fn tls(controller: &Controller, tls: Value) -> Value {
    let mut spec = super::controller::spec(&format!(":{}", controller.front_tls), "/x", &[]);
    spec["services"][0]["listener"]["type"] = json!("wss");
    spec["services"][0]["listener"]["tls"] = tls;
    spec
}

/// A service that asks the users of Secret `users`.
fn with_users(controller: &Controller) -> Value {
    let mut spec = controller.spec("/x", &[]);
    spec["services"][0]["handler"]["auther"] = json!("u");
    spec["authers"] = json!([{"name": "u", "secretRef": {"name": "users"}}]);
    spec
}

#[test]
fn a_certificate_is_rotated_under_new_connections_and_none_of_them_fails() {
    let (cluster, folder) = (Cluster::shared(), tempfile::tempdir().unwrap());
    let ns = cluster.namespace("rotate");
    let controller = Controller::start(cluster, &[&ns]);
    let authority = Authority::new(folder.path(), "ca");
    secrets::put_pair(cluster, &ns, "edge", &authority.leaf("0"));
    cluster.put(&ns, "edge", tls(&controller, json!({"secretRef": {"name": "edge"}})));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");

    let gost = Gost::client(&format!("wss://127.0.0.1:{}?path=/x", controller.front_tls));
    let open = Tunnel::open(gost.proxy, echo()).keep_busy();
    let knock = TlsKnock::new(&authority.ca, None);
    let (stop, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let upgraded = knock.upgrade(controller.front_tls, "/x");
                    assert_eq!(upgraded.expect("every handshake succeeds").0, 101);
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for n in 1..=20 {
            let leaf = authority.leaf(&n.to_string());
            let wanted = CertificateDer::from_pem_file(&leaf.cert).unwrap();
            secrets::put_pair(cluster, &ns, "edge", &leaf);
            eventually("the new certificate is shown", SOON, || {
                knock.upgrade(controller.front_tls, "/x").unwrap().1 == wanted.as_ref()
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(made.load(Ordering::Relaxed) > 200, "{made:?}");
    assert!(open.intact() > 0);
    let labels = [&*format!("namespace=\"{ns}\""), "tunnel=\"edge\"", "service=\"in\""];
    let ends = controller.metric("adit_tls_cert_expiry_seconds", &labels);
    assert_eq!(ends, 3_786_912_000.0, "the first day of 2090");

    // What was loaded goes on without the Secret.
    secrets::delete(cluster, &ns, "edge");
    cluster.becomes(&ns, "edge", "Ready", "False/SecretNotFound");
    assert_eq!(cluster.condition(&ns, "edge", "Programmed"), "True/Programmed");
    assert_eq!(knock.upgrade(controller.front_tls, "/x").unwrap().0, 101);
    let message = cluster.message(&ns, "edge", "ResolvedRefs");
    assert!(message.contains("goes on until the controller restarts"), "{message}");
}

#[test]
fn a_missing_certificate_is_said_and_its_arrival_is_enough() {
    let (cluster, folder) = (Cluster::shared(), tempfile::tempdir().unwrap());
    let ns = cluster.namespace("missing");
    let controller = Controller::start(cluster, &[&ns]);
    let authority = Authority::new(folder.path(), "ca");
    cluster.put(&ns, "edge", tls(&controller, json!({"secretRef": {"name": "edge"}})));
    cluster.becomes(&ns, "edge", "Ready", "False/SecretNotFound");
    let message = cluster.message(&ns, "edge", "Ready");
    let fix = format!("kubectl create secret tls edge -n {ns} --cert=FILE --key=FILE");
    assert!(message.contains(&fix), "{message}");
    let knock = TlsKnock::new(&authority.ca, None);
    let refused = knock.upgrade(controller.front_tls, "/x");
    assert!(refused.is_err(), "only the self-signed certificate is there: {refused:?}");
    // The front port speaks TLS, whoever is on it.
    let plain = controller::knock(([127, 0, 0, 1], controller.front_tls).into(), "any", "/x");
    assert_eq!(plain, 0);
    secrets::put_pair(cluster, &ns, "edge", &authority.leaf("leaf"));
    eventually("it serves", SOON, || {
        knock.upgrade(controller.front_tls, "/x").is_ok_and(|(status, _)| status == 101)
    });
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
}

#[test]
fn a_client_without_a_certificate_of_the_ca_does_not_get_in() {
    let (cluster, folder) = (Cluster::shared(), tempfile::tempdir().unwrap());
    let ns = cluster.namespace("clients");
    let controller = Controller::start(cluster, &[&ns]);
    let [servers, clients] = ["servers", "clients"].map(|n| Authority::new(folder.path(), n));
    secrets::put_pair(cluster, &ns, "edge", &servers.leaf("server"));
    let ca = std::fs::read_to_string(&clients.ca).unwrap();
    let label = json!({"adit.dev/usage": "ca"});
    secrets::put(cluster, &ns, "ca", "Opaque", json!({}), &[("clients.pem", &ca)]);
    let reference = json!({
        "secretRef": {"name": "edge"}, "clientCARef": {"name": "ca", "key": "clients.pem"},
    });
    cluster.put(&ns, "edge", tls(&controller, reference));
    cluster.becomes(&ns, "edge", "Ready", "False/SecretInvalid");
    let message = cluster.message(&ns, "edge", "Ready");
    let fix = format!("kubectl label secret ca -n {ns} adit.dev/usage=tunnel");
    assert!(message.contains(&fix), "{message}");
    secrets::put(cluster, &ns, "ca", "Opaque", label.clone(), &[("clients.pem", &ca)]);
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");

    let (own, other) = (clients.leaf("client"), servers.leaf("stranger"));
    let status = |leaf| {
        let knock = TlsKnock::new(&servers.ca, leaf);
        knock.upgrade(controller.front_tls, "/x").map_or(0, |(status, _)| status)
    };
    assert_eq!([status(Some(&own)), status(None), status(Some(&other))], [101, 0, 0]);
    // Another CA is another policy at once.
    let ca = std::fs::read_to_string(&servers.ca).unwrap();
    secrets::put(cluster, &ns, "ca", "Opaque", label, &[("clients.pem", &ca)]);
    eventually("the others come now", SOON, || status(Some(&other)) == 101);
    assert_eq!(status(Some(&own)), 0);
}

/// Whether a user gets through a tunnel.
struct User(Gost, SocketAddr);

impl User {
    fn new(controller: &Controller, name: &str, password: &str, target: SocketAddr) -> Self {
        let front = controller.front;
        let url = format!("http+ws://{name}:{password}@127.0.0.1:{front}?path=/x");
        Self(Gost::client(&url), target)
    }

    fn passes(&self) -> bool {
        http::connect_through(self.0.proxy, self.1).is_ok()
    }

    fn soon(&self, passes: bool) {
        eventually(&format!("a user passes: {passes}"), SOON, || self.passes() == passes);
    }
}

#[test]
fn users_change_are_emptied_deleted_and_restored() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("users");
    let controller = Controller::start(cluster, &[&ns]);
    secrets::put_users(cluster, &ns, &[("ann", "one")]);
    cluster.put(&ns, "edge", with_users(&controller));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    let target = echo();
    let ann = User::new(&controller, "ann", "one", target);
    let bob = User::new(&controller, "bob", "two", target);
    assert!(ann.passes() && !bob.passes());

    let mut open = http::connect_through(ann.0.proxy, target).unwrap();
    let mut heard = [0; 5];
    secrets::put_users(cluster, &ns, &[("bob", "two")]);
    bob.soon(true);
    assert!(!ann.passes());
    open.write_all(b"still").unwrap();
    open.read_exact(&mut heard).unwrap();

    // What is open has half a minute from now on.
    secrets::put_users(cluster, &ns, &[]);
    let emptied = Instant::now();
    bob.soon(false);
    cluster.becomes(&ns, "edge", "Ready", "False/SecretInvalid");
    secrets::put_users(cluster, &ns, &[("bob", "two")]);
    bob.soon(true);
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    secrets::delete(cluster, &ns, "users");
    bob.soon(false);
    cluster.becomes(&ns, "edge", "Ready", "False/SecretNotFound");
    secrets::put_users(cluster, &ns, &[("ann", "one")]);
    ann.soon(true);
    open.write_all(b"still").unwrap();
    open.read_exact(&mut heard).unwrap();
    open.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert!(!matches!(open.read(&mut heard), Ok(1..)), "nothing more comes");
    let lived = emptied.elapsed();
    assert!((29..34).contains(&lived.as_secs()), "it ended after {lived:?}");
}

#[test]
fn a_refused_read_is_no_removal() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("denied");
    let run = |args: &[&str]| cluster.kubectl(args).unwrap();
    run(&["create", "serviceaccount", "poor", "-n", &ns]);
    let account = format!("--serviceaccount={ns}:poor");
    let bind = |name: &str, role: &str| {
        run(&["create", "rolebinding", name, "-n", &ns, role, &account]);
    };
    run(&["create", "role", "secrets", "-n", &ns, "--verb=get,list,watch", "--resource=secrets"]);
    run(&[
        "create",
        "role",
        "tunnels",
        "-n",
        &ns,
        "--verb=list,watch",
        "--resource=wstunnels.adit.dev",
    ]);
    run(&[
        "create",
        "role",
        "status",
        "-n",
        &ns,
        "--verb=patch",
        "--resource=wstunnels.adit.dev/status",
    ]);
    bind("tunnels", "--role=tunnels");
    bind("status", "--role=status");
    bind("secrets", "--role=secrets");
    let (name, here) = (&*format!("{ns}-poor"), ["-n", "adit-system"]);
    run(&[&["create", "rolebinding", name, "--role=adit", &account][..], &here].concat());
    let controller = Controller::launch(&cluster.kubeconfig_of(&ns, "poor"), &[&ns], &[]);
    controller.is_ready();
    secrets::put_users(cluster, &ns, &[("ann", "one")]);
    cluster.put(&ns, "edge", with_users(&controller));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    let ann = User::new(&controller, "ann", "one", echo());
    assert!(ann.passes());

    run(&["delete", "rolebinding", "secrets", "-n", &ns]);
    let may = || {
        cluster.kubectl(&[
            "auth",
            "can-i",
            "get",
            "secrets",
            "-n",
            &ns,
            &format!("--as=system:serviceaccount:{ns}:poor"),
        ])
    };
    eventually("the right is gone", Duration::from_secs(10), || may().is_err());
    secrets::delete(cluster, &ns, "users");
    let denied = ["verb=\"get\"", "resource=\"secrets\""];
    eventually("the read is refused", Duration::from_secs(10), || {
        controller.metric("adit_kube_denied_total", &denied) > 0.0
    });
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

    bind("secrets", "--role=secrets");
    eventually("the removal is seen", Duration::from_secs(30), || !ann.passes());
    cluster.becomes(&ns, "edge", "Ready", "False/SecretNotFound");
    cluster.becomes(&ns, "other", "Ready", "False/SecretNotFound");
}

#[test]
fn credentials_are_sent_only_with_their_owners_word() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("share");
    let controller = Controller::start(cluster, &[&ns]);
    let mut spec = controller.spec("/x", &[]);
    spec["services"][0]["handler"]["chain"] = json!("c");
    spec["chains"] = json!([{"name": "c", "hops": [{"name": "h", "nodes": [{
        "name": "n", "addr": "gw.example:443",
        "connector": {"type": "http", "auth": {"secretRef": {"name": "gw"}}},
    }]}]}]);
    let values = [("username", "u"), ("password", "p")];
    secrets::put(cluster, &ns, "gw", BASIC_AUTH, json!({}), &values);
    cluster.put(&ns, "edge", spec);
    cluster.becomes(&ns, "edge", "Ready", "False/SecretInvalid");
    let message = cluster.message(&ns, "edge", "Ready");
    let line = message.split(": ").last().unwrap();
    assert!(line.starts_with("kubectl label secret gw "), "{message}");
    controller.answers("any", "/x", 404);
    // The line that it says works.
    cluster.kubectl(&line.split(' ').skip(1).collect::<Vec<_>>()).unwrap();
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    controller.answers("any", "/x", 101);
    cluster.kubectl(&["label", "secret", "gw", "-n", &ns, "adit.dev/share-"]).unwrap();
    cluster.becomes(&ns, "edge", "Ready", "False/SecretInvalid");
    controller.answers("any", "/x", 404);
}

/// Makes or changes a headless Service `db` and its EndpointSlice with these addresses.
fn put_service(cluster: &Cluster, ns: &str, endpoints: Value) {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": ns},
        "spec": {"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "db-1", "namespace": ns,
            "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "sql", "port": 6000}],
    });
    cluster.apply(&format!("{service}\n---\n{slice}")).unwrap();
}

#[test]
fn a_service_is_followed_through_its_endpointslices_and_the_guard_stays() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("follow");
    // Nothing leaves the machine: the guard sees the address that would be dialled.
    let deny = ["--deny-egress=192.0.2.0/24"];
    let controller = Controller::launch(&cluster.controller_kubeconfig(), &[&ns], &deny);
    controller.is_ready();
    let services = ["kind=\"services\""];
    assert_eq!(controller.metric("adit_kube_watch_events_total", &services), 0.0);
    assert_eq!(controller.metric("adit_kube_watch_stale_seconds", &services), 0.0);
    let mut spec = controller.spec("/x", &[]);
    spec["services"][0]["handler"] = json!({"type": "forward"});
    spec["services"][0]["forwarder"] =
        json!({"nodes": [{"name": "n", "serviceRef": {"name": "db", "port": "sql"}}]});
    cluster.put(&ns, "edge", spec);
    cluster.becomes(&ns, "edge", "Ready", "False/ServiceNotFound");
    controller.answers("any", "/x", 404);

    let ready = |address: &str, ready: bool| json!({"addresses": [address], "conditions": {"ready": ready}});
    put_service(cluster, &ns, json!([ready("192.0.2.1", true), ready("192.0.2.9", false)]));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    controller.answers("any", "/x", 101);
    controller.process.prints("192.0.2.1:6000");
    let denied = [&*format!("namespace=\"{ns}\"")];
    assert!(controller.metric("adit_egress_denied_total", &denied) > 0.0);

    put_service(cluster, &ns, json!([ready("192.0.2.1", false), ready("192.0.2.2", true)]));
    eventually("the new endpoint is dialled", SOON, || {
        assert_eq!(controller.knock("any", "/x"), 101);
        controller.process.printed().contains("192.0.2.2:6000")
    });
    assert!(!controller.process.printed().contains("192.0.2.9"), "it was never ready");
    cluster.kubectl(&["delete", "service", "db", "-n", &ns]).unwrap();
    cluster.becomes(&ns, "edge", "Ready", "False/ServiceNotFound");
    controller.answers("any", "/x", 404);
}
