//! What a thousand objects cost, against a real API server: `cargo bench --bench scale -- 5`.
//!
//! A thousand WsTunnels in ten namespaces, a hundred of them with a TLS Secret each, and three
//! replicas with a Pod object each. Measured: from the start of three processes to every object
//! Ready, the memory of each then, and what each asks the API server for in that many idle minutes,
//! by its audit log, besides watches and the Lease.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kube::api::{ListParams, PostParams};
use serde_json::json;

#[path = "../tests/it/support/mod.rs"]
mod support;

#[path = "../tests/it/kube/controller.rs"]
mod controller;
#[path = "../tests/it/kube/fleet.rs"]
mod fleet;
#[path = "../tests/it/kube/secrets.rs"]
mod secrets;

const OBJECTS: usize = 1000;
const SECRETS: usize = 100;

fn main() {
    let minutes = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(5);
    let cluster = support::cluster::Cluster::audited_and_collected();
    let namespaces: Vec<_> = (0..10).map(|_| cluster.namespace("scale")).collect();
    let names: Vec<_> = namespaces.iter().map(String::as_str).collect();
    let folder = tempfile::tempdir().unwrap();
    let authority = support::pki::Authority::new(folder.path(), "ca");
    for number in 0..SECRETS {
        let (ns, name) = (names[number % 10], format!("pair-{number}"));
        secrets::put_pair(&cluster, ns, &name, &authority.leaf(&name));
    }
    let creations = (0..OBJECTS).map(|number| {
        let name = format!("t{number}");
        let mut spec = controller::spec(":8080", &format!("/{number}"), &[]);
        if number < SECRETS {
            spec = controller::spec(":8443", "/", &[&format!("pair-{number}.example")]);
            spec["services"][0]["listener"]["type"] = json!("wss");
            spec["services"][0]["listener"]["tls"] =
                json!({"secretRef": {"name": format!("pair-{number}")}});
        }
        let body = json!({
            "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel", "metadata": {"name": name},
            "spec": spec,
        });
        let api = cluster.tunnels(names[number % 10]);
        async move {
            let body = serde_json::from_value(body).unwrap();
            api.create(&PostParams::default(), &body).await.unwrap()
        }
    });
    cluster.block_on(futures_util::stream::iter(creations).buffer_unordered(32).count());

    let began = Instant::now();
    let fleet = fleet::Fleet::start(&cluster, &names, 3);
    println!("three replicas are ready after {:?}", began.elapsed());
    while ready(&cluster, &names) < OBJECTS {
        assert!(began.elapsed() < Duration::from_secs(300), "not all are Ready");
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("{OBJECTS} objects with {SECRETS} Secrets are Ready 3/3 after {:?}", began.elapsed());
    // What was said last is still being written.
    std::thread::sleep(Duration::from_secs(30));
    for replica in &fleet.replicas {
        let memory = replica.metric("process_resident_memory_bytes", &[]) / f64::from(1 << 20);
        println!("{}: {memory:.1} MiB", replica.pod);
    }
    let before = cluster.audited().len();
    std::thread::sleep(Duration::from_secs(60 * minutes));
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for entry in &cluster.audited()[before..] {
        let object = &entry["objectRef"];
        let what = format!("{} {}", entry["verb"], object["resource"]).replace('"', "");
        if entry["user"]["username"] == "system:serviceaccount:adit-system:adit" {
            let from = entry["sourceIPs"][0].as_str().unwrap_or_default().to_string();
            *counts.entry((from, what)).or_default() += 1;
        }
    }
    println!("asked for in {minutes} idle minutes:");
    for ((_, what), count) in counts {
        println!("  {what}: {count}");
    }
}

/// How many objects are Ready on all three.
fn ready(cluster: &support::cluster::Cluster, namespaces: &[&str]) -> usize {
    let of = |ns: &&str| {
        let list = cluster.block_on(cluster.tunnels(ns).list(&ListParams::default())).unwrap();
        let is_ready = |object: &kube::api::DynamicObject| {
            let status = &object.data["status"];
            let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
                && status["summary"]["replicas"] == "3/3"
        };
        list.items.iter().filter(|object| is_ready(object)).count()
    };
    namespaces.iter().map(of).sum()
}
