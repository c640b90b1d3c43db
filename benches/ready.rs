//! From `apply` to Ready, against a real API server: `cargo bench --bench ready`.
//!
//! Fifty objects, one after the other; the time from before the write to the first reading of
//! condition Ready for that generation, with a reading every two milliseconds.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::time::{Duration, Instant};

#[path = "../tests/it/support/mod.rs"]
mod support;

#[path = "../tests/it/kube/controller.rs"]
mod controller;

const OBJECTS: usize = 50;

fn main() {
    let cluster = support::cluster::Cluster::start();
    let namespace = cluster.namespace("ready");
    let controller = controller::Controller::start(&cluster, &[&namespace]);
    let mut times: Vec<Duration> = (0..OBJECTS)
        .map(|i| {
            let name = format!("t{i}");
            let began = Instant::now();
            cluster.put(&namespace, &name, controller.spec(&format!("/{name}"), &[]));
            while cluster.condition(&namespace, &name, "Ready") != "True/Ready" {
                assert!(began.elapsed() < Duration::from_secs(10), "{name} is not Ready");
                std::thread::sleep(Duration::from_millis(2));
            }
            began.elapsed()
        })
        .collect();
    times.sort();
    let (low, middle, high) = (times[0], times[OBJECTS / 2], times[OBJECTS - 1]);
    println!("apply to Ready, {OBJECTS} objects: median {middle:?}, min {low:?}, max {high:?}");
}
