use std::net::SocketAddr;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

mod bind;
mod datagrams;
mod leaving;
mod passwords;
mod proxies;
mod silence;

use super::*;
use crate::base::{ListenAddr, Origin, Secret};
use crate::config::model::{
    AutoHandlerConfig, ForwardConfig, ForwardHandlerConfig, Gates, HttpHandlerConfig,
    TcpListenerConfig, Users,
};
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::net::dial::{AssociateRequest, DialError, DialRequest, Dialing};
use crate::net::listen::BindError;

/// A world of one target.
#[derive(Default)]
struct World {
    /// The far ends of what was dialled, in order.
    dialled: Mutex<Vec<(Target, DuplexStream)>>,
    /// The far ends of ways for datagrams: to a target, or to wherever each says.
    datagrams: Mutex<Vec<(String, datagrams::Far)>>,
    /// Nothing listens.
    refuses: bool,
}

impl Dial for World {
    fn dial<'a>(&'a self, request: DialRequest<'a>) -> Dialing<'a> {
        let DialRequest { target, network, .. } = request;
        Box::pin(async move {
            if self.refuses {
                let source = std::io::ErrorKind::ConnectionRefused.into();
                return Err(DialError::Refused { target: target.clone(), source });
            }
            if network == Network::Udp {
                let (near, far) = datagrams::pair();
                self.datagrams.lock().push((target.to_string(), far));
                return Ok(near);
            }
            let (near, far) = duplex(64 * 1024);
            self.dialled.lock().push((target.clone(), far));
            Ok(Box::new(near) as BoxIo)
        })
    }

    fn associate(&self, request: AssociateRequest<'_>) -> Result<(BoxIo, SocketAddr), BindError> {
        let addr = request.port.cloned().unwrap_or(ListenAddr::port(0));
        if self.refuses {
            return Err(BindError::new(&addr, std::io::ErrorKind::AddrInUse.into()));
        }
        let (near, far) = datagrams::pair();
        self.datagrams.lock().push((addr.to_string(), far));
        Ok((near, ([10, 0, 0, 1], 5000).into()))
    }
}

fn http() -> HttpHandlerConfig {
    HttpHandlerConfig::default()
}

fn with_users() -> HttpHandlerConfig {
    let users = Users([("u".into(), Secret::new("p".into()))].into());
    HttpHandlerConfig { users: Some(Arc::new(users)), ..http() }
}

/// A stream that is being served.
struct Served {
    client: DuplexStream,
    world: Arc<World>,
    metrics: ServiceMetrics,
    stop: CancellationToken,
    stopping: CancellationToken,
    result: JoinHandle<Result<Closed, HandlerError>>,
}

fn serving(handler: HandlerConfig, world: World) -> Served {
    serving_with(handler, world, Gates::default())
}

fn serving_with(handler: HandlerConfig, world: World, gates: Gates) -> Served {
    served(64 * 1024, handler, world, gates)
}

/// With so many bytes on their way at most.
fn serving_over(size: usize, handler: HandlerConfig, world: World) -> Served {
    served(size, handler, world, Gates::default())
}

#[allow(clippy::disallowed_methods, reason = "a test's task")]
fn served(size: usize, handler: HandlerConfig, world: World, gates: Gates) -> Served {
    let key = ServiceKey::new(Origin::Files, "s");
    let metrics = Metrics::new().unwrap().service(&key);
    let listener = ListenerConfig::Tcp(TcpListenerConfig::default());
    let mut config = ServiceConfig::new("s", ListenAddr::port(0), listener, handler);
    config.gates = gates;
    let world = Arc::new(world);
    let stopping = CancellationToken::new();
    let context = HandlerContext {
        dialer: world.clone(),
        metrics: metrics.clone(),
        clients: Arc::default(),
        key,
        memory: Default::default(),
        stopping: stopping.clone(),
        passwords: Arc::default(),
    };
    let handler = Handler::build(&config, context).unwrap();
    let (client, near) = duplex(size);
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    let inbound = Inbound { io: Box::new(near), peer: addr, local: addr };
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let meter = Gate::new(&config.gates).meter(addr.ip());
    let result =
        tokio::spawn(
            async move { handler.serve(inbound, Entry::free(), meter, None, &stopped).await },
        );
    Served { client, world, metrics, stop, stopping, result }
}

impl Served {
    async fn says(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    async fn hears(&mut self, text: &str) {
        assert_eq!(heard(&mut self.client, text.len()).await, text);
    }

    async fn sends(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    async fn gets(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        self.client.read_exact(&mut got).await.unwrap();
        assert_eq!(got, bytes);
    }

    async fn gets_last(&mut self, bytes: &[u8]) {
        let mut got = Vec::new();
        self.client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, bytes);
    }

    /// Everything up to the end.
    async fn hears_last(&mut self) -> String {
        let mut text = String::new();
        self.client.read_to_string(&mut text).await.unwrap();
        text
    }

    /// The far end of the first dial.
    async fn target(&self) -> (String, DuplexStream) {
        loop {
            if let Some((target, stream)) = self.world.dialled.lock().pop() {
                return (target.to_string(), stream);
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn heard(stream: &mut DuplexStream, len: usize) -> String {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

async fn head(stream: &mut DuplexStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\nProxy-Agent: gost/3.0\r\n\r\n";

#[tokio::test]
async fn connect_answers_gost_s_bytes_and_keeps_what_came_with_the_request() {
    let mut s = serving(
        HandlerConfig::Auto(AutoHandlerConfig { http: http(), ..Default::default() }),
        World::default(),
    );
    s.says("CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\nearly").await;
    let (target, mut stream) = s.target().await;
    assert_eq!(target, "example.com:443");
    s.hears(ESTABLISHED).await;
    assert_eq!(heard(&mut stream, 5).await, "early");
    stream.write_all(b"reply").await.unwrap();
    s.hears("reply").await;
    drop((stream, s.client));
    let closed = s.result.await.unwrap().unwrap();
    assert_eq!((closed.up, closed.down), (5, 5), "payload only");
    assert_eq!((s.metrics.bytes_up.get(), s.metrics.bytes_down.get()), (5, 5));
    assert_eq!(s.metrics.streams.get(), 0);
}

#[tokio::test]
async fn a_target_that_refuses_is_503() {
    let mut s = serving(HandlerConfig::Http(http()), World { refuses: true, ..World::default() });
    s.says("CONNECT example.com:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(
        s.hears_last().await,
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nProxy-Agent: gost/3.0\r\n\r\n"
    );
    drop(s.client);
    assert_eq!(s.result.await.unwrap().unwrap_err().label(), "dial_failed");
}

#[tokio::test]
async fn a_stranger_is_407_and_a_user_passes() {
    for (credentials, passes) in [
        ("", false),
        ("Proxy-Authorization: Basic dTpx\r\n", false),
        ("Proxy-Authorization: Basic dTpw\r\n", true),
    ] {
        let mut s = serving(HandlerConfig::Http(with_users()), World::default());
        s.says(&format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n{credentials}\r\n")).await;
        if passes {
            s.hears(ESTABLISHED).await;
        } else {
            assert_eq!(
                s.hears_last().await,
                "HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\n\
                 Proxy-Authenticate: Basic realm=\"gost\"\r\n\r\n"
            );
            assert_eq!(s.metrics.auth_failures.get(), 1);
        }
    }
}

#[tokio::test]
async fn what_is_no_request_for_a_proxy_is_400() {
    for request in
        ["GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: bad!\r\n\r\n"]
    {
        let mut s = serving(HandlerConfig::Http(http()), World::default());
        s.says(request).await;
        assert_eq!(s.hears_last().await, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    }
}

#[tokio::test]
async fn a_plain_request_is_passed_on_without_the_fields_of_the_connection() {
    let mut s = serving(HandlerConfig::Http(with_users()), World::default());
    s.says(
        "POST http://example.com:81/path?q HTTP/1.1\r\nHost: other\r\nProxy-Connection: \
         keep-alive\r\nProxy-Authorization: Basic dTpw\r\nX-Own: 1\r\nContent-Length: 4\r\n\r\nbody",
    )
    .await;
    let (target, mut stream) = s.target().await;
    assert_eq!(target, "example.com:81");
    let request = head(&mut stream).await;
    assert!(request.starts_with("POST /path?q HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("Host: example.com:81\r\n"), "{request}");
    assert!(request.contains("X-Own: 1\r\n") && !request.contains("Proxy-"), "{request}");
    assert!(request.contains("Connection: close\r\n"), "{request}");
    assert_eq!(heard(&mut stream, 4).await, "body");
    stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nreply").await.unwrap();
    let reply = s.hears_last().await;
    assert!(reply.starts_with("HTTP/1.1 201 Created\r\n"), "{reply}");
    assert!(reply.contains("Connection: close\r\n") && reply.ends_with("\r\n\r\nreply"), "{reply}");
    let closed = s.result.await.unwrap().unwrap();
    assert!(closed.up > 4 && closed.down > 5);
    assert_eq!(closed.reason, CloseReason::Finished);
}

#[tokio::test]
async fn with_keepalive_requests_share_both_connections() {
    let config = HttpHandlerConfig { keepalive: true, ..http() };
    let mut s = serving(HandlerConfig::Http(config), World::default());
    s.says("GET http://a/1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (_, mut stream) = s.target().await;
    for n in [1, 2] {
        let request = head(&mut stream).await;
        assert!(request.starts_with(&format!("GET /{n} ")), "{request}");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        assert!(head(&mut s.client).await.starts_with("HTTP/1.1 204"));
        if n == 1 {
            s.says("GET http://a/2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        }
    }
    assert!(s.world.dialled.lock().is_empty());
}

#[tokio::test]
async fn an_upgrade_through_plain_forwarding_is_a_raw_tunnel() {
    let mut s = serving(HandlerConfig::Http(http()), World::default());
    s.says("GET http://a/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
    let (_, mut stream) = s.target().await;
    let request = head(&mut stream).await;
    assert!(request.contains("Connection: Upgrade\r\n") && request.contains("Upgrade: x\r\n"));
    stream
        .write_all(b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfirst")
        .await
        .unwrap();
    let reply = head(&mut s.client).await;
    assert!(reply.starts_with("HTTP/1.1 101") && !reply.contains("close"), "{reply}");
    s.hears("first").await;
    s.says("raw").await;
    assert_eq!(heard(&mut stream, 3).await, "raw");
    drop(stream);
    s.client.shutdown().await.unwrap();
    assert_eq!(s.hears_last().await, "");
    s.result.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_plain_target_that_does_not_answer_is_504_after_the_read_timeout() {
    let mut s = serving(HandlerConfig::Http(http()), World::default());
    s.says("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let began = Instant::now();
    let (_, _stream) = s.target().await;
    let answer = s.hears_last().await;
    assert!(answer.starts_with("HTTP/1.1 504") && answer.contains("readTimeout"), "{answer}");
    assert_eq!(began.elapsed().as_secs(), 15);
    drop(s.client);
    assert_eq!(s.result.await.unwrap().unwrap_err().label(), "target_failed");
}

#[tokio::test]
async fn silence_is_no_request() {
    let auto = AutoHandlerConfig { http: http(), ..Default::default() };
    let mut s = serving(HandlerConfig::Auto(auto), World::default());
    s.client.shutdown().await.unwrap();
    assert_eq!(s.result.await.unwrap().unwrap_err().label(), "no_request");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_dribbles_its_head_is_cut() {
    for (text, seconds, label) in [("", 10, "no_request"), ("CONNECT a:1 HT", 10, "slow")] {
        let mut s = serving(
            HandlerConfig::Auto(AutoHandlerConfig { http: http(), ..Default::default() }),
            World::default(),
        );
        let began = Instant::now();
        s.says(text).await;
        assert_eq!(s.result.await.unwrap().unwrap_err().label(), label);
        assert_eq!(began.elapsed().as_secs(), seconds);
    }
}

#[tokio::test]
async fn an_endless_head_is_cut() {
    let mut s = serving(HandlerConfig::Http(http()), World::default());
    let _ = s.client.write_all(&[b'a'; 200_000]).await;
    assert_eq!(s.result.await.unwrap().unwrap_err().label(), "bad_request");
}

#[tokio::test]
async fn forward_connects_to_its_target_and_closes_if_it_cannot() {
    let forward = || {
        let target = "db:5432".parse().unwrap();
        HandlerConfig::Forward(ForwardHandlerConfig {
            to: Arc::new(ForwardConfig::to(target)),
            idle_timeout: None,
            send_proxy_protocol: None,
        })
    };
    let mut s = serving(forward(), World::default());
    let (target, mut stream) = s.target().await;
    assert_eq!(target, "db:5432");
    stream.write_all(b"server first").await.unwrap();
    s.hears("server first").await;
    let mut s = serving(forward(), World { refuses: true, ..World::default() });
    assert_eq!(s.hears_last().await, "");
    assert_eq!(s.result.await.unwrap().unwrap_err().label(), "dial_failed");
}

#[tokio::test]
async fn a_stop_ends_a_stream_in_its_exchange_and_in_its_tunnel() {
    let s = serving(
        HandlerConfig::Auto(AutoHandlerConfig { http: http(), ..Default::default() }),
        World::default(),
    );
    s.stop.cancel();
    assert_eq!(s.result.await.unwrap().unwrap_err().label(), "drained");
    let mut s = serving(HandlerConfig::Http(http()), World::default());
    s.says("CONNECT a:1 HTTP/1.1\r\n\r\n").await;
    s.hears(ESTABLISHED).await;
    s.stop.cancel();
    assert_eq!(s.result.await.unwrap().unwrap().reason, CloseReason::Drained);
}
