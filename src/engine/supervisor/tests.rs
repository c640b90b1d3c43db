//! How a process ends.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::model::{WsListenerConfig, WsPath};
use crate::engine::WsServices;
use crate::engine::tests::{Doubles, forward};
use crate::io::{Accept, AsyncIo, Inbound};

fn supervisor(doubles: &Doubles) -> Supervisor {
    let services = doubles.services();
    let (tracker, metrics) = (services.tracker.clone(), services.metrics.clone());
    Supervisor {
        ports: Ports::default(),
        guard: Arc::default(),
        surroundings: Surroundings::new(&Ports::default(), tracker.clone(), metrics.clone()),
        services,
        metrics,
        desired: watch::channel(Arc::default()).1,
        drains: mpsc::channel(1).1,
        snapshot: watch::channel(Arc::default()).0,
        tracker,
        running: Default::default(),
        sockets: Default::default(),
        unbound: Default::default(),
        broken: Default::default(),
        drains_of: Default::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_end_does_not_keep_the_process() {
    let supervisor = supervisor(&Doubles::new().0);
    supervisor.tracker.spawn(std::future::pending::<()>());
    let (delay, timeout) = (Duration::ZERO, Duration::from_secs(60));
    let drained = supervisor.drain(Drain { delay, timeout });
    assert!(tokio::time::timeout(2 * timeout, drained).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn at_the_end_the_shorter_one_of_the_object_s_drain_and_the_process_s_counts() {
    for (own, process) in [(5, 60), (60, 5)] {
        let (doubles, mut targets) = Doubles::new();
        let mut supervisor = supervisor(&doubles);
        let (key, config) = forward();
        supervisor.services.prepare(&key, &config).unwrap();
        supervisor.services.set(&key, &config);
        supervisor.running.services.insert(key.clone(), config);
        supervisor.drains_of.insert(key.clone(), Duration::from_secs(own));
        let (io, mut client) = tokio::io::duplex(64);
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let inbound = Inbound { io: Box::new(io), peer: addr, local: addr };
        supervisor.services.get(&key).unwrap().accept(inbound);
        let _target = targets.recv().await.unwrap();
        let (delay, timeout) = (Duration::from_secs(2), Duration::from_secs(process));
        let began = tokio::time::Instant::now();
        let cut = async {
            let _ = client.read_u8().await;
            began.elapsed().as_secs()
        };
        let (cut, ()) = tokio::join!(cut, supervisor.drain(Drain { delay, timeout }));
        assert_eq!(cut, 2 + 5, "own {own} s, process {process} s");
    }
}
#[tokio::test]
async fn who_was_accepted_before_the_end_may_still_ask_and_is_served() {
    let (doubles, mut targets) = Doubles::new();
    let mut supervisor = supervisor(&doubles);
    let (key, config) = forward();
    supervisor.services.prepare(&key, &config).unwrap();
    supervisor.services.set(&key, &config);
    supervisor.running.services.insert(key.clone(), config);
    let addr = "127.0.0.1:0".parse().unwrap();
    let id = SocketId { medium: Medium::Tcp, addr, owner: None };
    let mut socket = Socket::bind(&id, &supervisor.surroundings).unwrap();
    let ws = WsListenerConfig { path: WsPath("/x".into()), ..Default::default() };
    let content = WsServices { services: [(key, ws)].into(), ..WsServices::default() };
    socket.route(&Content::Ws(content), &supervisor.services);
    let mut client = AsyncIo::new(doubles.connect(socket.standing().unwrap()).await);
    supervisor.sockets.insert(id, socket);
    let (delay, timeout) = (Duration::ZERO, Duration::from_secs(30));
    let drained = TaskTracker::new().spawn(supervisor.drain(Drain { delay, timeout }));
    // Lets it give the address back, and do all else that does not wait for the client.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let request = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    let target = tokio::time::timeout(Duration::from_secs(10), targets.recv()).await;
    let mut target = target.expect("it is served").unwrap();
    target.write_all(b"hello").await.unwrap();
    drop(target);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.starts_with("HTTP/1.1 101 "), "{heard}");
    assert!(heard.contains("hello"), "{heard}");
    drop(client);
    drained.await.unwrap();
}
