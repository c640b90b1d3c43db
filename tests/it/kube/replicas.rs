//! Three replicas: all serve, one says so.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::controller::{Controller, spec};
use super::fleet::Fleet;
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

/// A lease is over 15 s after its last renewal; a candidate looks every 2 s.
const TERM: Duration = Duration::from_secs(20);
/// For a lease that was given back.
const AT_ONCE: Duration = Duration::from_secs(4);

fn summary(cluster: &Cluster, ns: &str, name: &str) -> String {
    let object = cluster.tunnel(ns, name);
    object["status"]["summary"]["replicas"].as_str().unwrap_or_default().into()
}

fn counts(cluster: &Cluster, ns: &str, name: &str, wanted: &str) {
    let what = format!("{ns}/{name} has REPLICAS {wanted}");
    eventually(&what, Duration::from_secs(15), || summary(cluster, ns, name) == wanted);
}

/// When Ready became what it is.
fn ready_since(cluster: &Cluster, ns: &str, name: &str) -> Value {
    let object = cluster.tunnel(ns, name);
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|c| c["type"] == "Ready").unwrap();
    ready["lastTransitionTime"].clone()
}

fn version(cluster: &Cluster, ns: &str, name: &str) -> Value {
    cluster.tunnel(ns, name)["metadata"]["resourceVersion"].clone()
}

#[test]
fn one_leads_and_others_take_over_without_rewriting_what_has_not_changed() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("lead");
    let fleet = Fleet::start(cluster, &[&ns], 3);
    let first = fleet.leader(&[0, 1, 2], AT_ONCE);
    cluster.put(&ns, "edge", spec(":8080", "/x", &[]));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    counts(cluster, &ns, "edge", "3/3");
    let all = || fleet.replicas.iter();
    let lead = &fleet.replicas[first];
    assert!(all().all(|replica| replica.knock("any", "/x") == 101));
    let holder = fleet.lease()["spec"]["holderIdentity"].as_str().unwrap().to_string();
    assert!(holder.starts_with(&format!("{}_", lead.pod)), "{holder}");
    let reports = fleet.reports();
    assert_eq!(reports.len(), 3);
    for replica in all() {
        let report = &reports[&format!("{ns}-report-{}", replica.pod)];
        let owner = &report.metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("Pod", replica.pod.as_str()));
    }

    // An edit is no time at which it was not ready: replicas are given the time to follow.
    let since = ready_since(cluster, &ns, "edge");
    cluster.put(&ns, "edge", spec(":8080", "/y", &[]));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    counts(cluster, &ns, "edge", "3/3");
    assert!(all().all(|replica| replica.knock("any", "/y") == 101));
    assert_eq!(ready_since(cluster, &ns, "edge"), since);

    // Nothing changes: for five renewals of the Lease nothing but the Lease is written.
    let versions = || {
        let reports = fleet.reports();
        let reports = reports.values().map(|map| map.metadata.resource_version.clone().unwrap());
        (version(cluster, &ns, "edge"), reports.collect::<Vec<_>>())
    };
    let before = versions();
    let mut renewals = std::collections::BTreeSet::new();
    eventually("the Lease is renewed", Duration::from_secs(30), || {
        renewals.insert(fleet.lease()["spec"]["renewTime"].to_string());
        renewals.len() > 5
    });
    assert_eq!(versions(), before);

    // The Lease goes: whoever held it holds it again, and traffic does not notice.
    fleet.delete_lease();
    eventually("there is a Lease again", TERM, || {
        assert!(all().all(|replica| replica.knock("any", "/y") == 101));
        cluster.kubectl(&["get", "lease", &format!("{ns}-leader"), "-n", "adit-system"]).is_ok()
    });
    assert_eq!(fleet.leader(&[0, 1, 2], AT_ONCE), first);
    assert_eq!(versions(), before);

    // The leader dies.
    let killed = Instant::now();
    lead.process.signal("KILL");
    let rest: Vec<usize> = (0..3).filter(|number| *number != first).collect();
    let second = fleet.leader(&rest, TERM);
    eprintln!("another leads {:?} after the leader was killed", killed.elapsed());
    // Nobody has said yet that the Pod is not ready, so there is nothing new to say.
    assert_eq!(versions(), before);
    fleet.pod_is_ready(lead, false);
    counts(cluster, &ns, "edge", "2/2");
    assert_eq!(cluster.condition(&ns, "edge", "Ready"), "True/Ready");

    // The next one is asked to end.
    let ended = Instant::now();
    fleet.replicas[second].process.signal("TERM");
    let rest: Vec<usize> = rest.into_iter().filter(|number| *number != second).collect();
    let third = fleet.leader(&rest, AT_ONCE);
    eprintln!("another leads {:?} after the leader was asked to end", ended.elapsed());
    fleet.pod_is_gone(&fleet.replicas[second]);
    counts(cluster, &ns, "edge", "1/1");
    assert_eq!(cluster.condition(&ns, "edge", "Ready"), "True/Ready");
    assert_eq!(fleet.replicas[third].knock("any", "/y"), 101);
    assert_eq!(ready_since(cluster, &ns, "edge"), since, "it was ready all the time");
    let lease = fleet.lease();
    assert!(lease["spec"]["leaseTransitions"].as_i64().unwrap() >= 2, "{lease}");
}

#[test]
fn a_leader_that_was_stopped_writes_nothing_when_it_wakes_up() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("stopped");
    let fleet = Fleet::start(cluster, &[&ns], 3);
    cluster.put(&ns, "edge", spec(":8080", "/x", &[]));
    counts(cluster, &ns, "edge", "3/3");
    let first = fleet.leader(&[0, 1, 2], AT_ONCE);
    let old = &fleet.replicas[first];
    let wrote = || old.metric("adit_status_patches_total", &["result=\"ok\""]);
    let before = wrote();

    let stopped = Instant::now();
    old.process.signal("STOP");
    fleet.pod_is_ready(old, false);
    // What it would say of this is what it finds when it wakes up.
    cluster.put(&ns, "edge", spec(":8080", "/x{", &[]));
    let rest: Vec<usize> = (0..3).filter(|number| *number != first).collect();
    fleet.leader(&rest, TERM);
    counts(cluster, &ns, "edge", "2/2");
    cluster.becomes(&ns, "edge", "Programmed", "False/UsingPreviousConfig");
    cluster.put(&ns, "edge", spec(":8080", "/y", &[]));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    eventually("twenty seconds are over", Duration::from_secs(25), || {
        stopped.elapsed() > Duration::from_secs(20)
    });
    let stored = version(cluster, &ns, "edge");
    old.process.signal("CONT");
    eventually("it serves what was changed meanwhile", Duration::from_secs(10), || {
        old.knock("any", "/y") == 101
    });
    eventually("it knows that it does not lead", AT_ONCE, || old.metric("adit_leader", &[]) == 0.0);
    assert_eq!(wrote(), before);
    assert_eq!(version(cluster, &ns, "edge"), stored);
    fleet.pod_is_ready(old, true);
    counts(cluster, &ns, "edge", "3/3");
    assert_eq!(wrote(), before);
}

#[test]
fn a_replica_whose_port_is_taken_is_named_and_the_others_serve() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("taken");
    let fleet = Fleet::start(cluster, &[&ns], 3);
    let unlucky = &fleet.replicas[1];
    let taken = unlucky.host.take(5432);
    let db = json!({"services": [{
        "name": "db", "addr": ":5432", "handler": {"type": "tcp"}, "listener": {"type": "tcp"},
        "forwarder": {"nodes": [{"name": "n", "addr": "db.example:5432"}]},
    }]});
    cluster.put(&ns, "edge", db);
    cluster.becomes(&ns, "edge", "Programmed", "False/Partial");
    // Whose report has not come yet is no replica that counts.
    counts(cluster, &ns, "edge", "2/3");
    let message = cluster.message(&ns, "edge", "Programmed");
    assert!(message.contains(&format!("replica {}: ", unlucky.pod)), "{message}");
    assert!(message.contains("5432"), "{message}");
    for other in [0, 2] {
        assert!(!message.contains(&fleet.replicas[other].pod), "{message}");
    }
    let status = cluster.tunnel(&ns, "edge")["status"].clone();
    assert_eq!(status["summary"]["listeners"], "1/1");
    assert_eq!(status["listeners"][0]["replicas"], "2/3");
    drop(taken);
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    counts(cluster, &ns, "edge", "3/3");
}

#[test]
fn replicas_agree_on_the_winner_of_a_duel_in_whatever_order_they_saw_it() {
    let cluster = Cluster::shared();
    let (a, b) = (cluster.namespace("agree-a"), cluster.namespace("agree-b"));
    let fleet = Fleet::start(cluster, &[&a, &b], 3);
    // A replica that sees and says everything late: it wakes up when all is decided.
    let first = fleet.leader(&[0, 1, 2], AT_ONCE);
    let late = &fleet.replicas[(first + 1) % 3];
    late.process.signal("STOP");
    // Made first, and moved to the contested place last.
    cluster.put(&a, "edge", spec(":8080", "/quiet", &[]));
    cluster.put(&b, "edge", spec(":8080", "/x", &[]));
    let claimed = |ns: &str| {
        let object = cluster.tunnel(ns, "edge");
        object["status"]["listeners"][0]["claimedAt"].is_string()
    };
    eventually("the claim is granted", Duration::from_secs(15), || claimed(&b));
    cluster.put(&a, "edge", spec(":8080", "/x", &[]));
    late.process.signal("CONT");
    cluster.becomes(&a, "edge", "Accepted", "False/HostConflict");
    cluster.becomes(&b, "edge", "Ready", "True/Ready");
    let bound = |ns: &str| -> Vec<f64> {
        let label = format!("namespace=\"{ns}\"");
        let bound =
            |replica: &super::fleet::Replica| replica.metric("adit_listener_bound", &[&label]);
        fleet.replicas.iter().map(bound).collect()
    };
    eventually("all replicas give it to the incumbent", Duration::from_secs(10), || {
        bound(&b) == [1.0; 3] && bound(&a) == [0.0; 3]
    });

    // Another leader comes to the same.
    fleet.replicas[first].process.signal("TERM");
    fleet.pod_is_gone(&fleet.replicas[first]);
    let rest: Vec<usize> = (0..3).filter(|number| *number != first).collect();
    fleet.leader(&rest, AT_ONCE);
    counts(cluster, &b, "edge", "2/2");
    assert_eq!(cluster.condition(&a, "edge", "Accepted"), "False/HostConflict");

    // And hands it over when the incumbent goes.
    cluster.kubectl(&["delete", "wst", "edge", "-n", &b]).unwrap();
    cluster.becomes(&a, "edge", "Ready", "True/Ready");
    counts(cluster, &a, "edge", "2/2");
}

#[test]
fn processes_without_pods_count_each_other_while_they_live() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("podless");
    let first = Controller::start(cluster, &[&ns]);
    // The first one's front is a port like any other for the second, and it is taken.
    cluster.put(&ns, "edge", first.spec("/x", &[]));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    counts(cluster, &ns, "edge", "1/1");
    let second = Controller::start(cluster, &[&ns]);
    counts(cluster, &ns, "edge", "1/2");
    cluster.becomes(&ns, "edge", "Programmed", "False/Partial");
    second.process.signal("TERM");
    counts(cluster, &ns, "edge", "1/1");
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    let label = format!("adit.dev/report={ns}");
    let reports = ["get", "configmaps", "-n", "adit-system", "-l", &label, "-o", "name"];
    assert_eq!(cluster.kubectl(&reports).unwrap().lines().count(), 1);
}
