//! Clients that leave before their target was reached, and those that only finish.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::config::model::{
    MuxConfig, RelayHandlerConfig, Socks4HandlerConfig, Socks5HandlerConfig,
};
use crate::transport::WsIo;
use crate::transport::mux::{Acceptor, Opener};

/// No dial ends; it tells how many are in hand.
#[derive(Default)]
struct Hangs {
    begun: AtomicU32,
    open: Arc<AtomicU32>,
}

struct Dialled(Arc<AtomicU32>);

impl Drop for Dialled {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Dial for Hangs {
    fn dial<'a>(&'a self, _: DialRequest<'a>) -> Dialing<'a> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        let dialled = Dialled(self.open.clone());
        Box::pin(async move {
            let _dialled = dialled;
            pending().await
        })
    }
}

type Result = JoinHandle<std::result::Result<Closed, HandlerError>>;

#[allow(clippy::disallowed_methods, reason = "a test's task")]
fn handling(io: BoxIo, handler: HandlerConfig, dialer: Arc<dyn Dial>) -> (Result, ServiceMetrics) {
    let key = ServiceKey::new(Origin::Files, "s");
    let metrics = Metrics::new().unwrap().service(&key);
    let listener = ListenerConfig::Tcp(TcpListenerConfig::default());
    let mut config = ServiceConfig::new("s", ListenAddr::port(0), listener, handler);
    config.dial_timeout = None;
    let (clients, memory, stopping, passwords) = Default::default();
    let context = HandlerContext {
        dialer,
        metrics: metrics.clone(),
        clients,
        key,
        memory,
        stopping,
        passwords,
    };
    let handler = Handler::build(&config, context).unwrap();
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    let inbound = Inbound { io, peer: addr, local: addr };
    let result = tokio::spawn(async move {
        handler.serve(inbound, Entry::free(), None, None, &CancellationToken::new()).await
    });
    (result, metrics)
}

/// Every handler, and what a client says up to the dial.
fn handlers() -> Vec<(HandlerConfig, &'static [u8])> {
    let auto = || HandlerConfig::Auto(AutoHandlerConfig { http: http(), ..Default::default() });
    let to = || Arc::new(ForwardConfig::to("a.test:80".parse().unwrap()));
    let forward = ForwardHandlerConfig { to: to(), idle_timeout: None, send_proxy_protocol: None };
    let relay = RelayHandlerConfig::default();
    let relay_to = RelayHandlerConfig { forward: Some(to()), ..relay.clone() };
    let connect = b"CONNECT a.test:80 HTTP/1.1\r\n\r\n";
    let socks5 = b"\x05\x01\0\x05\x01\0\x03\x06a.test\0\x50";
    let socks4 = b"\x04\x01\0\x50\0\0\0\x01\0a.test\0";
    let ask_relay = b"\x01\x01\0\x0d\x02\0\x0a\x03\x06a.test\0\x50";
    vec![
        (HandlerConfig::Http(http()), connect),
        (HandlerConfig::Http(http()), b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (auto(), connect),
        (auto(), socks5),
        (auto(), socks4),
        (HandlerConfig::Socks5(Socks5HandlerConfig::default()), socks5),
        (HandlerConfig::Socks4(Socks4HandlerConfig::default()), socks4),
        (HandlerConfig::Relay(relay), ask_relay),
        (HandlerConfig::Relay(relay_to), ask_relay),
        // UDP to one target.
        (
            HandlerConfig::Relay(RelayHandlerConfig::default()),
            b"\x01\x81\0\x0d\x02\0\x0a\x03\x06a.test\0\x50",
        ),
        (HandlerConfig::Forward(forward), b"early"),
    ]
}

async fn dialled(world: &Hangs) {
    while world.begun.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
}

async fn is_over(result: Result, world: &Hangs, case: usize) {
    let result = tokio::time::timeout(Duration::from_secs(3600), result).await;
    let result = result.unwrap_or_else(|_| panic!("{case}: goes on")).unwrap();
    let label = result.map_or_else(|e| e.label(), |closed| closed.reason.as_str());
    assert_eq!(label, "client_gone", "{case}");
    assert_eq!(world.open.load(Ordering::Relaxed), 0, "{case}: the dial goes on");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_its_websocket_ends_its_dial() {
    for (case, (handler, asks)) in handlers().into_iter().enumerate() {
        let (near, far) = duplex(64 * 1024);
        let world = Arc::new(Hangs::default());
        let io = Box::new(WsIo::server(near, None));
        let (result, _) = handling(io, handler, world.clone());
        let mut far = AsyncIo::new(WsIo::client(far, None));
        far.write_all(asks).await.unwrap();
        far.flush().await.unwrap();
        dialled(&world).await;
        ended(far.get_mut(), Ending::Restart, FAREWELL).await;
        is_over(result, &world, case).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drops_its_stream_of_a_session_ends_its_dial() {
    for (case, (handler, asks)) in handlers().into_iter().enumerate() {
        let (near, far) = duplex(64 * 1024);
        let world = Arc::new(Hangs::default());
        let opener = Opener::start(Box::new(far), MuxConfig::default());
        let mut acceptor = Acceptor::start(Box::new(near), MuxConfig::default());
        let mut stream = AsyncIo::new(opener.open().await.unwrap());
        stream.write_all(asks).await.unwrap();
        stream.flush().await.unwrap();
        let io = acceptor.accept().await.unwrap();
        let (result, _) = handling(io, handler, world.clone());
        dialled(&world).await;
        drop(stream);
        is_over(result, &world, case).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_stream_breaks_ends_its_dial() {
    for (case, (handler, asks)) in handlers().into_iter().enumerate() {
        let (near, mut far) = duplex(64 * 1024);
        let world = Arc::new(Hangs::default());
        let (result, _) = handling(Box::new(WsIo::server(near, None)), handler, world.clone());
        // A frame whose key of zeros masks nothing, and then one of no known kind.
        let length = u8::try_from(asks.len()).unwrap();
        far.write_all(&[&[0x82, 0x80 | length, 0, 0, 0, 0], asks].concat()).await.unwrap();
        dialled(&world).await;
        far.write_all(&[0x8f, 0x80, 0, 0, 0, 0]).await.unwrap();
        is_over(result, &world, case).await;
    }
}

/// A dial that ends when it is told to.
#[derive(Default)]
struct Waits {
    begun: tokio::sync::Notify,
    ends: tokio::sync::Notify,
    far: Mutex<Option<DuplexStream>>,
}

impl Dial for Waits {
    fn dial<'a>(&'a self, _: DialRequest<'a>) -> Dialing<'a> {
        Box::pin(async move {
            self.begun.notify_one();
            self.ends.notified().await;
            let (near, far) = duplex(64 * 1024);
            *self.far.lock() = Some(far);
            Ok(Box::new(near) as BoxIo)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_finishes_while_its_target_is_dialled_still_gets_the_reply() {
    for (case, (handler, asks)) in handlers().into_iter().enumerate() {
        // hyper takes the end of a plain request's connection for a departure, and datagrams have
        // their own framing.
        if asks.starts_with(b"GET") || asks.starts_with(b"\x01\x81") {
            continue;
        }
        let (near, mut far) = duplex(64 * 1024);
        let world = Arc::new(Waits::default());
        let (result, _) = handling(Box::new(near), handler, world.clone());
        far.write_all(asks).await.unwrap();
        world.begun.notified().await;
        far.write_all(b"early").await.unwrap();
        far.shutdown().await.unwrap();
        // Whoever listens for a departure has heard the end now.
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.ends.notify_one();
        let mut target = loop {
            if let Some(far) = world.far.lock().take() {
                break far;
            }
            tokio::task::yield_now().await;
        };
        let mut got = Vec::new();
        target.read_to_end(&mut got).await.unwrap();
        assert!(got.ends_with(b"early"), "{case}: {got:?}");
        target.write_all(b"reply").await.unwrap();
        target.shutdown().await.unwrap();
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert!(got.ends_with(b"reply"), "{case}: {got:?}");
        assert!(result.await.unwrap().is_ok(), "{case}");
    }
}
