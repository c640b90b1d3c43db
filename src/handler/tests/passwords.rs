//! Wrong passwords, with a clock that stands.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::*;
use crate::config::model::{RelayHandlerConfig, Socks5HandlerConfig};
use crate::gate::passwords::FREE;

type Attempt = fn(password: &str) -> Vec<u8>;

fn by_http(password: &str) -> Vec<u8> {
    let proof = STANDARD.encode(format!("u:{password}"));
    format!("CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic {proof}\r\n\r\n").into()
}

fn by_plain_http(password: &str) -> Vec<u8> {
    let proof = STANDARD.encode(format!("u:{password}"));
    format!("GET http://a/ HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic {proof}\r\n\r\n")
        .into()
}

fn by_socks5(password: &str) -> Vec<u8> {
    let length = u8::try_from(password.len()).unwrap();
    let login = [b"\x01\x01u", &[length][..], password.as_bytes()].concat();
    [b"\x05\x01\x02", &login[..], b"\x05\x01\0\x03\x06a.test\0\x50"].concat()
}

fn by_relay(password: &str) -> Vec<u8> {
    let length = u8::try_from(password.len()).unwrap();
    let login = [b"\x01u", &[length][..], password.as_bytes()].concat();
    let size = u8::try_from(login.len()).unwrap();
    let login = [&[1, 0, size][..], &login].concat();
    let features = [&login[..], b"\x02\0\x0a\x03\x06a.test\0\x50"].concat();
    let size = u8::try_from(features.len()).unwrap();
    [&[1, 1, 0, size][..], &features].concat()
}

fn handlers() -> Vec<(HandlerConfig, Attempt)> {
    let users = with_users().users;
    let socks5 = Socks5HandlerConfig { users: users.clone(), ..Default::default() };
    let relay = RelayHandlerConfig { users, ..Default::default() };
    let auto = AutoHandlerConfig {
        http: with_users(),
        socks5: socks5.clone(),
        ..AutoHandlerConfig::default()
    };
    vec![
        (HandlerConfig::Http(with_users()), by_http),
        (HandlerConfig::Http(with_users()), by_plain_http),
        (HandlerConfig::Socks5(socks5), by_socks5),
        (HandlerConfig::Relay(relay), by_relay),
        (HandlerConfig::Auto(auto.clone()), by_http),
        (HandlerConfig::Auto(auto), by_socks5),
    ]
}

/// A service whose clients come one after the other.
struct Service {
    handler: Arc<Handler>,
    metrics: Metrics,
    door: Arc<Door>,
}

/// Tells of a client that was let in: its target is dialled, and never reached.
#[derive(Default)]
struct Door(tokio::sync::Notify);

impl Dial for Door {
    fn dial<'a>(&'a self, _: DialRequest<'a>) -> Dialing<'a> {
        self.0.notify_one();
        Box::pin(pending())
    }
}

fn service(config: HandlerConfig) -> Service {
    let key = ServiceKey::new(Origin::Files, "s");
    let all = Metrics::new().unwrap();
    let listener = ListenerConfig::Tcp(TcpListenerConfig::default());
    let config = ServiceConfig::new("s", ListenAddr::port(0), listener, config);
    let door = Arc::new(Door::default());
    let (clients, memory, stopping, passwords) = Default::default();
    let (dialer, metrics) = (door.clone(), all.service(&key));
    let context = HandlerContext { dialer, metrics, clients, key, memory, stopping, passwords };
    Service { handler: Arc::new(Handler::build(&config, context).unwrap()), metrics: all, door }
}

impl Service {
    /// How long the answer took, in seconds, and whether the client was let in.
    async fn answers(&self, peer: &str, says: &[u8]) -> (u64, bool) {
        let (mut client, near) = duplex(64 * 1024);
        let peer: SocketAddr = peer.parse().unwrap();
        let inbound = Inbound { io: Box::new(near), peer, local: peer };
        let (handler, stop) = (self.handler.clone(), CancellationToken::new());
        let stopped = stop.clone();
        #[allow(clippy::disallowed_methods, reason = "a test's task")]
        let served = tokio::spawn(async move {
            handler.serve(inbound, Entry::free(), None, None, &stopped).await
        });
        let began = Instant::now();
        client.write_all(says).await.unwrap();
        let mut buf = [0; 1024];
        loop {
            tokio::select! {
                () = self.door.0.notified() => {
                    let took = began.elapsed().as_secs();
                    stop.cancel();
                    drop(client);
                    let _ = served.await.unwrap();
                    return (took, true);
                }
                read = client.read(&mut buf) => if read.unwrap() == 0 {
                    let took = began.elapsed().as_secs();
                    drop(client);
                    let error = served.await.unwrap().unwrap_err();
                    assert_eq!(error.label(), "unauthorized");
                    return (took, false);
                },
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn guesses_slow_down_and_the_right_password_is_served_at_once() {
    for (case, (handler, attempt)) in handlers().into_iter().enumerate() {
        let service = service(handler);
        let (wrong, right) = (attempt("wrong"), attempt("p"));
        for _ in 0..FREE {
            assert_eq!(service.answers("10.0.0.1:1", &wrong).await, (0, false), "{case}");
        }
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(service.answers("10.0.0.1:1", &wrong).await, (seconds, false), "{case}");
            assert_eq!(service.answers("10.0.0.2:1", &right).await, (0, true), "{case}");
        }
        let counted = service.metrics.encode().unwrap();
        assert!(counted.contains("adit_bound_reached_total{bound=\"passwords\"} 7"), "{counted}");
        assert_eq!(service.answers("10.0.0.1:2", &right).await, (0, true), "{case}");
        assert_eq!(service.answers("10.0.0.1:1", &wrong).await, (0, false), "{case}: forgotten");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_without_credentials_guesses_nothing() {
    let service = service(HandlerConfig::Http(with_users()));
    for _ in 0..3 * FREE {
        let asked = service.answers("10.0.0.1:1", b"CONNECT a:1 HTTP/1.1\r\n\r\n").await;
        assert_eq!(asked, (0, false));
    }
}
