use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::base::Secret;
use crate::config::model::{
    Admission, ForwardConfig, ForwardHandlerConfig, ForwardNodeConfig, Gates, HandlerConfig,
    Limits, Socks5HandlerConfig, Terms, Users,
};
use crate::engine::Desired;
use crate::engine::tests::{Doubles, forward};

/// A client's end, and whether it was closed without a word.
async fn comes(service: &Service, last: u8) -> (tokio::io::DuplexStream, bool) {
    let (io, mut client) = tokio::io::duplex(64);
    let peer = SocketAddr::from(([10, 0, 0, last], 1));
    service.accept(Inbound { io: Box::new(io), peer, local: peer });
    let heard = tokio::time::timeout(Duration::from_millis(1), client.read_u8()).await;
    (client, heard.is_ok())
}

fn gated(gates: Gates) -> (ServiceKey, Arc<ServiceConfig>) {
    let (key, config) = forward();
    (key, Arc::new(ServiceConfig { gates, ..(*config).clone() }))
}

#[tokio::test(start_paused = true)]
async fn a_client_beyond_the_gates_is_closed_and_counted() {
    let (doubles, mut targets) = Doubles::new();
    let mut services = doubles.services();
    let admission = Admission {
        name: "a".into(),
        whitelist: false,
        nets: vec!["10.0.0.66/32".parse().unwrap()],
    };
    let (key, config) = gated(Gates {
        admissions: vec![Arc::new(admission)],
        connections: Some(Arc::new(Limits { service: None, each: Some(1), nets: vec![] })),
        requests: Some(Arc::new(Limits { service: None, each: Some(0.1), nets: vec![] })),
        ..Default::default()
    });
    services.prepare(&key, &config).unwrap();
    services.set(&key, &config);
    let service = services.get(&key).unwrap();
    assert!(comes(&service, 66).await.1, "not admitted");
    let (first, refused) = comes(&service, 1).await;
    assert!(!refused);
    assert!(comes(&service, 1).await.1, "one connection each");
    let target = targets.recv().await.unwrap();
    drop((first, target));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(comes(&service, 1).await.1, "one request in ten seconds, and no burst is left");
    // A change of something else forgets nothing.
    services.prepare(&key, &config).unwrap();
    services.set(&key, &config);
    assert!(comes(&service, 1).await.1);
    assert!(!comes(&service, 2).await.1, "others still come");
    let text = services.metrics.encode().unwrap();
    for label in ["reason=\"admission\"", "kind=\"connections\"", "kind=\"requests\""] {
        assert!(text.contains(label), "{label}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_streams_of_one_connection_are_one_connection() {
    let (doubles, _targets) = Doubles::new();
    let mut services = doubles.services();
    let one = Limits { service: Some(1), each: None, nets: vec![] };
    let (key, config) = gated(Gates { connections: Some(Arc::new(one)), ..Default::default() });
    services.prepare(&key, &config).unwrap();
    services.set(&key, &config);
    let service: Arc<dyn Accept> = services.get(&key).unwrap();
    let peer = SocketAddr::from(([10, 0, 0, 1], 1));
    let session = service.clone().session(peer).unwrap();
    for _ in 0..3 {
        let (io, _) = tokio::io::duplex(64);
        session.accept(Inbound { io: Box::new(io), peer, local: peer });
    }
    assert!(service.clone().session(peer).is_none());
    drop(session);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(service.session(peer).is_some(), "its place is free again");
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_a_class_count_streams_and_sessions_of_all_its_services() {
    let (doubles, mut targets) = Doubles::new();
    let mut services = doubles.services();
    let (key, config) = forward();
    let terms = Terms {
        connections_of_tunnel: 2,
        connections_of_namespace: 10,
        idle_timeout: Some(Duration::from_secs(30)),
        ..Terms::default()
    };
    let terms = Some(Arc::new(terms));
    let (claim, drain) = Default::default();
    let desired = Desired { config: config.clone(), claim, drain, closed: false, terms };
    services.tenants.govern(&[(key.clone(), desired)].into());
    services.prepare(&key, &config).unwrap();
    services.set(&key, &config);
    let service = services.get(&key).unwrap();
    let (first, refused) = comes(&service, 1).await;
    assert!(!refused);
    let peer = SocketAddr::from(([10, 0, 0, 1], 1));
    let session = service.clone().session(peer).unwrap();
    assert!(service.clone().session(peer).is_none());
    let stream = || {
        let (io, client) = tokio::io::duplex(64);
        session.accept(Inbound { io: Box::new(io), peer, local: peer });
        client
    };
    let (stream_of_session, mut two) = (stream(), stream());
    assert!(two.read_u8().await.is_err(), "a second stream of a session is one more");
    assert!(services.metrics.encode().unwrap().contains("kind=\"tunnel_connections\""));
    drop(stream_of_session);
    drop(session);
    // Nothing moves: the class ends it.
    let (_target, mut first) = (targets.recv().await.unwrap(), first);
    let ended = tokio::time::timeout(Duration::from_secs(31), first.read_u8()).await;
    assert!(ended.is_ok(), "it goes on");
}

#[tokio::test(start_paused = true)]
async fn connections_are_counted_beside_streams_and_those_left_when_it_stops_apart() {
    let (doubles, mut targets) = Doubles::new();
    let mut services = doubles.services();
    let (key, config) = forward();
    services.prepare(&key, &config).unwrap();
    services.set(&key, &config);
    let service: Arc<dyn Accept> = services.get(&key).unwrap();
    let of_service = services.metrics.service(&key);
    let peer = SocketAddr::from(([10, 0, 0, 1], 1));
    let session = service.clone().session(peer).unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        let (io, client) = tokio::io::duplex(64);
        session.accept(Inbound { io: Box::new(io), peer, local: peer });
        held.push((client, targets.recv().await.unwrap()));
    }
    assert_eq!((of_service.connections.get(), of_service.streams.get()), (1, 3));
    let draining = services.metrics.drain_connections.clone();
    assert_eq!(draining.get(), 0);
    services.stop(&key, Duration::from_secs(60));
    assert_eq!(draining.get(), 1);
    drop((session, held));
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!((of_service.connections.get(), of_service.streams.get()), (0, 0));
    assert_eq!(draining.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_comes_after_the_stop_is_ended() {
    let (doubles, mut targets) = Doubles::new();
    let mut services = doubles.services();
    let (key, config) = forward();
    services.prepare(&key, &config).unwrap();
    services.set(&key, &config);
    let service = services.get(&key).unwrap();
    services.stop(&key, Duration::from_secs(60));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (io, mut client) = tokio::io::duplex(64);
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    service.accept(Inbound { io: Box::new(io), peer: addr, local: addr });
    let ended = tokio::time::timeout(Duration::from_secs(600), client.read_u8()).await;
    assert!(ended.is_ok(), "it goes on");
    drop(targets.try_recv());
}

/// A service that asks for a password, of a tunnel that may have so many connections.
fn with_users(
    most: u32,
) -> (Services, Arc<Service>, tokio::sync::mpsc::UnboundedReceiver<tokio::io::DuplexStream>) {
    let (doubles, targets) = Doubles::new();
    let mut services = doubles.services();
    let (key, config) = forward();
    let users = Users([("u".into(), Secret::new("p".into()))].into());
    let socks5 = Socks5HandlerConfig { users: Some(Arc::new(users)), ..Default::default() };
    let handler = HandlerConfig::Socks5(socks5);
    let config = Arc::new(ServiceConfig { handler, ..(*config).clone() });
    let terms =
        Terms { connections_of_tunnel: most, connections_of_namespace: most, ..Terms::default() };
    let terms = Some(Arc::new(terms));
    let (claim, drain) = Default::default();
    let desired = Desired { config: config.clone(), claim, drain, closed: false, terms };
    services.tenants.govern(&[(key.clone(), desired)].into());
    services.prepare(&key, &config).unwrap();
    services.set(&key, &config);
    let service = services.get(&key).unwrap();
    (services, service, targets)
}

fn inbound(source: u8) -> (Inbound, tokio::io::DuplexStream) {
    let (io, client) = tokio::io::duplex(256);
    let peer = SocketAddr::from(([10, 0, 0, source], 1));
    (Inbound { io: Box::new(io), peer, local: peer }, client)
}

/// Greeting, login, and a request.
const ASKED: &[u8] = b"\x05\x01\x02\x01\x01u\x01p\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50";

#[tokio::test(start_paused = true)]
async fn who_has_no_credentials_takes_no_place_of_those_who_have() {
    for in_sessions in [false, true] {
        let (services, service, mut targets) = with_users(2);
        let mut held: Vec<Box<dyn std::any::Any>> = Vec::new();
        for i in 0..300_u16 {
            let (inbound, mut client) = inbound(9);
            client.write_all(b"\x05").await.unwrap();
            if in_sessions {
                let session: Arc<dyn Accept> = service.clone();
                let session = session.session(inbound.peer).unwrap();
                session.accept(inbound);
                held.push(Box::new(session));
            } else if i % 2 == 0 {
                service.accept(inbound);
            } else {
                services.tracker.spawn(service.serve(inbound));
            }
            held.push(Box::new(client));
        }
        for _ in 0..2 {
            let (inbound, mut rightful) = inbound(1);
            service.accept(inbound);
            rightful.write_all(ASKED).await.unwrap();
            let target = tokio::time::timeout(Duration::from_secs(1), targets.recv()).await;
            held.push(Box::new((target.expect("it is refused").unwrap(), rightful)));
        }
        let (inbound, mut third) = inbound(1);
        service.accept(inbound);
        third.write_all(ASKED).await.unwrap();
        let mut answers = Vec::new();
        third.read_to_end(&mut answers).await.unwrap();
        assert_eq!(answers, b"\x05\x02\x01\x00", "with credentials it would be one too many");
        let text = services.metrics.encode().unwrap();
        assert!(text.contains("kind=\"tunnel_connections\""), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_without_credentials_displaces_itself_and_nobody_else() {
    let (services, service, mut targets) = with_users(9);
    let mut flood = Vec::new();
    for _ in 0..OF_NAMESPACE {
        let (inbound, client) = inbound(9);
        service.accept(inbound);
        flood.push(client);
    }
    let (inbound, mut rightful) = inbound(1);
    service.accept(inbound);
    rightful.write_all(ASKED).await.unwrap();
    targets.recv().await.unwrap();
    let eldest = tokio::time::timeout(Duration::from_millis(10), flood[0].read_u8()).await;
    assert!(eldest.expect("the eldest gives way").is_err());
    let second = tokio::time::timeout(Duration::from_millis(10), flood[1].read_u8()).await;
    assert!(second.is_err(), "no other one does");
    let text = services.metrics.encode().unwrap();
    assert!(text.contains("bound=\"namespace_streams\"} 1"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_never_asks_for_anything_ends_and_one_that_has_asked_goes_on() {
    let (_services, service, mut targets) = with_users(9);
    let session = |source: u8| {
        let service: Arc<dyn Accept> = service.clone();
        service.session(SocketAddr::from(([10, 0, 0, source], 1))).unwrap()
    };
    let (idle, busy) = (session(9), session(1));
    let (inbound, mut rightful) = inbound(1);
    busy.accept(inbound);
    rightful.write_all(ASKED).await.unwrap();
    targets.recv().await.unwrap();
    tokio::time::timeout(FIRST_REQUEST * 2, idle.surroundings().over).await.expect("it goes on");
    let over = tokio::time::timeout(FIRST_REQUEST * 100, busy.surroundings().over).await;
    assert!(over.is_err(), "it ends");
}

#[tokio::test(start_paused = true)]
async fn streams_of_a_session_have_a_place_until_their_request_is_finished() {
    let (services, service, mut targets) = with_users(1000);
    let service: Arc<dyn Accept> = service;
    let (first, mut asking) = inbound(1);
    let session = service.session(first.peer).unwrap();
    let places = session.surroundings().places;
    session.accept(first);
    let idle: Vec<_> = (1..OF_SESSION)
        .map(|_| {
            let (inbound, client) = inbound(1);
            session.accept(inbound);
            client
        })
        .collect();
    assert_eq!(places.available_permits(), 0);
    assert!(services.metrics.encode().unwrap().contains("bound=\"session_streams\"} 1"));
    asking.write_all(ASKED).await.unwrap();
    let _target = targets.recv().await.unwrap();
    assert_eq!(places.available_permits(), 1);
    drop(idle);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(places.available_permits(), OF_SESSION);
}

/// A service that forwards to targets with these names.
fn forwards_to(names: &[String]) -> (ServiceKey, Arc<ServiceConfig>) {
    let (key, config) = forward();
    let node = |name: &String| ForwardNodeConfig {
        name: name.clone(),
        target: "a.test:1".parse().unwrap(),
        standing: Default::default(),
        bypasses: Vec::new(),
    };
    let nodes = names.iter().map(node).collect();
    let to = ForwardConfig { selector: Default::default(), nodes };
    let handler =
        ForwardHandlerConfig { to: Arc::new(to), idle_timeout: None, send_proxy_protocol: None };
    let handler = HandlerConfig::Forward(handler);
    (key, Arc::new(ServiceConfig { handler, ..(*config).clone() }))
}

#[tokio::test]
async fn a_node_that_leaves_the_configuration_leaves_no_series() {
    let (doubles, _targets) = Doubles::new();
    let mut services = doubles.services();
    let mut set = |name: &str| {
        let (key, config) = forwards_to(&[name.to_string()]);
        services.prepare(&key, &config).unwrap();
        services.set(&key, &config);
        let metrics = services.metrics.service(&key);
        metrics.node_dial(name, "ok");
        metrics.node_dial(name, "timeout");
        services.metrics.encode().unwrap()
    };
    for number in 0..12 {
        set(&format!("before-{number}"));
    }
    let text = set("now");
    assert!(text.contains("node=\"now\"") && !text.contains("node=\"before-"), "{text}");
}
