//! Two tenants and a stranger: one tenant and the stranger do whatever costs the process most, all at
//! once, and what counts is measured on the other tenant, the neighbour.
//!
//! It goes on for half a minute; `ADIT_ADVERSARY_SECONDS` says for how long instead.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::fleet::Fleet;
use crate::support::cluster::Cluster;
use crate::support::http;
use crate::support::wait::eventually;

pub mod neighbour;
mod objects;
mod stranger;

use neighbour::Neighbour;

/// What the chart gives a pod.
const MEMORY_LIMIT: u64 = 512 << 20;

/// Without the attack first, to compare with.
const QUIET: Duration = Duration::from_secs(8);

fn attack_lasts() -> Duration {
    let seconds = std::env::var("ADIT_ADVERSARY_SECONDS").ok();
    Duration::from_secs(seconds.map_or(30, |seconds| seconds.parse().unwrap()))
}

/// Sockets of strangers and of the neighbour are all of this process.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Makes this thread give way: what an attacker's own machine has to do is not the process's work.
fn yields_to_others() {
    let thread = rustix::thread::gettid();
    rustix::process::setpriority_process(Some(thread), 19).unwrap();
}

/// The process as its operator watches it.
#[derive(Debug, Default)]
struct Watched {
    /// The slowest answer of /livez.
    slowest_probe: Duration,
    failed_probes: Vec<String>,
    /// The most memory, in bytes.
    memory: u64,
}

impl Watched {
    fn watch(admin: SocketAddr, pid: u32, stop: &AtomicBool) -> Self {
        let mut watched = Self::default();
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            match http::get(admin, "/livez") {
                Ok(response) if response.status == 200 => {}
                other => watched.failed_probes.push(format!("{other:?}")),
            }
            watched.slowest_probe = watched.slowest_probe.max(began.elapsed());
            watched.memory = watched.memory.max(memory(pid));
            std::thread::sleep(Duration::from_millis(200));
        }
        watched
    }
}

/// The resident bytes of a process.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// Stops everybody also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_neighbour_does_not_feel_a_tenant_and_a_stranger_who_attack_with_everything() {
    raise_open_files();
    let cluster = Cluster::start();
    let [quiet_ns, loud_ns] = ["neighbour", "attacker"].map(|name| cluster.namespace(name));
    let mut fleet = Fleet::start(&cluster, &[&quiet_ns, &loud_ns], 1);
    let addresses = fleet.lan.addresses(116);
    let (sources, places) = addresses.split_at(16);
    let targets = fleet.lan.host();
    let target = stranger::targets(&targets);
    let (front, admin) = (fleet.replicas[0].front(), fleet.replicas[0].admin());
    let pid = fleet.replicas[0].process.id();

    let neighbour = Neighbour::new(&cluster, &quiet_ns, front, target.echo);
    neighbour.is_ready();
    let before = neighbour.opens_tunnels(QUIET);
    assert!(before.failed.is_empty(), "before the attack: {:?}", before.failed);

    // What the tenant may have at all, so that the stranger has somewhere to go.
    objects::accepted(&cluster, &loud_ns, &target);
    let refused = objects::refused(&cluster, &loud_ns);
    let lasts = attack_lasts();
    let stop = AtomicBool::new(false);
    let (during, watched, rotations) = std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        let host = front.ip();
        scope.spawn(|| {
            yields_to_others();
            objects::churn(&cluster, &loud_ns, &stop);
        });
        for attack in stranger::ATTACKS {
            let (stop, target) = (&stop, &target);
            scope.spawn(move || {
                yields_to_others();
                attack(host, sources, target, stop);
            });
        }
        let watching = scope.spawn(|| Watched::watch(admin, pid, &stop));
        let rotating = scope.spawn(|| neighbour.rotates(places, &stop));
        let during = neighbour.opens_tunnels(lasts);
        stop.store(true, Ordering::Relaxed);
        (during, watching.join().unwrap(), rotating.join().unwrap())
    });

    eprintln!("{refused} objects refused; before: {before}; during: {during}");
    eprintln!("{rotations}; {watched:?}");
    assert!(during.failed.is_empty(), "the neighbour's new tunnels: {:?}", during.failed);
    assert!(watched.failed_probes.is_empty(), "{:?}", watched.failed_probes);
    assert!(watched.memory < MEMORY_LIMIT, "{} MiB", watched.memory >> 20);
    assert!(rotations.count > 0 && rotations.unready == 0, "{rotations}");

    // A replica that starts while the objects of the attacker are there serves the neighbour.
    fleet.replicas[0].process.signal("KILL");
    // The system takes its time to close that many sockets.
    fleet.replicas[0].process.ends(Duration::from_secs(10));
    fleet.start_again(0);
    eventually("the neighbour is served after a restart", Duration::from_secs(10), || {
        neighbour.passes(neighbour::STEADY)
    });
}
