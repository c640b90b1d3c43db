//! The API server is away: traffic does not notice.

use std::time::{Duration, Instant};

use super::controller::Controller;
use super::traffic::{Gost, Tunnel, echo};
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

/// How long it is away.
const AWAY: Duration = Duration::from_secs(60);

#[test]
fn traffic_and_probes_outlive_a_minute_without_the_api_server() {
    let cluster = Cluster::start();
    let ns = cluster.namespace("outage");
    let controller = Controller::start(&cluster, &[&ns]);
    cluster.put(&ns, "edge", controller.spec("/x", &[]));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    let gost = Gost::client(&format!("ws://127.0.0.1:{}?path=/x", controller.front));
    let target = echo();
    let transfer = Tunnel::open(gost.proxy, target).keep_busy();

    cluster.signal_apiserver("STOP");
    let stopped = Instant::now();
    eventually("the minute is over", AWAY + Duration::from_secs(5), || {
        assert_eq!((controller.probe("/livez"), controller.probe("/readyz")), (200, 200));
        stopped.elapsed() > AWAY
    });
    let stale = controller.metric("adit_kube_watch_stale_seconds", &[]);
    assert!(stale > 50.0, "stale for {stale} s");
    Tunnel::open(gost.proxy, target).exchange(1 << 20);
    cluster.signal_apiserver("CONT");
    let back = Instant::now();
    cluster.is_up();
    cluster.put(&ns, "edge", controller.spec("/y", &[]));
    controller.answers("any", "/y", 101);
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    eprintln!("converged {:?} after the API server was back", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(15), "{:?}", back.elapsed());
    eventually("the watch is fresh again", Duration::from_secs(5), || {
        controller.metric("adit_kube_watch_stale_seconds", &[]) < 15.0
    });
    assert!(transfer.intact() > 0);
}

#[test]
fn without_an_api_server_it_lives_and_is_never_ready_until_there_is_one() {
    let mut cluster = Cluster::start();
    let ns = cluster.namespace("cold");
    let kubeconfig = cluster.controller_kubeconfig();
    cluster.signal_apiserver("KILL");
    let controller = Controller::launch(&kubeconfig, &[&ns], &[]);
    eventually("it lives", Duration::from_secs(10), || controller.probe("/livez") == 200);
    let errors = || controller.metric("adit_kube_watch_errors_total", &[]);
    eventually("it has tried a few times", Duration::from_secs(20), || {
        assert_eq!(controller.probe("/readyz"), 503);
        assert_eq!(controller.probe("/startupz"), 503);
        errors() >= 4.0
    });
    assert_eq!(controller.probe("/livez"), 200);
    let _server = cluster.restart_apiserver();
    controller.is_ready();
}
