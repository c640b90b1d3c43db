//! Exposed services: allocated ports, and the Services and EndpointSlices that lead there.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::fleet::{Fleet, Replica};
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

/// For what the leader writes, and replicas report once a second.
const SOON: Duration = Duration::from_secs(20);
/// A lease is over 15 s after its last renewal.
const TERM: Duration = Duration::from_secs(25);

/// An exposed service `name` that forwards to `to`.
fn service(name: &str, to: SocketAddr, expose: Value) -> Value {
    json!({
        "name": name, "addr": ":5432", "handler": {"type": "tcp"}, "listener": {"type": "tcp"},
        "forwarder": {"nodes": [{"name": "n", "addr": to.to_string()}]}, "expose": expose,
    })
}

fn spec(to: SocketAddr) -> Value {
    json!({"services": [service("db", to, json!({}))]})
}

/// Says a word to whoever comes.
fn says(listener: TcpListener, word: &'static str) {
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = client.write_all(word.as_bytes());
        }
    });
}

fn hears(at: SocketAddr) -> String {
    let Ok(mut stream) = TcpStream::connect_timeout(&at, Duration::from_secs(2)) else {
        return String::new();
    };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut word = String::new();
    let _ = stream.read_to_string(&mut word);
    word
}

fn get(cluster: &Cluster, ns: &str, kind: &str, labels: &str) -> Vec<Value> {
    let list = cluster.kubectl(&["get", kind, "-n", ns, "-l", labels, "-o", "json"]).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn slices(cluster: &Cluster, ns: &str, service: &str) -> Vec<Value> {
    get(cluster, ns, "endpointslices", &format!("kubernetes.io/service-name={service}"))
}

/// What a proxy on a node knows of a Service's port: address and ready, serving, terminating.
fn endpoints(
    cluster: &Cluster,
    ns: &str,
    service: &str,
    port: &str,
) -> BTreeMap<SocketAddr, (bool, bool, bool)> {
    let mut found = BTreeMap::new();
    for slice in slices(cluster, ns, service) {
        if slice["ports"][0]["name"] != port {
            continue;
        }
        let number = slice["ports"][0]["port"].as_u64().unwrap() as u16;
        for endpoint in slice["endpoints"].as_array().unwrap() {
            let ip = endpoint["addresses"][0].as_str().unwrap().parse().unwrap();
            let is = |key: &str| endpoint["conditions"][key].as_bool().unwrap();
            let conditions = (is("ready"), is("serving"), is("terminating"));
            found.insert(SocketAddr::new(ip, number), conditions);
        }
    }
    found
}

/// Where that proxy sends new connections.
fn ready(cluster: &Cluster, ns: &str, service: &str, port: &str) -> Vec<SocketAddr> {
    let all = endpoints(cluster, ns, service, port).into_iter();
    all.filter(|(_, (ready, ..))| *ready).map(|(at, _)| at).collect()
}

fn ready_are(
    cluster: &Cluster,
    ns: &str,
    service: &str,
    port: &str,
    count: usize,
) -> Vec<SocketAddr> {
    let what = format!("{count} endpoints of {ns}/{service} are ready for {port}");
    eventually(&what, SOON, || ready(cluster, ns, service, port).len() == count);
    ready(cluster, ns, service, port)
}

fn target(cluster: &Cluster, ns: &str, name: &str) -> Option<u64> {
    cluster.tunnel(ns, name)["status"]["listeners"][0]["targetPort"].as_u64()
}

fn stored(cluster: &Cluster, ns: &str, service: &str) -> Value {
    let text = cluster.kubectl(&["get", "service", service, "-n", ns, "-o", "json"]).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn exists(cluster: &Cluster, ns: &str, service: &str) -> bool {
    cluster.kubectl(&["get", "service", service, "-n", ns]).is_ok()
}

/// The port that is tried first for a service: its name decides.
fn first_port(name: &str) -> u16 {
    let mut sum =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    sum.stdin.take().unwrap().write_all(name.as_bytes()).unwrap();
    let text = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
    20000 + (u32::from_str_radix(&text[..8], 16).unwrap() % 10000) as u16
}

#[test]
fn two_namespaces_expose_one_port_and_are_both_reached() {
    let cluster = Cluster::shared();
    let (a, b) = (cluster.namespace("exposed"), cluster.namespace("exposed"));
    let fleet = Fleet::start(cluster, &[&a, &b], 3);
    let backends = fleet.lan.host();
    for (port, word) in [(7001, "this is a"), (7002, "this is b")] {
        says(backends.take(port), word);
    }
    cluster.put(&a, "edge", spec((backends.addr, 7001).into()));
    cluster.put(&b, "edge", spec((backends.addr, 7002).into()));
    for (ns, word) in [(&a, "this is a"), (&b, "this is b")] {
        cluster.becomes(ns, "edge", "Ready", "True/Ready");
        for at in ready_are(cluster, ns, "edge-db", "db", 3) {
            assert_eq!(hears(at), word, "{at}");
        }
        let tunnel = cluster.tunnel(ns, "edge");
        let status = &tunnel["status"];
        let name = format!("edge-db.{ns}.svc");
        let address = json!([{"type": "Hostname", "value": name, "port": 5432}]);
        assert_eq!(status["addresses"], address);
        assert_eq!(status["listeners"][0]["address"], format!("{name}:5432"));
        assert_eq!(status["listeners"][0]["replicas"], "3/3");
        let wide = cluster.kubectl(&["get", "wst", "-n", ns, "-o", "wide"]).unwrap();
        assert!(wide.contains(&name), "{wide}");
        let service = stored(cluster, ns, "edge-db");
        let port = &service["spec"]["ports"][0];
        assert_eq!((&port["name"], &port["port"]), (&json!("db"), &json!(5432)));
        assert_eq!(port["targetPort"], status["listeners"][0]["targetPort"]);
        assert!(service["spec"].get("selector").is_none(), "{service}");
        // What the garbage collector goes by; none runs here.
        let owner = json!([{
            "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel", "name": "edge",
            "uid": tunnel["metadata"]["uid"], "controller": true, "blockOwnerDeletion": false,
        }]);
        assert_eq!(service["metadata"]["ownerReferences"], owner);
        for slice in slices(cluster, ns, "edge-db") {
            assert_eq!(slice["metadata"]["ownerReferences"], owner);
            let labels = &slice["metadata"]["labels"];
            assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "adit.dev");
            assert_eq!(slice["addressType"], "IPv4");
        }
    }
    assert_ne!(target(cluster, &a, "edge"), target(cluster, &b, "edge"));

    // Nothing changes, nothing is written.
    let versions = || {
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        let service = version(&stored(cluster, &a, "edge-db"));
        let slices = slices(cluster, &a, "edge-db");
        (service, slices.iter().map(version).collect::<Vec<_>>())
    };
    let before = versions();
    let mut renewals = std::collections::BTreeSet::new();
    eventually("the Lease is renewed", SOON, || {
        renewals.insert(fleet.lease()["spec"]["renewTime"].to_string());
        renewals.len() > 3
    });
    assert_eq!(versions(), before);

    // What somebody breaks is as it was soon.
    let patch = r#"{"spec": {"ports": [{"name": "db", "port": 5432, "targetPort": 1}]}}"#;
    cluster.kubectl(&["patch", "service", "edge-db", "-n", &a, "-p", patch]).unwrap();
    let wanted = target(cluster, &a, "edge").unwrap();
    eventually("the port is repaired", SOON, || {
        stored(cluster, &a, "edge-db")["spec"]["ports"][0]["targetPort"] == wanted
    });
    let all = ["delete", "service,endpointslices", "-n", &a, "-l"];
    cluster.kubectl(&[&all[..], &[&format!("adit.dev/expose={a}")]].concat()).unwrap();
    ready_are(cluster, &a, "edge-db", "db", 3);
    assert!(exists(cluster, &a, "edge-db"));
    cluster.becomes(&a, "edge", "Ready", "True/Ready");

    // A Pod on its way out serves those who are still sent there, and is sent nobody new.
    let leaving = &fleet.replicas[2];
    let finalizers = |names: &str| {
        let patch = format!(r#"{{"metadata": {{"finalizers": {names}}}}}"#);
        let args = ["patch", "pod", &leaving.pod, "-n", "adit-system", "--type=merge", "-p"];
        cluster.kubectl(&[&args[..], &[&patch]].concat()).unwrap();
    };
    finalizers(r#"["adit.dev/test"]"#);
    let delete = ["delete", "pod", &leaving.pod, "-n", "adit-system", "--wait=false"];
    cluster.kubectl(&delete).unwrap();
    let at = SocketAddr::new(leaving.host.addr, wanted as u16);
    eventually("the endpoint is terminating", SOON, || {
        endpoints(cluster, &a, "edge-db", "db").get(&at) == Some(&(false, true, true))
    });
    assert_eq!(hears(at), "this is a");
    assert_eq!(ready(cluster, &a, "edge-db", "db").len(), 2);
    finalizers("[]");
    eventually("the endpoint is gone", SOON, || {
        !endpoints(cluster, &a, "edge-db", "db").contains_key(&at)
    });
}

#[test]
fn a_replica_whose_port_is_taken_is_not_ready_for_that_listener_alone() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("exposed-taken");
    let fleet = Fleet::start(cluster, &[&ns], 3);
    let backends = fleet.lan.host();
    let to = SocketAddr::new(backends.addr, 7001);
    says(backends.take(7001), "hello");
    let unlucky = &fleet.replicas[1];
    let taken = first_port(&format!("{ns}/edge/db"));
    let _taken = unlucky.host.take(taken);
    let both = json!({"services": [
        service("db", to, json!({"name": "all"})),
        service("web", to, json!({"name": "all", "port": 80})),
    ]});
    cluster.put(&ns, "edge", both);
    let web = ready_are(cluster, &ns, "all", "web", 3);
    let db = ready_are(cluster, &ns, "all", "db", 2);
    assert_eq!(target(cluster, &ns, "edge"), Some(taken.into()));
    for at in web.iter().chain(&db) {
        assert_eq!(hears(*at), "hello");
    }
    let bad = SocketAddr::new(unlucky.host.addr, taken);
    assert_eq!(endpoints(cluster, &ns, "all", "db").get(&bad), Some(&(false, false, false)));
    cluster.becomes(&ns, "edge", "Programmed", "False/Partial");
    let message = cluster.message(&ns, "edge", "Programmed");
    assert!(message.contains(&format!("replica {}: ", unlucky.pod)), "{message}");
    assert!(!message.contains("service web"), "{message}");
}

#[test]
fn a_service_of_the_name_that_is_not_ours_stays_and_the_object_says_so() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("exposed-name");
    let fleet = Fleet::start(cluster, &[&ns], 1);
    let backends = fleet.lan.host();
    let to = SocketAddr::new(backends.addr, 7001);
    says(backends.take(7001), "hello");
    let create = ["create", "service", "clusterip", "edge-db", "-n", &ns, "--tcp=1:1"];
    cluster.kubectl(&create).unwrap();
    let before = stored(cluster, &ns, "edge-db");
    cluster.put(&ns, "edge", spec(to));
    cluster.becomes(&ns, "edge", "Accepted", "False/ServiceNameTaken");
    let message = cluster.message(&ns, "edge", "Accepted");
    assert!(message.contains("\"edge-db\"") && message.contains("expose.name"), "{message}");

    // Another name is free: the tunnel's own Service is made, that one is still as it was.
    let named = |name: &str| json!({"services": [service("db", to, json!({"name": name}))]});
    cluster.put(&ns, "edge", named("pg"));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    let port = target(cluster, &ns, "edge");
    assert_eq!(hears(ready_are(cluster, &ns, "pg", "db", 1)[0]), "hello");
    assert_eq!(stored(cluster, &ns, "edge-db"), before);
    assert!(slices(cluster, &ns, "edge-db").is_empty());

    // What is renamed leaves nothing behind, and keeps its port.
    cluster.put(&ns, "edge", named("sql"));
    eventually("the old Service is gone", SOON, || !exists(cluster, &ns, "pg"));
    eventually("its slices too", SOON, || slices(cluster, &ns, "pg").is_empty());
    assert_eq!(hears(ready_are(cluster, &ns, "sql", "db", 1)[0]), "hello");
    assert_eq!(target(cluster, &ns, "edge"), port);

    // Suspended: nobody is sent there, but the Service keeps its address, and the tunnel its port.
    let address = stored(cluster, &ns, "sql")["spec"]["clusterIP"].clone();
    let mut suspended = named("sql");
    suspended["suspend"] = true.into();
    cluster.put(&ns, "edge", suspended);
    ready_are(cluster, &ns, "sql", "db", 0);
    cluster.becomes(&ns, "edge", "Programmed", "False/Suspended");
    assert_eq!(target(cluster, &ns, "edge"), port);
    cluster.put(&ns, "edge", named("sql"));
    assert_eq!(hears(ready_are(cluster, &ns, "sql", "db", 1)[0]), "hello");
    assert_eq!(stored(cluster, &ns, "sql")["spec"]["clusterIP"], address);

    // Without expose there is no Service, and no port of the range.
    let mut bare = named("sql");
    bare["services"][0].as_object_mut().unwrap().remove("expose");
    cluster.put(&ns, "edge", bare);
    eventually("the Service is gone", SOON, || !exists(cluster, &ns, "sql"));
    eventually("the slices are gone", SOON, || slices(cluster, &ns, "sql").is_empty());
    eventually("the port is given back", SOON, || target(cluster, &ns, "edge").is_none());
    assert_eq!(stored(cluster, &ns, "edge-db"), before);

    // The name becomes free.
    cluster.put(&ns, "edge", spec(to));
    cluster.becomes(&ns, "edge", "Accepted", "False/ServiceNameTaken");
    cluster.kubectl(&["delete", "service", "edge-db", "-n", &ns]).unwrap();
    eventually("the tunnel has the name", Duration::from_secs(70), || {
        cluster.condition(&ns, "edge", "Ready") == "True/Ready"
    });
    assert_eq!(hears(ready_are(cluster, &ns, "edge-db", "db", 1)[0]), "hello");
}

#[test]
fn a_leader_that_dies_before_the_children_leaves_no_orphan_and_no_second_port() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("exposed-leader");
    let mut fleet = Fleet::start(cluster, &[&ns], 3);
    let backends = fleet.lan.host();
    let to = SocketAddr::new(backends.addr, 7001);
    says(backends.take(7001), "hello");
    // A quota refuses every Service.
    let quota = ["create", "quota", "none", "-n", &ns, "--hard=services=0"];
    cluster.kubectl(&quota).unwrap();
    let counted = r#"{"status": {"hard": {"services": "0"}, "used": {"services": "0"}}}"#;
    let status =
        ["patch", "quota", "none", "-n", &ns, "--subresource=status", "--type=merge", "-p"];
    cluster.kubectl(&[&status[..], &[counted]].concat()).unwrap();
    eventually("the quota counts", SOON, || {
        let create = ["create", "service", "clusterip", "x", "-n", &ns, "--tcp=1:1"];
        cluster.kubectl(&[&create[..], &["--dry-run=server"]].concat()).is_err()
    });
    let first = fleet.leader(&[0, 1, 2], TERM);
    cluster.put(&ns, "edge", spec(to));
    let bound = |replica: &Replica| {
        let label = format!("namespace=\"{ns}\"");
        replica.metric("adit_listener_bound", &[&label]) == 1.0
    };
    eventually("the port is allocated and bound", SOON, || fleet.replicas.iter().all(bound));
    eventually("the object says why it is not reached", SOON, || {
        cluster.message(&ns, "edge", "Programmed").contains("exceeded quota: none, requested")
    });
    assert_eq!(cluster.condition(&ns, "edge", "Ready"), "False/ServiceRefused");
    let message = cluster.message(&ns, "edge", "Ready");
    assert!(message.contains("the API server refuses Service \"edge-db\": "), "{message}");
    assert!(!message.contains("Status {"), "no text of the client: {message}");
    eventually("an Event says so", SOON, || {
        let path = "jsonpath={.items[*].reason}";
        let events = cluster.kubectl(&["get", "events", "-n", &ns, "-o", path]).unwrap();
        events.contains("ServiceRefused")
    });
    let port = target(cluster, &ns, "edge");
    assert!(port.is_some() && slices(cluster, &ns, "edge-db").is_empty());

    fleet.replicas[first].process.signal("KILL");
    fleet.pod_is_ready(&fleet.replicas[first], false);
    cluster.kubectl(&["delete", "quota", "none", "-n", &ns]).unwrap();
    cluster.put(&ns, "other", spec(to));
    let rest: Vec<usize> = (0..3).filter(|number| *number != first).collect();
    fleet.leader(&rest, TERM);
    for name in ["edge", "other"] {
        eventually("it is ready", TERM, || cluster.condition(&ns, name, "Ready") == "True/Ready");
        let at = ready_are(cluster, &ns, &format!("{name}-db"), "db", 2);
        assert!(at.iter().all(|at| hears(*at) == "hello"));
    }
    assert_eq!(target(cluster, &ns, "edge"), port);
    let other = target(cluster, &ns, "other");
    assert!(other.is_some() && other != port);
    let ours = format!("adit.dev/expose={ns}");
    assert_eq!(get(cluster, &ns, "services", &ours).len(), 2);
    assert_eq!(get(cluster, &ns, "endpointslices", &ours).len(), 2);

    // Every process begins anew.
    fleet.restart();
    fleet.pod_is_ready(&fleet.replicas[first], true);
    fleet.leader(&[0, 1, 2], TERM);
    for (name, port) in [("edge", port), ("other", other)] {
        let at = ready_are(cluster, &ns, &format!("{name}-db"), "db", 3);
        eventually("all are reached", SOON, || at.iter().all(|at| hears(*at) == "hello"));
        assert_eq!(target(cluster, &ns, name), port);
    }
}

#[test]
fn the_last_replicas_to_end_leave_no_endpoint_and_nothing_that_says_ready() {
    let cluster = Cluster::shared();
    for count in [1, 2] {
        let ns = cluster.namespace("last");
        let mut fleet = Fleet::start(cluster, &[&ns], count);
        let backends = fleet.lan.host();
        says(backends.take(7001), "hello");
        cluster.put(&ns, "edge", spec((backends.addr, 7001).into()));
        cluster.put(&ns, "front", super::controller::spec(":8080", "/x", &[]));
        for name in ["edge", "front"] {
            cluster.becomes(&ns, name, "Ready", "True/Ready");
        }
        ready_are(cluster, &ns, "edge-db", "db", count);
        let claim = cluster.tunnel(&ns, "edge")["status"]["listeners"][0]["claimedAt"].clone();

        // As when a Deployment goes: all at once.
        for replica in &fleet.replicas {
            fleet.pod_is_gone(replica);
            replica.process.signal("TERM");
        }
        for replica in &mut fleet.replicas {
            let status = replica.process.ends(Duration::from_secs(20));
            assert_eq!(status.code(), Some(0), "{}", replica.process.printed());
        }
        assert_eq!(endpoints(cluster, &ns, "edge-db", "db"), BTreeMap::new());
        let holder = fleet.lease()["spec"]["holderIdentity"].clone();
        assert!(holder.is_null() || holder == "", "{holder}");
        for name in ["edge", "front"] {
            assert_eq!(cluster.condition(&ns, name, "Ready"), "Unknown/NoReplica");
            assert_eq!(cluster.condition(&ns, name, "Accepted"), "True/Accepted");
        }
        assert_eq!(cluster.tunnel(&ns, "edge")["status"]["listeners"][0]["claimedAt"], claim);
    }
}
