//! A thousand objects at once.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kube::api::{ListParams, PostParams};
use serde_json::json;

use super::controller::Controller;
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

#[test]
fn a_thousand_objects_become_ready_and_an_edit_of_one_is_work_for_one() {
    let cluster = Cluster::shared();
    let namespaces: Vec<_> = (0..10).map(|_| cluster.namespace("many")).collect();
    let names: Vec<_> = namespaces.iter().map(String::as_str).collect();
    let controller = Controller::start(cluster, &names);
    let began = Instant::now();
    // All at once, as a rollout by a machine would.
    let creations = (0..1000).map(|number| {
        let name = format!("t{number}");
        let body = json!({
            "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel", "metadata": {"name": name},
            "spec": controller.spec(&format!("/many/{number}"), &[]),
        });
        let api = cluster.tunnels(&namespaces[number / 100]);
        async move {
            let body = serde_json::from_value(body).unwrap();
            api.create(&PostParams::default(), &body).await.unwrap()
        }
    });
    cluster.block_on(futures_util::stream::iter(creations).buffer_unordered(32).count());
    let made = began.elapsed();
    let ready = || {
        let count = |ns: &String| {
            let (api, all) = (cluster.tunnels(ns), ListParams::default());
            cluster
                .block_on(api.list(&all))
                .unwrap()
                .items
                .iter()
                .filter(|t| is_ready(&t.data))
                .count()
        };
        namespaces.iter().map(count).sum::<usize>()
    };
    // Listing them all the time would be most of the work of this machine.
    eventually("all are written", Duration::from_secs(60), || {
        controller.metric("adit_status_patches_total", &["result=\"ok\""]) >= 1000.0
    });
    let spent = controller.metric("process_cpu_seconds_total", &[]);
    eventually("all are ready", Duration::from_secs(60), || ready() == 1000);
    eprintln!(
        "1000 objects were made in {made:?} and Ready after {:?}, for {spent} s of CPU",
        began.elapsed()
    );
    assert_eq!(controller.knock("any", "/many/999"), 101);

    let kinds = ["bind", "start", "swap", "route", "release", "stop"];
    let steps = || kinds.map(|kind| controller.steps(kind));
    let before = steps();
    let mut spec = controller.spec("/many/0", &[]);
    spec["services"][0]["handler"]["auth"] = json!({"username": "u", "password": "p"});
    cluster.put(&namespaces[0], "t0", spec);
    cluster.becomes(&namespaces[0], "t0", "Ready", "True/Ready");
    let done: f64 = steps().iter().sum::<f64>() - before.iter().sum::<f64>();
    assert!((1.0..=2.0).contains(&done), "{before:?} -> {:?}", steps());
}

fn is_ready(object: &serde_json::Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .is_some_and(|list| list.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}
