//! The end of a process.

use std::time::Duration;

use super::controller::Controller;
use super::traffic::{Gost, Tunnel, echo};
use crate::support::cluster::Cluster;
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
