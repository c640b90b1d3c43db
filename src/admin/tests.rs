use std::net::IpAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::base::{ListenAddr, Origin, Reason, ServiceKey};
use crate::config::model::{HandlerConfig, ListenerConfig, ServiceConfig};
use crate::engine::ServiceStatus;

const LIVEZ: &str = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
const READYZ: &str = "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const METRICS: &str = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

/// An admin server that sees this.
fn admin(snapshot: Snapshot, refused: Option<&str>) -> (Admin, Metrics) {
    let metrics = Metrics::new().unwrap();
    let probes = Probes {
        started: watch::channel(true).1,
        snapshot: watch::channel(Arc::new(snapshot)).1,
        every_service: false,
        refused_change: watch::channel(refused.map(Into::into)).1,
    };
    (Admin::new(probes, metrics.clone()), metrics)
}

fn serving() -> Snapshot {
    Snapshot { fronts_bound: true, ..Snapshot::default() }
}

/// A client of the admin server that has said this.
async fn client(
    connections: &mut JoinSet<()>,
    admin: &Admin,
    ip: impl Into<IpAddr>,
    says: &str,
) -> DuplexStream {
    let (ours, mut theirs) = tokio::io::duplex(256);
    connections.spawn(admin.clone().serve(ours, (ip, 1).into()));
    theirs.write_all(says.as_bytes()).await.unwrap();
    theirs
}

async fn answer(mut client: DuplexStream) -> String {
    let mut text = Vec::new();
    let _ = client.read_to_end(&mut text).await;
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runtime_is_counted() {
    let metrics = Metrics::new().unwrap();
    let tasks = TaskTracker::new();
    let held = CancellationToken::new();
    (0..3).for_each(|_| drop(tasks.spawn(held.clone().cancelled_owned())));
    count_tasks(&metrics);
    assert_eq!(metrics.runtime.workers.get(), 2);
    assert!(metrics.runtime.alive_tasks.get() >= 3);
    held.cancel();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_gives_its_place_back() {
    let (admin, _) = admin(serving(), None);
    let (ours, mut theirs) = tokio::io::duplex(256);
    theirs.write_all(METRICS.as_bytes()).await.unwrap();
    let served = admin.clone().serve(ours, ([127, 0, 0, 1], 1).into());
    tokio::time::timeout(2 * CONNECTION_TIMEOUT, served).await.unwrap();
}

/// What strangers do to connections, each of them as often as there are places, and more.
#[tokio::test(start_paused = true)]
async fn a_probe_is_answered_whatever_other_clients_do() {
    for (attack, says) in [
        ("nothing is sent", ""),
        ("half a head", "GET /livez HTTP/1.1\r\nHo"),
        ("kept alive", LIVEZ),
        ("no answer is read", METRICS),
        ("no answers are read", &METRICS.repeat(3)),
    ] {
        for one_source in [true, false] {
            let (admin, _) = admin(serving(), None);
            let mut connections = JoinSet::new();
            let mut others = Vec::new();
            for number in 0..=200 {
                let ip = [10, 0, 0, if one_source { 1 } else { number }];
                others.push(client(&mut connections, &admin, ip, says).await);
                tokio::task::yield_now().await;
            }
            let asked = Instant::now();
            let probe = LIVEZ.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
            let probe = client(&mut connections, &admin, [10, 0, 1, 1], &probe).await;
            let text = answer(probe).await;
            assert!(text.starts_with("HTTP/1.1 200"), "{attack}: {text:?}");
            assert!(asked.elapsed() < Duration::from_secs(1), "{attack}");
        }
    }
}

/// A picture with a service of `a/t` that does not serve.
fn failing() -> Snapshot {
    let listener = ListenerConfig::Tcp(Default::default());
    let handler = HandlerConfig::Http(Default::default());
    let config = Arc::new(ServiceConfig::new("s", ListenAddr::port(1), listener, handler));
    let state =
        ServiceState::Failed { reason: Reason::AddressInUse, message: "port 1 is in use".into() };
    let key = ServiceKey::new(Origin::tunnel("team-a", "t"), "s");
    let services = [(key, ServiceStatus { config, state })].into();
    Snapshot { services, ..serving() }
}

#[tokio::test(start_paused = true)]
async fn connections_that_make_room_are_counted() {
    let (admin, metrics) = admin(serving(), None);
    let mut connections = JoinSet::new();
    for _ in 0..MAX_CONNECTIONS + 3 {
        drop(client(&mut connections, &admin, [10, 0, 0, 1], LIVEZ).await);
        tokio::task::yield_now().await;
    }
    let text = metrics.encode().unwrap();
    assert!(!text.contains("bound=\"admin_connections\""), "clients that left: {text}");
    let mut others = Vec::new();
    for _ in 0..MAX_CONNECTIONS + 3 {
        others.push(client(&mut connections, &admin, [10, 0, 0, 1], LIVEZ).await);
        tokio::task::yield_now().await;
    }
    let text = metrics.encode().unwrap();
    assert!(text.contains("adit_bound_reached_total{bound=\"admin_connections\"} 3"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn names_of_tenants_are_shown_on_loopback_only() {
    let refused = Some("classes.yaml: class team-a: wrong");
    for (ip, shown) in [
        (IpAddr::from([127, 0, 0, 1]), true),
        (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), true),
        (IpAddr::from([10, 0, 0, 1]), false),
        (IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]), false),
    ] {
        let (admin, _) = admin(failing(), refused);
        let mut connections = JoinSet::new();
        let text = answer(client(&mut connections, &admin, ip, READYZ).await).await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        assert_eq!(text.contains("team-a"), shown, "{ip}: {text}");
        for told in ["refused", "do not serve: 1 of 1"] {
            assert!(text.contains(told) || shown, "{ip}: {text}");
        }
    }
}
