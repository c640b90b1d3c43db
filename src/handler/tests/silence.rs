//! `idleTimeout` of a class: silence that ends whatever a stream has become.

use tokio::time::Instant;

use super::*;
use crate::config::model::Socks5HandlerConfig;

const IDLE: Duration = Duration::from_secs(3);

/// A stream under a class's `idleTimeout`.
async fn quiet(config: HandlerConfig, says: &[u8], target_says: &[u8]) -> (Duration, &'static str) {
    let key = ServiceKey::new(Origin::Files, "s");
    let listener = ListenerConfig::Tcp(TcpListenerConfig::default());
    let config = ServiceConfig::new("s", ListenAddr::port(0), listener, config);
    let world = Arc::new(World::default());
    let metrics = Metrics::new().unwrap().service(&key);
    let (clients, memory, stopping, passwords) = Default::default();
    let context = HandlerContext {
        dialer: world.clone(),
        metrics,
        clients,
        key,
        memory,
        stopping,
        passwords,
    };
    let handler = Handler::build(&config, context).unwrap();
    let (mut client, near) = duplex(64 * 1024);
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    let inbound = Inbound { io: Box::new(near), peer: addr, local: addr };
    #[allow(clippy::disallowed_methods, reason = "a test's task")]
    let served = tokio::spawn(async move {
        handler.serve(inbound, Entry::free(), None, Some(IDLE), &CancellationToken::new()).await
    });
    client.write_all(says).await.unwrap();
    let mut far = loop {
        if let Some((_, far)) = world.dialled.lock().pop() {
            break far;
        }
        if world.datagrams.lock().pop().is_some() {
            break duplex(1).0;
        }
        tokio::task::yield_now().await;
    };
    // It goes on for longer than it may be silent, then it is silent.
    let began = Instant::now();
    for byte in target_says {
        tokio::time::sleep(IDLE / 2).await;
        far.write_all(&[*byte]).await.unwrap();
    }
    let spoke = began.elapsed();
    let closed = tokio::time::timeout(Duration::from_secs(600), served).await;
    let closed = closed.expect("it ends").unwrap().unwrap();
    (began.elapsed() - spoke, closed.reason.as_str())
}

#[tokio::test(start_paused = true)]
async fn silence_of_a_class_ends_bodies_upgrades_and_associations() {
    let udp = Socks5HandlerConfig { udp: true, ..Default::default() };
    let patient = || HttpHandlerConfig { read_timeout: None, ..http() };
    let http = || HandlerConfig::Http(patient());
    let ten = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.";
    let switching = "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    for (case, handler, says, target_says) in [
        (
            "a request's body",
            http(),
            &b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nten bytes."[..],
            "",
        ),
        (
            "a chunked one",
            http(),
            b"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            "",
        ),
        ("a response", http(), b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        ("its body", http(), b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", ten),
        (
            "an upgrade",
            http(),
            b"GET http://a/ HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            switching,
        ),
        ("a tunnel", http(), b"CONNECT a:1 HTTP/1.1\r\n\r\n", "some"),
        ("an association", HandlerConfig::Socks5(udp), b"\x05\x01\0\x05\xf3\0\x01\0\0\0\0\0\0", ""),
    ] {
        let (silent, reason) = quiet(handler, says, target_says.as_bytes()).await;
        assert_eq!((silent.as_secs(), reason), (IDLE.as_secs(), "idle"), "{case}");
    }
}
