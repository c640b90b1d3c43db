//! The end of a process, and of an object.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::controller::{Controller, knock};
use super::rollout::client;
use super::traffic::{Gost, Tunnel, echo};
use crate::support::cluster::Cluster;
use crate::support::ports;
use crate::support::wait::eventually;

const TUNNELS: usize = 200;

#[test]
fn sigterm_under_two_hundred_tunnels_drains_and_exits_with_zero() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("drain");
    let mut controller = Controller::launch(
        &cluster.controller_kubeconfig(),
        &[&ns],
        &["--shutdown-delay=3s", "--drain-timeout=20s"],
    );
    controller.is_ready();
    cluster.put(&ns, "edge", controller.spec("/x", &[]));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    let before = cluster.tunnel(&ns, "edge")["metadata"]["resourceVersion"].clone();
    let gost = Gost::client(&format!("ws://127.0.0.1:{}?path=/x", controller.front));
    let target = echo();
    let mut tunnels: Vec<_> = (0..TUNNELS).map(|_| Tunnel::open(gost.proxy, target)).collect();
    tunnels.iter_mut().for_each(|tunnel| tunnel.exchange(1000));

    controller.process.signal("TERM");
    eventually("it is not ready any more", Duration::from_secs(2), || {
        controller.probe("/readyz") == 503
    });
    // Endpoints propagate late: it goes on accepting for the delay.
    assert_eq!(controller.knock("any", "/x"), 101);
    assert_eq!(controller.probe("/livez"), 200);
    eventually("it stops accepting", Duration::from_secs(10), || {
        controller.knock("any", "/x") == 0
    });
    tunnels.iter_mut().for_each(|tunnel| tunnel.exchange(1000));
    tunnels.into_iter().for_each(Tunnel::finish);
    let status = controller.process.ends(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0), "{}", controller.process.printed());
    let after = cluster.tunnel(&ns, "edge")["metadata"]["resourceVersion"].clone();
    assert_eq!(before, after, "a draining process writes no status");
}

/// The time that an object gives its tunnels.
const OWN: Duration = Duration::from_secs(6);

/// A service on the front port, and one on a port of its own.
fn spec(controller: &Controller, own: u16, suspend: bool) -> Value {
    let mut spec = controller.spec("/x", &[]);
    let mut second = spec["services"][0].clone();
    second["name"] = json!("own");
    second["addr"] = json!(format!(":{own}"));
    spec["services"].as_array_mut().unwrap().push(second);
    spec["suspend"] = json!(suspend);
    spec["drain"] = json!({"timeout": format!("{}s", OWN.as_secs())});
    spec
}

#[test]
fn what_is_suspended_or_deleted_drains_in_its_own_time_and_what_is_resumed_serves_again() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("suspend");
    let controller = Controller::start(cluster, &[&ns]);
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let (front, own, target) = (at(controller.front), at(ports::free()), echo());
    let put = |suspend| cluster.put(&ns, "edge", spec(&controller, own.port(), suspend));
    let replicas = || cluster.tunnel(&ns, "edge")["status"]["summary"]["replicas"].clone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let open = |server| {
        let tunnel = client::Tunnel::open(server, "/x", None, target);
        runtime.block_on(tunnel).unwrap()
    };
    for end in ["suspend", "delete"] {
        // The second time after it was suspended: it has the same places again.
        put(false);
        cluster.becomes(&ns, "edge", "Ready", "True/Ready");
        eventually("it counts", Duration::from_secs(10), || replicas() == "1/1");
        let mut tunnels = [open(front), open(own), open(front), open(own)];
        let mut echo = || {
            tunnels.iter_mut().for_each(|tunnel| runtime.block_on(tunnel.echo()).unwrap());
        };
        echo();

        let began = Instant::now();
        match end {
            "suspend" => drop(put(true)),
            _ => drop(cluster.kubectl(&["delete", "wst", "edge", "-n", &ns]).unwrap()),
        }
        controller.answers("any", "/x", 404);
        eventually("its port is free", OWN, || knock(own, "any", "/x") == 0);
        echo();
        let [mut on_front, mut on_own, staying @ ..] = tunnels;
        runtime.block_on(on_front.finish()).unwrap();
        runtime.block_on(on_own.finish()).unwrap();
        for mut tunnel in staying {
            assert_eq!(runtime.block_on(tunnel.told()).unwrap(), 1012, "{end}");
            let lasted = began.elapsed();
            assert!(OWN <= lasted && lasted < 2 * OWN, "{end}: {lasted:?}");
        }
        if end == "suspend" {
            cluster.becomes(&ns, "edge", "Accepted", "True/Accepted");
            cluster.becomes(&ns, "edge", "Programmed", "False/Suspended");
            cluster.becomes(&ns, "edge", "Ready", "False/Suspended");
            assert_eq!(replicas(), "0/1");
        }
    }
}

#[test]
fn the_front_port_takes_ipv6_clients_too() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("six");
    let controller = Controller::start(cluster, &[&ns]);
    cluster.put(&ns, "edge", controller.spec("/x", &[]));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    let target = echo();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for host in ["127.0.0.1", "[::1]"] {
        let front = format!("{host}:{}", controller.front).parse().unwrap();
        runtime.block_on(async {
            let mut tunnel = client::Tunnel::open(front, "/x", None, target).await.unwrap();
            tunnel.echo().await.unwrap();
            tunnel.finish().await.unwrap();
        });
    }
}
