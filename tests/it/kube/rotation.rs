//! A certificate is renewed again and again under new connections.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::controller::Controller;
use super::references::{SOON, tls};
use super::secrets::{self, TlsKnock};
use super::traffic::{Gost, Tunnel, echo};
use crate::support::cluster::Cluster;
use crate::support::pki::Authority;
use crate::support::wait::eventually;

const ROTATIONS: usize = 100;
/// New connections a second.
const RATE: u32 = 200;
/// At least so many of them for each certificate.
const EACH: usize = 40;
/// Who makes them: a handshake that takes longer holds up only itself.
const THREADS: usize = 16;

/// New connections at a steady pace, whatever the answers take, until it is told to stop.
#[derive(Debug, Default)]
struct Load {
    stop: AtomicBool,
    next: AtomicU32,
    made: AtomicUsize,
    /// The newest certificate that somebody was shown.
    shown: AtomicUsize,
}

/// Stops it also when what it goes on for has failed.
struct Stop<'a>(&'a Load);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

impl Load {
    fn run(&self, began: Instant, mut connect: impl FnMut(usize)) {
        while !self.stop.load(Ordering::Relaxed) {
            let due = Duration::from_secs(1) / RATE * self.next.fetch_add(1, Ordering::Relaxed);
            // The pace is what is waited for here.
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            connect(self.shown.load(Ordering::Relaxed));
            self.made.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_certificate_is_rotated_a_hundred_times_and_no_new_connection_fails() {
    let (cluster, folder) = (Cluster::shared(), tempfile::tempdir().unwrap());
    let ns = cluster.namespace("rotate");
    let controller = Controller::start(cluster, &[&ns]);
    let authority = Authority::new(folder.path(), "ca");
    let leaves: Vec<_> = (0..=ROTATIONS).map(|n| authority.leaf(&n.to_string())).collect();
    let certificates: Vec<_> =
        leaves.iter().map(|leaf| CertificateDer::from_pem_file(&leaf.cert).unwrap()).collect();
    secrets::put_pair(cluster, &ns, "edge", &leaves[0]);
    cluster.put(&ns, "edge", tls(&controller, json!({"secretRef": {"name": "edge"}})));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");

    let (gost, target) =
        (Gost::client(&format!("wss://127.0.0.1:{}?path=/x", controller.front_tls)), echo());
    let mut open = [(); 4].map(|()| Tunnel::open(gost.proxy, target));
    let knock = TlsKnock::new(&authority.ca, None);
    // The number of the certificate that a new connection is shown.
    let number = || {
        let (status, shown) =
            knock.upgrade(controller.front_tls, "/x").expect("no handshake fails");
        assert_eq!(status, 101);
        certificates.iter().position(|one| **one == *shown).expect("one of ours")
    };
    let load = Load::default();
    let mut slowest = Duration::ZERO;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let _stop = Stop(&load);
        for _ in 0..THREADS {
            scope.spawn(|| {
                let backwards = "what has been replaced is not shown again";
                load.run(began, |shown| assert!(number() >= shown, "{backwards}"));
            });
        }
        for (n, leaf) in leaves.iter().enumerate().skip(1) {
            eventually("others connect", Duration::from_secs(20), || {
                load.made.load(Ordering::Relaxed) >= n * EACH
            });
            secrets::put_pair(cluster, &ns, "edge", leaf);
            let put = Instant::now();
            eventually("the new certificate is shown", SOON, || number() == n);
            slowest = slowest.max(put.elapsed());
            load.shown.store(n, Ordering::Relaxed);
            let tunnels = open.len();
            open[n % tunnels].exchange(64 << 10);
        }
    });
    let rate = load.made.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    eprintln!("{load:?}: {rate:.0} a second; a new certificate within {slowest:?}");
    assert!(rate > f64::from(RATE) / 2.0, "this machine is too busy to keep the pace");
    for mut tunnel in open {
        tunnel.exchange(64 << 10);
        tunnel.finish();
    }
    let handshakes = |labels: &[&str]| controller.metric("adit_handshakes_total", labels);
    assert_eq!(handshakes(&[]), handshakes(&["result=\"ok\""]), "the controller saw none fail");
    let labels = [&*format!("namespace=\"{ns}\""), "tunnel=\"edge\"", "service=\"in\""];
    let ends = controller.metric("adit_tls_cert_expiry_seconds", &labels);
    assert_eq!(ends, 3_786_912_000.0, "the first day of 2090");

    // What was loaded goes on without the Secret.
    secrets::delete(cluster, &ns, "edge");
    cluster.becomes(&ns, "edge", "Ready", "False/SecretNotFound");
    assert_eq!(cluster.condition(&ns, "edge", "Programmed"), "True/Programmed");
    assert_eq!(number(), ROTATIONS);
    let message = cluster.message(&ns, "edge", "ResolvedRefs");
    assert!(message.contains("goes on until the controller restarts"), "{message}");
}
