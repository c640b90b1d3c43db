//! Datagrams in the protocols that carry them, byte by byte.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::config::model::{
    Limits, Pattern, Rate, RelayHandlerConfig, Socks5HandlerConfig, TargetPattern,
};
use crate::io::{Chunk, Io};
use crate::net::listen::bind_udp;

/// What a handler sends its datagrams to.
pub(super) struct Far {
    pub(super) sent: UnboundedReceiver<Vec<u8>>,
    pub(super) answers: UnboundedSender<Vec<u8>>,
}

struct Near {
    sent: UnboundedSender<Vec<u8>>,
    answers: UnboundedReceiver<Vec<u8>>,
}

pub(super) fn pair() -> (BoxIo, Far) {
    let ((sent, there), (answers, here)) = (unbounded_channel(), unbounded_channel());
    (Box::new(Near { sent, answers: here }), Far { sent: there, answers })
}

impl Io for Near {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if let Some(answer) = ready!(self.answers.poll_recv(cx)) {
            *chunk = Chunk::from_slice(&answer);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        let _ = self.sent.send(chunk.data().to_vec());
        chunk.release();
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close_write(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    crate::io::lies_on_nothing!();
}

impl Served {
    /// The far end of the way that was opened, and where it leads.
    async fn far(&self) -> (String, Far) {
        loop {
            if let Some(opened) = self.world.datagrams.lock().pop() {
                return opened;
            }
            tokio::task::yield_now().await;
        }
    }

    /// A packet and its answer, in the frames of UDP over a stream.
    async fn carries_packets(&mut self, far: &mut Far) {
        self.sends(b"\x00\x05\xff\x03\x0bexample.com\x00\x35hello").await;
        assert_eq!(
            far.sent.recv().await.unwrap(),
            b"\0\0\0\x03\x0bexample.com\x00\x35hello",
            "names go as they are"
        );
        far.answers.send(b"\0\0\0\x01\x08\x08\x08\x08\x00\x35hi".to_vec()).unwrap();
        self.gets(b"\x00\x02\xff\x01\x08\x08\x08\x08\x00\x35hi").await;
    }
}

fn socks5(udp: bool) -> HandlerConfig {
    let config = Socks5HandlerConfig { udp, udp_associate: udp, ..Default::default() };
    HandlerConfig::Socks5(config)
}

fn relay(bind: bool) -> HandlerConfig {
    HandlerConfig::Relay(RelayHandlerConfig { bind, ..Default::default() })
}

fn http(udp: bool) -> HandlerConfig {
    HandlerConfig::Http(HttpHandlerConfig { udp, ..Default::default() })
}

/// Nobody goes to 10.0.0.0/8.
fn bypasses() -> Gates {
    let host = Pattern::Net("10.0.0.0/8".parse().unwrap());
    let patterns = vec![TargetPattern { host, ports: None }].into();
    let bypasses = vec![Arc::new(Bypass { patterns, ..Default::default() })];
    Gates { bypasses, ..Default::default() }
}

const UDP_TUN: &[u8] = b"\x05\x01\0\x05\xf3\0\x01\0\0\0\0\0\0";
const UDP_ASSOCIATE: &[u8] = b"\x05\x01\0\x05\x03\0\x01\0\0\0\0\0\0";
const RELAY_TO: &[u8] = b"\x01\x81\0\x0f\x04\0\x02\0\x01\x02\0\x07\x01\x08\x08\x08\x08\0\x35";
const RELAY_ASSOCIATE: &[u8] = b"\x01\x82\0\x0f\x04\0\x02\0\x01\x02\0\x07\x01\0\0\0\0\0\0";
const HTTP_UDP: &[u8] = b"CONNECT  HTTP/1.1\r\nHost: \r\nX-Gost-Protocol: udp\r\n\r\n";

#[tokio::test]
async fn packets_come_out_as_they_went_in() {
    for (handler, says, answer) in [
        (socks5(true), UDP_TUN, &b"\x05\0\x05\0\0\x01\0\0\0\0\0\0"[..]),
        (relay(true), RELAY_ASSOCIATE, b"\x01\0\0\x0a\x02\0\x07\x01\0\0\0\0\0\0"),
        // 3.2.6 leaves the address out, or writes an empty name.
        (relay(true), b"\x01\x82\0\x05\x04\0\x02\0\x01", b"\x01\0\0\x0a\x02\0\x07\x01\0\0\0\0\0\0"),
        (http(true), HTTP_UDP, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let mut s = serving(handler, World::default());
        s.sends(says).await;
        s.gets(answer).await;
        let (opened, mut far) = s.far().await;
        assert_eq!(opened, ":0", "any port");
        s.carries_packets(&mut far).await;
        drop(s.client);
        let closed = s.result.await.unwrap().unwrap();
        assert_eq!(closed.reason, CloseReason::Finished, "the end of the stream is the end");
    }
}

#[tokio::test]
async fn a_port_that_is_asked_for_by_its_number_is_that_one() {
    let bind = Socks5HandlerConfig { bind: true, ..Default::default() };
    for (handler, says, answer) in [
        (
            HandlerConfig::Socks5(bind),
            &b"\x05\x01\0\x05\xf3\0\x01\x7f\0\0\x01\x08\xae"[..],
            &b"\x05\0\x05\0\0\x01\x0a\0\0\x01\x13\x88"[..],
        ),
        (
            relay(true),
            b"\x01\x82\0\x0f\x04\0\x02\0\x01\x02\0\x07\x01\x7f\0\0\x01\x08\xae",
            b"\x01\0\0\x0a\x02\0\x07\x01\x0a\0\0\x01\x13\x88",
        ),
    ] {
        let mut s = serving(handler, World::default());
        s.sends(says).await;
        s.gets(answer).await;
        let (opened, mut far) = s.far().await;
        assert_eq!(opened, "127.0.0.1:2222");
        s.carries_packets(&mut far).await;
    }
}

#[tokio::test]
async fn relay_to_a_target_counts_each_datagram_s_bytes() {
    let mut s = serving(relay(false), World::default());
    s.sends(&[RELAY_TO, b"\0\x05hello\0\0"].concat()).await;
    s.gets(b"\x01\0\0\0").await;
    let (target, mut far) = s.far().await;
    assert_eq!(target, "8.8.8.8:53");
    assert_eq!(far.sent.recv().await.unwrap(), b"hello");
    far.answers.send(vec![7; 5000]).unwrap();
    s.gets(&[&b"\x13\x88"[..], &[7; 5000]].concat()).await;
    drop(s.client);
    let closed = s.result.await.unwrap().unwrap();
    assert_eq!((closed.up, closed.down), (5, 5000));
}

#[tokio::test]
async fn a_relay_with_a_target_of_its_own_forwards_datagrams_there() {
    let to = ForwardConfig::to("db.test:53".parse().unwrap());
    let config = RelayHandlerConfig { forward: Some(Arc::new(to)), ..Default::default() };
    for says in [RELAY_TO, RELAY_ASSOCIATE] {
        let mut s = serving(HandlerConfig::Relay(config.clone()), World::default());
        s.sends(&[says, b"\0\x02hi"].concat()).await;
        s.gets(b"\x01\0\0\0").await;
        let (target, mut far) = s.far().await;
        assert_eq!(target, "db.test:53");
        assert_eq!(far.sent.recv().await.unwrap(), b"hi");
    }
}

#[tokio::test]
async fn what_is_switched_off_is_refused() {
    let tun_to_port = b"\x05\x01\0\x05\xf3\0\x01\0\0\0\0\x08\xae";
    let forbidden = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nProxy-Agent: gost/3.0\r\n\r\n";
    let socks5_over_tcp = Socks5HandlerConfig { udp: true, ..Default::default() };
    let socks5_over_tcp = HandlerConfig::Socks5(socks5_over_tcp);
    let auto = || HandlerConfig::Auto(AutoHandlerConfig::default());
    for (handler, says, answer) in [
        (socks5(false), UDP_TUN, &b"\x05\0\x05\x02\0\x01\0\0\0\0\0\0"[..]),
        (socks5(false), UDP_ASSOCIATE, b"\x05\0\x05\x02\0\x01\0\0\0\0\0\0"),
        // Tenants of a cluster: their ports would be the controller's.
        (socks5_over_tcp, UDP_ASSOCIATE, b"\x05\0\x05\x02\0\x01\0\0\0\0\0\0"),
        // That is BIND.
        (socks5(true), tun_to_port, b"\x05\0\x05\x02\0\x01\0\0\0\0\0\0"),
        (relay(false), RELAY_ASSOCIATE, b"\x01\x03\0\0"),
        (http(false), HTTP_UDP, forbidden),
        (auto(), HTTP_UDP, forbidden),
        (auto(), UDP_TUN, b"\x05\0\x05\x02\0\x01\0\0\0\0\0\0"),
    ] {
        let mut s = serving(handler, World::default());
        s.sends(says).await;
        s.gets_last(answer).await;
        drop(s.client);
        assert_eq!(s.result.await.unwrap().unwrap_err().label(), "unsupported");
        assert!(s.world.datagrams.lock().is_empty());
    }
}

#[tokio::test]
async fn a_way_that_there_is_not_is_said_in_each_protocol() {
    for (handler, says, answer) in [
        (socks5(true), UDP_TUN, &b"\x05\0\x05\x01\0\x01\0\0\0\0\0\0"[..]),
        (socks5(true), UDP_ASSOCIATE, b"\x05\0\x05\x01\0\x01\0\0\0\0\0\0"),
        (relay(true), RELAY_ASSOCIATE, b"\x01\x05\0\0"),
        (relay(true), RELAY_TO, b"\x01\x07\0\0"),
        (
            http(true),
            HTTP_UDP,
            b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nProxy-Agent: gost/3.0\r\n\r\n",
        ),
    ] {
        let mut s = serving(handler, World { refuses: true, ..World::default() });
        s.sends(says).await;
        s.gets_last(answer).await;
        drop(s.client);
        assert_eq!(s.result.await.unwrap().unwrap_err().label(), "dial_failed");
    }
}

#[tokio::test]
async fn datagrams_to_what_is_bypassed_go_nowhere_and_the_others_do() {
    let mut s = serving_with(socks5(true), World::default(), bypasses());
    s.sends(UDP_TUN).await;
    s.gets(b"\x05\0\x05\0\0\x01\0\0\0\0\0\0").await;
    let (_, mut far) = s.far().await;
    s.sends(b"\x00\x03\xff\x01\x0a\x01\x02\x03\x00\x35bad").await;
    let mapped = b"\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01\x02\x03\x00\x35bad";
    s.sends(&[&b"\x00\x03\xff"[..], mapped].concat()).await;
    s.carries_packets(&mut far).await;

    let to = b"\x01\x81\0\x0f\x04\0\x02\0\x01\x02\0\x07\x01\x0a\x01\x02\x03\0\x35";
    let connect = b"CONNECT 10.1.2.3:53 HTTP/1.1\r\nX-Gost-Protocol: udp\r\n\r\n";
    for (handler, says, answer) in
        [(relay(false), &to[..], &b"\x01\x03\0\0"[..]), (http(true), connect, b"HTTP/1.1 403")]
    {
        let mut s = serving_with(handler, World::default(), bypasses());
        s.sends(says).await;
        s.gets(answer).await;
        drop(s.client);
        assert_eq!(s.result.await.unwrap().unwrap_err().label(), "bypassed");
    }
}

/// A client's socket that sends to the port of an association.
async fn client_of(port: u16) -> UdpSocket {
    let client = bind_udp(&"127.0.0.1:0".parse().unwrap()).unwrap();
    client.connect(("127.0.0.1", port)).await.unwrap();
    client
}

async fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 2000];
    let heard = tokio::time::timeout(Duration::from_secs(10), socket.recv(&mut buffer));
    let n = heard.await.unwrap().unwrap();
    buffer[..n].to_vec()
}

#[tokio::test]
async fn an_association_has_a_port_as_long_as_its_stream_lives() {
    for cut in [false, true] {
        let mut s = serving(socks5(true), World::default());
        s.sends(UDP_ASSOCIATE).await;
        s.gets(b"\x05\0\x05\0\0\x01\x7f\0\0\x01").await;
        let port = s.client.read_u16().await.unwrap();
        let (opened, mut far) = s.far().await;
        assert_eq!(opened, ":0");
        let client = client_of(port).await;
        client.send(b"\0\0\0\x03\x06a.test\x00\x35hello").await.unwrap();
        assert_eq!(far.sent.recv().await.unwrap(), b"\0\0\0\x03\x06a.test\x00\x35hello");
        far.answers.send(b"\0\0\0\x01\x08\x08\x08\x08\x00\x35hi".to_vec()).unwrap();
        assert_eq!(heard(&client).await, b"\0\0\0\x01\x08\x08\x08\x08\x00\x35hi");
        // Anything on the stream but its end means nothing.
        s.sends(b"noise").await;
        let reason = if cut {
            s.stop.cancel();
            CloseReason::Drained
        } else {
            s.client.shutdown().await.unwrap();
            CloseReason::Finished
        };
        assert_eq!(s.result.await.unwrap().unwrap().reason, reason);
    }
}

/// The limit is on the client's stream; what it sends beside it counts too.
#[tokio::test]
async fn the_limits_of_a_client_hold_for_its_association() {
    let rate = Rate { up: Some(20_000), down: Some(20_000), burst: None };
    let limits = Limits { service: None, each: Some(rate), nets: vec![] };
    let gates = Gates { traffic: Some(Arc::new(limits)), ..Default::default() };
    let mut s = serving_with(socks5(true), World::default(), gates);
    s.sends(UDP_ASSOCIATE).await;
    s.gets(b"\x05\0\x05\0\0\x01\x7f\0\0\x01").await;
    let client = client_of(s.client.read_u16().await.unwrap()).await;
    let (_, mut far) = s.far().await;
    let datagram = [&b"\0\0\0\x03\x06a.test\x00\x35"[..], &[7; 1000]].concat();
    let began = Instant::now();
    for _ in 0..25 {
        client.send(&datagram).await.unwrap();
        assert_eq!(far.sent.recv().await.unwrap(), datagram, "whole");
    }
    // 20 000 at once, the rest in its time.
    assert!(began.elapsed() > Duration::from_millis(200), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_association_without_datagrams_ends_although_its_stream_does_not() {
    let mut s = serving(socks5(true), World::default());
    s.sends(UDP_TUN).await;
    s.gets(b"\x05\0\x05\0\0\x01\0\0\0\0\0\0").await;
    let (_, mut far) = s.far().await;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(200)).await;
    s.carries_packets(&mut far).await;
    assert_eq!(s.result.await.unwrap().unwrap().reason, CloseReason::Idle);
    assert_eq!(began.elapsed().as_secs(), 500);
}
