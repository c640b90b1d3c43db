//! A rolling restart under traffic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::copy;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::fleet::Fleet;
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;

pub mod client;
mod newcomers;
mod service;

use client::Tunnel;
use service::Service;

const REPLICAS: usize = 3;
const DELAY: Duration = Duration::from_secs(2);
const DRAIN: Duration = Duration::from_secs(15);

/// Long tunnels, counted by streams.
const LONG: usize = 500;
/// Every tenth WebSocket is an mws session with this many streams.
const STREAMS: u32 = 6;
/// Fewer than the handshakes that one address may have in flight at a replica.
const AT_ONCE: usize = 16;

struct World {
    runtime: Runtime,
    service: Arc<Service>,
    target: SocketAddr,
    long: Vec<Tunnel>,
}

impl World {
    fn new(fleet: &Fleet, echo: std::net::TcpListener, target: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let ends = fleet.replicas.iter().map(|replica| (replica.front(), replica.admin()));
        let service = runtime.block_on(async {
            echo.set_nonblocking(true).unwrap();
            tokio::spawn(serve_echo(TcpListener::from_std(echo).unwrap()));
            Service::start(ends).await
        });
        (0..REPLICAS).for_each(|number| comes_to(&service, number));
        Self { runtime, service, target, long: vec![] }
    }

    /// Opens long tunnels until there are as many as there should be.
    fn fill(&mut self) {
        let (server, target) = (self.service.addr, self.target);
        let mut missing = LONG - self.long.iter().map(Tunnel::len).sum::<usize>();
        let mut kinds = Vec::new();
        while missing > 0 {
            let mux = kinds.len() % 10 == 0 && missing >= STREAMS as usize;
            kinds.push(mux.then_some(STREAMS));
            missing -= if mux { STREAMS as usize } else { 1 };
        }
        let open = |streams: Option<u32>| async move {
            let path = if streams.is_some() { "/m" } else { "/x" };
            let mut tunnel = Tunnel::open(server, path, streams, target).await.unwrap();
            tunnel.echo().await.unwrap();
            tunnel
        };
        let opening = futures_util::stream::iter(kinds).map(open).buffer_unordered(AT_ONCE);
        self.long.extend(self.runtime.block_on(opening.collect::<Vec<_>>()));
    }

    /// All long tunnels are in use.
    fn all_echo(&mut self) {
        let echoes = self.long.iter_mut().map(|tunnel| async { tunnel.echo().await.unwrap() });
        self.runtime.block_on(futures_util::future::join_all(echoes));
    }

    /// Restarts a replica as a rollout does.
    fn restart(&mut self, fleet: &mut Fleet, number: usize) {
        let here = |tunnel: &mut Tunnel| self.service.replica_of(tunnel.from) == number;
        let here: Vec<Tunnel> = self.long.extract_if(.., here).collect();
        assert!(here.len() > LONG / REPLICAS / 4, "only {} tunnels", here.len());
        let (last, began) = (here.len(), Instant::now());
        fleet.replicas[number].process.signal("TERM");
        let (mut ends, mut stays) = (Vec::new(), Vec::new());
        for (turn, tunnel) in here.into_iter().enumerate() {
            if turn % 2 == 0 {
                // Some end while it still accepts, the last ones shortly before the deadline.
                let at = began + (DELAY + DRAIN).mul_f64(0.9 * turn as f64 / last as f64);
                ends.push(self.runtime.spawn(ends_normally(tunnel, at)));
            } else {
                stays.push(self.runtime.spawn(stays_open(tunnel, began + DELAY + DRAIN)));
            }
        }
        fleet.pod_is_ready(&fleet.replicas[number], false);
        let ended = fleet.replicas[number].process.ends(DELAY + DRAIN + Duration::from_secs(10));
        let printed = fleet.replicas[number].process.printed();
        assert_eq!(ended.code(), Some(0), "{printed}");
        for tunnel in ends.into_iter().chain(stays) {
            self.runtime.block_on(tunnel).unwrap();
        }
        self.all_echo();
        fleet.start_again(number);
        comes_to(&self.service, number);
    }
}

/// Ends at that time, and is not disturbed before.
async fn ends_normally(mut tunnel: Tunnel, at: Instant) {
    tokio::time::sleep_until(at.into()).await;
    tunnel.echo().await.unwrap();
    tunnel.finish().await.unwrap();
    if tunnel.is_mux() {
        // A session without streams is closed after a second, which may begin with the drain.
        let closed = tokio::time::timeout(DELAY + Duration::from_secs(5), tunnel.told()).await;
        assert_eq!(closed.expect("the session is closed").unwrap(), 1012);
    }
}

/// Goes on to the deadline, and is told to come again.
async fn stays_open(mut tunnel: Tunnel, deadline: Instant) {
    let before = deadline - DRAIN / 2;
    tokio::time::sleep_until(before.into()).await;
    tunnel.echo().await.unwrap();
    let within = deadline + Duration::from_secs(5);
    let told = tokio::time::timeout_at(within.into(), tunnel.told()).await;
    assert_eq!(told.expect("it is closed at the deadline").unwrap(), 1012);
    assert!(Instant::now() >= deadline, "it was closed before the deadline");
}

async fn serve_echo(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let (mut from, mut to) = stream.split();
            let _ = copy(&mut from, &mut to).await;
        });
    }
}

fn comes_to(service: &Service, replica: usize) {
    eventually("new connections go to the replica", Duration::from_secs(10), || {
        service.sends_to(replica)
    });
}

fn spec() -> Value {
    let service = |name: &str, listener: &str, path: &str| {
        json!({
            "name": name, "addr": ":8080", "handler": {"type": "http"},
            "listener": {"type": listener, "metadata": {"path": path}},
        })
    };
    json!({"services": [service("in", "ws", "/x"), service("mux", "mws", "/m")]})
}

/// Clients, the Service between, and targets are all sockets of this process.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

#[test]
fn a_rolling_restart_refuses_nobody_and_cuts_only_what_outlives_the_drain() {
    raise_open_files();
    let cluster = Cluster::shared();
    let ns = cluster.namespace("rollout");
    let (delay, drain) = (DELAY.as_secs(), DRAIN.as_secs());
    let flags = [&*format!("--shutdown-delay={delay}s"), &format!("--drain-timeout={drain}s")];
    let mut fleet = Fleet::with(cluster, &[&ns], REPLICAS, &flags);
    cluster.put(&ns, "edge", spec());
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    let replicas = || cluster.tunnel(&ns, "edge")["status"]["summary"]["replicas"].clone();
    eventually("all replicas serve", Duration::from_secs(15), || replicas() == "3/3");

    let host = fleet.lan.host();
    let target = SocketAddr::from((host.addr, 7));
    let mut world = World::new(&fleet, host.take(7), target);
    world.fill();
    let (server, stop) = (world.service.addr, CancellationToken::new());
    let gost = newcomers::Gost::start(&world.runtime, server, target, &stop);
    let own = world.runtime.spawn(newcomers::own(server, target, stop.clone()));
    let began = Instant::now();
    for number in 0..REPLICAS {
        world.restart(&mut fleet, number);
        world.fill();
    }
    world.all_echo();
    let seconds = began.elapsed().as_secs() as usize;
    stop.cancel();
    let (own, gost) = (world.runtime.block_on(own).unwrap(), gost.came());
    eprintln!("{seconds} s, {} new tunnels, {} through gost", own.opened, gost.opened);
    assert!(own.failed.is_empty(), "{} of {}: {:#?}", own.failed.len(), own.opened, own.failed);
    assert!(gost.failed.is_empty(), "{} of {}: {:#?}", gost.failed.len(), gost.opened, gost.failed);
    assert!(own.opened >= 49 * seconds, "{} in {seconds} s", own.opened);
    eventually("all replicas serve", Duration::from_secs(15), || replicas() == "3/3");
}
