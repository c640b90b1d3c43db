use serde_json::{Value, json};

use super::*;

fn roster() -> Roster {
    Roster::new(Names {
        instance: "adit".into(),
        namespace: "system".into(),
        pod: Some("one".into()),
        replica: "one".into(),
    })
}

fn pod(name: &str, uid: &str, ready: bool, deleting: bool) -> PodView {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "system", "uid": uid,
            "deletionTimestamp": deleting.then_some("2026-01-01T00:00:00Z")},
        "status": {"conditions": [
            {"type": "ContainersReady", "status": "True"},
            {"type": "Ready", "status": if ready { "True" } else { "False" }},
        ]},
    }))
    .unwrap();
    PodView::read(&pod)
}

/// A report of a Pod, or one that was renewed at a second.
fn stored(name: &str, owner: Result<&str, i64>) -> Stored {
    let mut report = json!({"version": 1, "tunnels": {"t": {"g": 1}}});
    match owner {
        Ok(uid) => report["pod"] = json!({"name": name, "uid": uid}),
        Err(second) => report["renewed"] = json!(format!("second {second}")),
    }
    map(name, &report)
}

fn map(name: &str, report: &Value) -> Stored {
    let map: ConfigMap = serde_json::from_value(json!({
        "metadata": {"name": format!("adit-report-{name}"), "namespace": "system"},
        "data": {"report": report.to_string()},
    }))
    .unwrap();
    Stored::read(&map)
}

fn applied(roster: &mut Roster, stored: Stored) {
    roster.take(News::Report(Change::Applied(Box::new(stored))), Instant::now());
}

fn pod_is(roster: &mut Roster, pod: PodView) {
    roster.take(News::Pod(Change::Applied(Box::new(pod))), Instant::now());
}

fn lists(roster: &mut Roster, pods: Vec<PodView>, reports: Vec<Stored>) {
    let now = Instant::now();
    roster.take(News::Pod(Change::Listed { scope: 0, objects: pods }), now);
    roster.take(News::Report(Change::Listed { scope: 0, objects: reports }), now);
}

fn others(roster: &Roster) -> Vec<String> {
    let fleet = roster.fleet(Instant::now());
    fleet.others.iter().map(|replica| replica.name.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_report_counts_while_its_pod_is_ready_and_stays() {
    let mut roster = roster();
    assert!(!roster.fleet(Instant::now()).listed);
    let pods = vec![pod("one", "1", true, false), pod("two", "2", true, false)];
    lists(&mut roster, pods, vec![stored("one", Ok("1")), stored("two", Ok("2"))]);
    let fleet = roster.fleet(Instant::now());
    assert!(fleet.listed && fleet.own);
    assert_eq!(fleet.pod, Some(report::Pod { name: "one".into(), uid: "1".into() }));
    assert_eq!(others(&roster), ["two"]);
    for gone in [pod("two", "2", false, false), pod("two", "2", true, true)] {
        pod_is(&mut roster, gone);
        assert!(others(&roster).is_empty());
        pod_is(&mut roster, pod("two", "2", true, false));
        assert_eq!(others(&roster), ["two"]);
    }
    pod_is(&mut roster, pod("two", "another", true, false));
    assert!(others(&roster).is_empty(), "a report of the Pod before it");
    pod_is(&mut roster, pod("two", "2", true, false));
    let key = pod("two", "2", true, false).key;
    roster.take(News::Pod(Change::Deleted(key)), Instant::now());
    assert!(others(&roster).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_process_whose_pod_is_not_ready_does_not_count_itself_and_one_without_a_pod_does() {
    let mut roster = roster();
    lists(&mut roster, vec![], vec![]);
    let fleet = roster.fleet(Instant::now());
    assert!(fleet.own && fleet.pod.is_none());
    pod_is(&mut roster, pod("one", "1", false, false));
    assert!(!roster.fleet(Instant::now()).own);
    pod_is(&mut roster, pod("one", "1", true, false));
    assert!(roster.fleet(Instant::now()).own);
    let key = pod("one", "1", true, false).key;
    roster.take(News::Pod(Change::Deleted(key)), Instant::now());
    let fleet = roster.fleet(Instant::now());
    assert!(!fleet.own, "its Pod is gone");
    assert!(fleet.pod.is_some(), "it lives and dies with the Pod that it had");
}

#[tokio::test(start_paused = true)]
async fn a_report_without_a_pod_counts_only_while_it_is_seen_to_be_renewed() {
    let mut roster = roster();
    lists(&mut roster, vec![], vec![stored("old", Err(1)), stored("live", Err(1))]);
    assert!(others(&roster).is_empty(), "nobody knows how old these are");
    applied(&mut roster, stored("live", Err(2)));
    applied(&mut roster, stored("new", Err(1)));
    assert_eq!(others(&roster), ["live", "new"]);
    tokio::time::advance(EXPIRY - Duration::from_secs(1)).await;
    applied(&mut roster, stored("live", Err(3)));
    // A list again, for example after the watch broke.
    lists(&mut roster, vec![], vec![stored("new", Err(1)), stored("live", Err(3))]);
    assert_eq!(others(&roster), ["live", "new"]);
    let expiry = roster.expiry(Instant::now()).unwrap();
    assert_eq!(expiry - Instant::now(), Duration::from_secs(1));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(others(&roster), ["live"]);
    tokio::time::advance(EXPIRY).await;
    assert!(others(&roster).is_empty());
    assert_eq!(roster.expiry(Instant::now()), None);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_somebody_removed_is_noticed() {
    let mut roster = roster();
    lists(&mut roster, vec![], vec![]);
    applied(&mut roster, stored("one", Ok("1")));
    let key = stored("one", Ok("1")).key;
    roster.take(News::Report(Change::Deleted(key)), Instant::now());
    assert_eq!(roster.fleet(Instant::now()).losses, 1);
    applied(&mut roster, stored("one", Ok("1")));
    lists(&mut roster, vec![], vec![]);
    assert_eq!(roster.fleet(Instant::now()).losses, 2);
}

#[tokio::test(start_paused = true)]
async fn without_rights_to_the_lists_the_replica_counts_alone_after_a_while() {
    let (_news, mut incoming) = mpsc::channel(1);
    let (sender, mut fleet) = watch::channel(Arc::new(Fleet::default()));
    let began = Instant::now();
    tokio::select! {
        _ = run(roster().names, &mut incoming, &sender) => unreachable!("somebody may send"),
        _ = fleet.changed() => {}
    }
    assert_eq!(began.elapsed(), PATIENCE);
    let known = fleet.borrow();
    assert!(known.listed && known.own && known.others.is_empty());
}

#[tokio::test(start_paused = true)]
async fn pods_of_the_installation_have_addresses_that_are_kept_from_tunnels() {
    let at = |name: &str, uid: &str, app: &str, phase: &str, last: u8| {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "system", "uid": uid, "labels":
                {"app.kubernetes.io/name": app, "app.kubernetes.io/instance": "adit"}},
            "status": {"phase": phase, "podIP": format!("10.0.0.{last}"),
                "podIPs": [{"ip": format!("10.0.0.{last}")}, {"ip": format!("fd00::{last}")}],
                "hostIPs": [{"ip": "192.168.0.1"}]},
        }))
        .unwrap();
        PodView::read(&pod)
    };
    let mut roster = roster();
    let pods = vec![
        at("one", "uid-1", "adit", "Running", 1),
        // It starts, and has no report.
        at("two", "uid-2", "adit", "Pending", 2),
        at("three", "uid-3", "renamed", "Running", 3),
        at("ended", "uid-4", "adit", "Failed", 4),
        at("other", "uid-5", "database", "Running", 5),
    ];
    lists(&mut roster, pods, vec![stored("three", Ok("uid-3"))]);
    let found = roster.fleet(Instant::now()).addresses;
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let wanted =
        ["10.0.0.1", "10.0.0.2", "10.0.0.3", "192.168.0.1", "fd00::1", "fd00::2", "fd00::3"];
    assert_eq!(found, wanted);
}

#[tokio::test(start_paused = true)]
async fn whoever_may_lead_next_is_a_successor() {
    let mut roster = roster();
    let successors = |roster: &Roster| roster.fleet(Instant::now()).successors;
    lists(&mut roster, vec![pod("one", "1", true, false)], vec![stored("one", Ok("1"))]);
    assert_eq!(successors(&roster), 0);
    // One that is not ready yet leads all the same; one that is being deleted does not.
    for (ready, deleting, count) in [(true, false, 1), (false, false, 1), (true, true, 0)] {
        let pods = vec![pod("one", "1", true, false), pod("two", "2", ready, deleting)];
        lists(&mut roster, pods, vec![stored("one", Ok("1")), stored("two", Ok("2"))]);
        assert_eq!(successors(&roster), count, "{ready} {deleting}");
    }
    let pods = vec![pod("one", "1", true, true)];
    lists(&mut roster, pods, vec![stored("one", Ok("1")), stored("two", Ok("2"))]);
    assert_eq!(successors(&roster), 0, "a report of a Pod that is gone");
    applied(&mut roster, stored("live", Err(1)));
    assert_eq!(successors(&roster), 1, "a process without a Pod");
}
