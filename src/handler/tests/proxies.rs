//! SOCKS4, SOCKS5 and relay, byte by byte.

use super::*;
use crate::config::model::{
    AutoProtocols, RelayHandlerConfig, Socks4HandlerConfig, Socks5HandlerConfig,
};

fn users() -> Option<Arc<Users>> {
    Some(Arc::new(Users([("u".into(), Secret::new("p".into()))].into())))
}

fn socks5(users: Option<Arc<Users>>) -> HandlerConfig {
    HandlerConfig::Socks5(Socks5HandlerConfig { users, ..Default::default() })
}

fn relay(users: Option<Arc<Users>>) -> HandlerConfig {
    HandlerConfig::Relay(RelayHandlerConfig { users, ..Default::default() })
}

fn auto() -> HandlerConfig {
    HandlerConfig::Auto(AutoHandlerConfig { http: http(), ..Default::default() })
}

fn socks4() -> HandlerConfig {
    HandlerConfig::Socks4(Socks4HandlerConfig::default())
}

const SOCKS5_CONNECT: &[u8] = b"\x05\x01\0\x03\x06a.test\0\x50";
const SOCKS5_OK: &[u8] = b"\x05\0\0\x01\0\0\0\0\0\0";
const SOCKS4_CONNECT: &[u8] = b"\x04\x01\0\x50\0\0\0\x01\0a.test\0";
const RELAY_CONNECT: &[u8] = b"\x01\x01\0\x0d\x02\0\x0a\x03\x06a.test\0\x50";

impl Served {
    /// The way to `a.test:80` is open in both directions.
    async fn is_open(&mut self) {
        let (target, mut far) = self.target().await;
        assert_eq!(target, "a.test:80");
        self.sends(b"up").await;
        assert_eq!(heard(&mut far, 2).await, "up");
        far.write_all(b"down").await.unwrap();
        self.gets(b"down").await;
    }
}

#[tokio::test]
async fn each_protocol_opens_the_way() {
    for handler in [socks5(None), auto()] {
        let mut s = serving(handler, World::default());
        s.sends(b"\x05\x02\0\x80").await;
        s.gets(b"\x05\0").await;
        s.sends(SOCKS5_CONNECT).await;
        s.gets(SOCKS5_OK).await;
        s.is_open().await;
    }
    for handler in [socks4(), auto()] {
        let mut s = serving(handler, World::default());
        s.sends(SOCKS4_CONNECT).await;
        s.gets(b"\0\x5a\0\0\0\0\0\0").await;
        s.is_open().await;
    }
    let mut s = serving(relay(None), World::default());
    s.sends(RELAY_CONNECT).await;
    s.gets(b"\x01\0\0\0").await;
    s.is_open().await;
}

#[tokio::test]
async fn auto_ends_a_protocol_that_it_is_not_to_speak_and_dials_nothing() {
    let http_only = AutoProtocols { http: true, socks4: false, socks5: false };
    let socks5_only = AutoProtocols { http: false, socks4: false, socks5: true };
    let auto = |speaks| {
        HandlerConfig::Auto(AutoHandlerConfig { speaks, http: http(), ..Default::default() })
    };
    for (speaks, request) in [
        (http_only, &b"\x05\x01\0"[..]),
        (http_only, SOCKS4_CONNECT),
        (socks5_only, SOCKS4_CONNECT),
        (socks5_only, b"CONNECT a.test:80 HTTP/1.1\r\n\r\n"),
    ] {
        let mut s = serving(auto(speaks), World::default());
        s.sends(request).await;
        assert_eq!(s.hears_last().await, "", "{request:?}");
        assert_eq!(s.result.await.unwrap().unwrap_err().label(), "unsupported", "{request:?}");
    }
    let mut s = serving(auto(http_only), World::default());
    s.says("CONNECT a.test:80 HTTP/1.1\r\n\r\n").await;
    assert_eq!(s.target().await.0, "a.test:80");
    let mut s = serving(auto(socks5_only), World::default());
    s.sends(b"\x05\x01\0").await;
    s.gets(b"\x05\0").await;
}

#[tokio::test]
async fn what_comes_behind_the_request_is_payload() {
    for (handler, request) in [
        (socks4(), SOCKS4_CONNECT),
        (relay(None), RELAY_CONNECT),
        (socks5(None), &[b"\x05\x01\0", SOCKS5_CONNECT].concat()),
    ] {
        let mut s = serving(handler, World::default());
        s.sends(&[request, b"early"].concat()).await;
        let (_, mut far) = s.target().await;
        assert_eq!(heard(&mut far, 5).await, "early");
    }
}

#[tokio::test]
async fn a_password_is_asked_for_and_looked_at() {
    let mut s = serving(socks5(users()), World::default());
    s.sends(b"\x05\x04\0\x02\x80\x82").await;
    s.gets(b"\x05\x02").await;
    s.sends(b"\x01\x01u\x01p").await;
    s.gets(b"\x01\0").await;
    s.sends(SOCKS5_CONNECT).await;
    s.gets(SOCKS5_OK).await;
    s.is_open().await;

    let mut s = serving(relay(users()), World::default());
    s.sends(b"\x01\x01\0\x14\x01\0\x04\x01u\x01p\x02\0\x0a\x03\x06a.test\0\x50").await;
    s.gets(b"\x01\0\0\0").await;
    s.is_open().await;
}

#[tokio::test]
async fn without_the_password_nobody_passes() {
    for (handler, says, answer) in [
        (socks5(users()), &b"\x05\x02\0\x80"[..], &b"\x05\xff"[..]),
        (socks5(users()), b"\x05\x01\x02\x01\x01u\x01q", b"\x05\x02\x01\x01"),
        (relay(users()), RELAY_CONNECT, b"\x01\x02\0\0"),
        (
            HandlerConfig::Socks4(Socks4HandlerConfig { users: users(), ..Default::default() }),
            SOCKS4_CONNECT,
            b"\0\x5d\0\0\0\0\0\0",
        ),
    ] {
        let mut s = serving(handler, World::default());
        s.sends(says).await;
        s.gets_last(answer).await;
        drop(s.client);
        assert_eq!(s.result.await.unwrap().unwrap_err().label(), "unauthorized");
        assert_eq!(s.metrics.auth_failures.get(), 1);
    }
}

#[tokio::test]
async fn a_target_that_is_not_reached_is_said_in_each_protocol() {
    for (handler, says, answer) in [
        (
            socks5(None),
            [b"\x05\x01\0", SOCKS5_CONNECT].concat(),
            &b"\x05\0\x05\x03\0\x01\0\0\0\0\0\0"[..],
        ),
        (socks4(), SOCKS4_CONNECT.to_vec(), b"\0\x5b\0\0\0\0\0\0"),
        (relay(None), RELAY_CONNECT.to_vec(), b"\x01\x07\0\0"),
    ] {
        let mut s = serving(handler, World { refuses: true, ..World::default() });
        s.sends(&says).await;
        s.gets_last(answer).await;
        drop(s.client);
        assert_eq!(s.result.await.unwrap().unwrap_err().label(), "dial_failed");
    }
}

#[tokio::test]
async fn what_is_switched_off_is_refused_by_its_code() {
    for (handler, says, answer) in [
        (
            socks5(None),
            &b"\x05\x01\0\x05\x02\0\x01\0\0\0\0\0\0"[..],
            &b"\x05\0\x05\x02\0\x01\0\0\0\0\0\0"[..],
        ),
        (
            socks5(None),
            b"\x05\x01\0\x05\x09\0\x01\0\0\0\0\0\0",
            b"\x05\0\x05\x07\0\x01\0\0\0\0\0\0",
        ),
        (relay(None), b"\x01\x02\0\x0a\x02\0\x07\x01\x7f\0\0\x01\x08\xae", b"\x01\x03\0\0"),
        (relay(None), b"\x01\x01\0\0", b"\x01\x01\0\0"),
    ] {
        let mut s = serving(handler, World::default());
        s.sends(says).await;
        s.gets_last(answer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_say_what_it_wants_is_cut() {
    for (handler, says) in [(socks5(None), &b"\x05\x01\0"[..]), (relay(None), b"\x01")] {
        let mut s = serving(handler, World::default());
        let began = Instant::now();
        s.sends(says).await;
        assert_eq!(s.result.await.unwrap().unwrap_err().label(), "slow");
        assert_eq!(began.elapsed().as_secs(), 15);
    }
}

/// A client's message may come in any pieces.
#[tokio::test]
async fn requests_are_read_byte_by_byte() {
    for (handler, says, answer) in [
        (socks4(), SOCKS4_CONNECT.to_vec(), b"\0\x5a\0\0\0\0\0\0".to_vec()),
        (relay(None), RELAY_CONNECT.to_vec(), b"\x01\0\0\0".to_vec()),
        (
            socks5(users()),
            [b"\x05\x01\x02\x01\x01u\x01p", SOCKS5_CONNECT].concat(),
            [b"\x05\x02\x01\0", SOCKS5_OK].concat(),
        ),
        (auto(), [b"\x05\x01\0", SOCKS5_CONNECT].concat(), [b"\x05\0", SOCKS5_OK].concat()),
    ] {
        let mut s = serving(handler, World::default());
        for byte in says {
            s.sends(&[byte]).await;
            tokio::task::yield_now().await;
        }
        s.gets(&answer).await;
        s.is_open().await;
    }
}

/// GOST drops what it reads together with a reply, so nothing of the target may be in that read.
#[tokio::test]
async fn what_a_target_says_first_does_not_come_in_the_read_of_the_answer() {
    for (handler, says, answer) in [
        (socks4(), SOCKS4_CONNECT, b"\0\x5a\0\0\0\0\0\0".as_slice()),
        (relay(None), RELAY_CONNECT, b"\x01\0\0\0"),
    ] {
        let mut s = serving(handler, World::default());
        s.sends(says).await;
        let mut read = vec![0; 100];
        let length = s.client.read(&mut read).await.unwrap();
        assert_eq!(&read[..length], answer);
        let (_, mut far) = s.target().await;
        far.write_all(b"banner").await.unwrap();
        s.gets(b"banner").await;
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_is_not_reached_and_an_unknown_address_is_said_so() {
    for (says, answer) in [
        (&b"\x05\x01\0\x05\x01\0\x03\x03a b\0\x50"[..], b"\x05\0\x05\x03\0\x01\0\0\0\0\0\0"),
        (b"\x05\x01\0\x05\x01\0\x02", b"\x05\0\x05\x08\0\x01\0\0\0\0\0\0"),
    ] {
        let mut s = serving(socks5(None), World::default());
        s.sends(says).await;
        s.gets_last(answer).await;
        drop(s.client);
        assert_eq!(s.result.await.unwrap().unwrap_err().label(), "bad_request");
    }
}

#[tokio::test]
async fn another_protocol_is_closed_without_an_answer() {
    for handler in [socks4(), socks5(None), relay(None)] {
        let mut s = serving(handler, World::default());
        s.sends(b"GET / HTTP/1.1\r\n\r\n").await;
        s.gets_last(b"").await;
        assert_eq!(s.result.await.unwrap().unwrap_err().label(), "bad_request");
    }
}
