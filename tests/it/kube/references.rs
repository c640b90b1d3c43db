//! Secrets that objects refer to come, change and go, under traffic.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::controller::{self, Controller};
use super::secrets::{self, BASIC_AUTH, TlsKnock};
use super::traffic::{Gost, echo};
use crate::support::cluster::Cluster;
use crate::support::http;
use crate::support::pki::Authority;
use crate::support::wait::eventually;

/// What follows a change within the time that is promised.
pub const SOON: Duration = Duration::from_secs(2);

/// A service with TLS on the front port for it.
pub fn tls(controller: &Controller, tls: Value) -> Value {
    let mut spec = super::controller::spec(&format!(":{}", controller.front_tls), "/x", &[]);
    spec["services"][0]["listener"]["type"] = json!("wss");
    spec["services"][0]["listener"]["tls"] = tls;
    spec
}

/// A service that asks the users of Secret `users`.
pub fn with_users(controller: &Controller) -> Value {
    let mut spec = controller.spec("/x", &[]);
    spec["services"][0]["handler"]["auther"] = json!("u");
    spec["authers"] = json!([{"name": "u", "secretRef": {"name": "users"}}]);
    spec
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
    // The front port speaks TLS, whoever is on it, and says so to a client that does not.
    let plain = controller::knock(([127, 0, 0, 1], controller.front_tls).into(), "any", "/x");
    assert_eq!(plain, 400);
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

#[test]
fn a_certificate_that_ends_within_a_week_is_said_and_one_that_has_ended_is_still_served() {
    let (cluster, folder) = (Cluster::shared(), tempfile::tempdir().unwrap());
    let ns = cluster.namespace("ends");
    let controller = Controller::start(cluster, &[&ns]);
    let authority = Authority::new(folder.path(), "ca");
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = |days: i64| today.checked_add(jiff::Span::new().days(days)).unwrap();
    let labels = [&*format!("namespace=\"{ns}\""), "tunnel=\"edge\"", "service=\"in\""];
    let shows = |end: jiff::civil::Date| {
        let seconds = end.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second();
        controller.metric("adit_tls_cert_expiry_seconds", &labels) == seconds as f64
    };
    cluster.put(&ns, "edge", tls(&controller, json!({"secretRef": {"name": "edge"}})));
    for (days, said) in [(9, false), (3, true), (9, false)] {
        secrets::put_pair(cluster, &ns, "edge", &authority.until("leaf", day(days)));
        eventually("the metric has its end", Duration::from_secs(10), || shows(day(days)));
        let words = format!("the certificate of Secret \"edge\" ends on {}", day(days));
        eventually("the condition says when it is soon", Duration::from_secs(10), || {
            let message = cluster.message(&ns, "edge", "ResolvedRefs");
            cluster.condition(&ns, "edge", "ResolvedRefs") == "True/ResolvedRefs"
                && if said { message.contains(&words) } else { message.is_empty() }
        });
        cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    }
    secrets::put_pair(cluster, &ns, "edge", &authority.expired("late"));
    cluster.becomes(&ns, "edge", "Ready", "False/CertificateExpired");
    assert!(shows(jiff::civil::date(2020, 1, 1)));
    let message = cluster.message(&ns, "edge", "ResolvedRefs");
    assert!(message.contains("ended on 2020-01-01; renew it: kubectl create"), "{message}");
    // Who does not look at it comes in.
    let gost = Gost::client(&format!("wss://127.0.0.1:{}?path=/x", controller.front_tls));
    assert!(http::connect_through(gost.proxy, echo()).is_ok());
    let knock = TlsKnock::new(&authority.ca, None);
    let error = knock.upgrade(controller.front_tls, "/x").unwrap_err().to_string();
    assert!(error.contains("expired"), "{error}");
}

/// Whether a user gets through a tunnel.
pub struct User(Gost, SocketAddr);

impl User {
    pub fn new(controller: &Controller, name: &str, password: &str, target: SocketAddr) -> Self {
        let front = controller.front;
        let url = format!("http+ws://{name}:{password}@127.0.0.1:{front}?path=/x");
        Self(Gost::client(&url), target)
    }

    fn anonymous(controller: &Controller, target: SocketAddr) -> Self {
        let url = format!("http+ws://127.0.0.1:{}?path=/x", controller.front);
        Self(Gost::client(&url), target)
    }

    pub fn passes(&self) -> bool {
        http::connect_through(self.0.proxy, self.1).is_ok()
    }

    pub fn soon(&self, passes: bool) {
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
    // Whatever becomes of the users: none is never anybody.
    let nobody = User::anonymous(&controller, target);
    assert!(ann.passes() && !bob.passes() && !nobody.passes());

    let mut open = http::connect_through(ann.0.proxy, target).unwrap();
    let mut heard = [0; 5];
    secrets::put_users(cluster, &ns, &[("bob", "two")]);
    bob.soon(true);
    assert!(!ann.passes() && !nobody.passes());
    open.write_all(b"still").unwrap();
    open.read_exact(&mut heard).unwrap();

    // What is open has half a minute from now on.
    secrets::put_users(cluster, &ns, &[]);
    let emptied = Instant::now();
    bob.soon(false);
    assert!(!ann.passes() && !nobody.passes());
    cluster.becomes(&ns, "edge", "Ready", "False/SecretInvalid");
    secrets::put_users(cluster, &ns, &[("bob", "two")]);
    bob.soon(true);
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    secrets::delete(cluster, &ns, "users");
    bob.soon(false);
    assert!(!ann.passes() && !nobody.passes());
    cluster.becomes(&ns, "edge", "Ready", "False/SecretNotFound");
    secrets::put_users(cluster, &ns, &[("ann", "one")]);
    ann.soon(true);
    assert!(!bob.passes() && !nobody.passes());
    open.write_all(b"still").unwrap();
    open.read_exact(&mut heard).unwrap();
    open.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert!(!matches!(open.read(&mut heard), Ok(1..)), "nothing more comes");
    let lived = emptied.elapsed();
    assert!((29..34).contains(&lived.as_secs()), "it ended after {lived:?}");
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
