//! BIND: the client's end byte by byte, those who come over real sockets.

use std::collections::BTreeMap;

use super::*;
use crate::base::Host;
use crate::config::model::{MuxConfig, RelayHandlerConfig, Socks5HandlerConfig};
use crate::io::AsyncIo;
use crate::net::dial::Dialer;
use crate::net::guard::Guard;
use crate::net::resolve::{Resolver, Search};
use crate::transport::mux::Acceptor;

/// Any port of loopback, as relay and socks5 ask for it.
const RELAY_BIND: &[u8] = b"\x01\x02\0\x0f\x04\0\x02\0\0\x02\0\x07\x01\x7f\0\0\x01\0\0";
const SOCKS5_BIND: &[u8] = b"\x05\x01\0\x05\x02\0\x01\x7f\0\0\x01\0\0";
const SOCKS5_MUX_BIND: &[u8] = b"\x05\x01\0\x05\xf2\0\x01\x7f\0\0\x01\0\0";

/// What answers to them begin with, up to the port.
const RELAY_BOUND: &[u8] = b"\x01\0\0\x0a\x02\0\x07\x01\x7f\0\0\x01";
const SOCKS5_BOUND: &[u8] = b"\x05\0\x05\0\0\x01\x7f\0\0\x01";

fn relay() -> HandlerConfig {
    HandlerConfig::Relay(RelayHandlerConfig { bind: true, ..Default::default() })
}

fn socks5() -> HandlerConfig {
    HandlerConfig::Socks5(Socks5HandlerConfig { bind: true, ..Default::default() })
}

fn auto() -> HandlerConfig {
    let socks5 = Socks5HandlerConfig { bind: true, ..Default::default() };
    HandlerConfig::Auto(AutoHandlerConfig { socks5, ..Default::default() })
}

/// One who comes to a port of loopback.
async fn comes(port: u16) -> AsyncIo {
    let dialer = Dialer::new(Resolver::new(Search::System), Arc::new(Guard::off()));
    let target = Target { host: Some(Host::Ip([127, 0, 0, 1].into())), port };
    let io = dialer.dial(DialRequest::new(&Origin::Files, &target)).await.unwrap();
    AsyncIo::new(io)
}

impl Served {
    /// The port that the answer to a request names behind `bound`.
    async fn port(&mut self, request: &[u8], bound: &[u8]) -> u16 {
        self.sends(request).await;
        self.gets(bound).await;
        self.client.read_u16().await.unwrap()
    }

    /// One frame of smux, version 1: command, stream, data.
    async fn frame(&mut self) -> (u8, u32, Vec<u8>) {
        let [1, command, l0, l1, id @ ..] = self.bytes::<8>().await else { panic!("no smux 1") };
        let mut data = vec![0; usize::from(u16::from_le_bytes([l0, l1]))];
        self.client.read_exact(&mut data).await.unwrap();
        (command, u32::from_le_bytes(id), data)
    }

    async fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.client.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// The client as a smux server.
    fn session(&mut self) -> Acceptor {
        let (client, _) = duplex(1);
        let client = std::mem::replace(&mut self.client, client);
        Acceptor::start(Box::new(client), MuxConfig::default())
    }
}

const SYN: u8 = 0;
const FIN: u8 = 1;
const PSH: u8 = 2;

#[tokio::test]
async fn a_client_hears_of_everybody_in_a_stream_of_its_own() {
    for (handler, request, bound, came) in [
        (relay(), RELAY_BIND, RELAY_BOUND, &b"\x01\0\0\x0a\x02\0\x07\x01\x7f\0\0\x01"[..]),
        (socks5(), SOCKS5_MUX_BIND, SOCKS5_BOUND, b"\x05\0\0\x01\x7f\0\0\x01"),
        (auto(), SOCKS5_MUX_BIND, SOCKS5_BOUND, b"\x05\0\0\x01\x7f\0\0\x01"),
    ] {
        let mut s = serving(handler, World::default());
        let port = s.port(request, bound).await;
        let mut peers = BTreeMap::new();
        for id in [3, 5, 7] {
            let mut peer = comes(port).await;
            assert_eq!(s.frame().await, (SYN, id, vec![]), "the server is the smux client");
            let (command, of, who) = s.frame().await;
            assert_eq!((command, of, &who[..came.len()]), (PSH, id, came));
            assert_eq!(who.len(), came.len() + 2, "and the port that it came from");
            peer.write_all(b"up").await.unwrap();
            peer.flush().await.unwrap();
            assert_eq!(s.frame().await, (PSH, id, b"up".to_vec()));
            peers.insert(id, peer);
        }
        for (id, mut peer) in peers {
            let id = u8::try_from(id).unwrap();
            s.sends(&[1, PSH, 4, 0, id, 0, 0, 0, b'd', b'o', b'w', b'n']).await;
            let mut down = [0; 4];
            peer.read_exact(&mut down).await.unwrap();
            assert_eq!(&down, b"down");
            // What the client ends, its peer sees end.
            s.sends(&[1, FIN, 0, 0, id, 0, 0, 0]).await;
            assert_eq!(peer.read(&mut down).await.unwrap(), 0);
        }
        assert_eq!((s.metrics.bytes_up.get(), s.metrics.bytes_down.get()), (6, 12));
    }
}

#[tokio::test]
async fn the_port_goes_with_the_client_and_so_do_those_who_came() {
    for (handler, request, bound) in [
        (relay(), RELAY_BIND, RELAY_BOUND),
        (socks5(), SOCKS5_MUX_BIND, SOCKS5_BOUND),
        (socks5(), SOCKS5_BIND, SOCKS5_BOUND),
    ] {
        let mut s = serving(handler, World::default());
        let port = s.port(request, bound).await;
        let mut peer = None;
        if request != SOCKS5_BIND {
            peer = Some(comes(port).await);
            s.frame().await;
        }
        drop(s.client);
        if let Some(mut peer) = peer {
            assert!(matches!(peer.read(&mut [0]).await, Ok(0) | Err(_)));
        }
        let _ = s.result.await.unwrap();
        assert_eq!(s.metrics.streams.get(), 0);
        // It can be had again at once.
        let again = ListenAddr { host: Some(Host::Ip([127, 0, 0, 1].into())), port };
        assert!(crate::net::listen::bind(&again).is_ok());
    }
}

/// As 3.2.6 writes `:PORT`, an empty name, and as newer gost does, a name with two colons.
#[tokio::test]
async fn a_port_of_every_address_is_understood_however_gost_writes_it() {
    let empty = |port: u16| {
        [&b"\x01\x02\0\x0c\x04\0\x02\0\0\x02\0\x04\x03\0"[..], &port.to_be_bytes()].concat()
    };
    let malformed = |port: u16| {
        let name = format!("0.0.0.0::{port}");
        let n = u8::try_from(name.len()).unwrap();
        let start = [1, 2, 0, 12 + n, 4, 0, 2, 0, 0, 2, 0, 4 + n, 3, n];
        [&start[..], name.as_bytes(), &[0, 0]].concat()
    };
    for request in [&empty as &dyn Fn(u16) -> Vec<u8>, &malformed] {
        // Another test may have a port.
        let mut ports = 10_000..;
        let (mut s, port) = loop {
            let port = ports.next().unwrap();
            let mut s = serving(relay(), World::default());
            s.sends(&request(port)).await;
            let [1, status, 0, _] = s.bytes::<4>().await else { panic!("no response") };
            if status == 0 {
                break (s, port);
            }
            assert_eq!(status, 5);
        };
        let [2, 0, _, family] = s.bytes::<4>().await else { panic!("no address") };
        let bound: Vec<u8> = match family {
            1 => s.bytes::<6>().await.into(),
            4 => s.bytes::<18>().await.into(),
            other => panic!("an address of type {other}"),
        };
        assert_eq!(bound[bound.len() - 2..], port.to_be_bytes());
        assert!(bound[..bound.len() - 2].iter().all(|byte| *byte == 0));
        let _peer = comes(port).await;
        assert_eq!(s.frame().await, (SYN, 3, vec![]));
    }
}

#[tokio::test]
async fn a_port_that_cannot_be_had_is_refused_by_its_code() {
    let taken = crate::net::listen::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let port = taken.local_addr().unwrap().port().to_be_bytes();
    for (handler, request, answer) in [
        (relay(), RELAY_BIND, &b"\x01\x05\0\0"[..]),
        (socks5(), SOCKS5_MUX_BIND, b"\x05\0\x05\x01\0\x01\0\0\0\0\0\0"),
        (socks5(), SOCKS5_BIND, b"\x05\0\x05\x01\0\x01\0\0\0\0\0\0"),
    ] {
        let mut s = serving(handler, World::default());
        s.sends(&[&request[..request.len() - 2], &port].concat()).await;
        s.gets_last(answer).await;
        drop(s.client);
        assert_eq!(s.result.await.unwrap().unwrap_err().label(), "bind_failed");
    }
}

#[tokio::test]
async fn socks5_bind_is_for_one_who_comes() {
    let mut s = serving(socks5(), World::default());
    let port = s.port(SOCKS5_BIND, SOCKS5_BOUND).await;
    s.sends(b"early ").await;
    let mut peer = comes(port).await;
    s.gets(b"\x05\0\0\x01\x7f\0\0\x01").await;
    s.client.read_u16().await.unwrap();
    s.sends(b"down").await;
    let mut down = [0; 10];
    peer.read_exact(&mut down).await.unwrap();
    assert_eq!(&down, b"early down");
    peer.write_all(b"up").await.unwrap();
    peer.flush().await.unwrap();
    s.gets(b"up").await;
    // Nobody else is let in.
    let again = ListenAddr { host: Some(Host::Ip([127, 0, 0, 1].into())), port };
    assert!(crate::net::listen::bind(&again).is_ok());
}

#[tokio::test]
async fn an_empty_host_is_answered_with_the_address_by_which_the_client_came() {
    for command in [2, 0xf2] {
        let mut s = serving(socks5(), World::default());
        s.sends(&[5, 1, 0, 5, command, 0, 3, 0, 0, 0]).await;
        s.gets(SOCKS5_BOUND).await;
    }
}

#[tokio::test]
async fn streams_of_the_client_are_refused() {
    let mut s = serving(relay(), World::default());
    s.port(RELAY_BIND, RELAY_BOUND).await;
    s.sends(&[1, SYN, 0, 0, 2, 0, 0, 0]).await;
    assert_eq!(s.frame().await, (FIN, 2, vec![]));
}

#[tokio::test]
async fn a_client_that_reads_nothing_stops_the_port_from_taking_more() {
    const COME: i64 = 300;
    let mut s = serving_over(32, relay(), World::default());
    let port = s.port(RELAY_BIND, RELAY_BOUND).await;
    let mut peers = Vec::new();
    for _ in 0..COME {
        peers.push(comes(port).await);
    }
    // The client's own stream, and those of whom it has not been told.
    while s.metrics.streams.get() < 1 + 128 {
        tokio::task::yield_now().await;
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let there = s.metrics.streams.get();
    assert!(there < 1 + 128 + 32, "{there}");
    // It reads again, and everybody comes.
    let mut session = s.session();
    let mut streams = Vec::new();
    for _ in 0..COME {
        streams.push(session.accept().await.unwrap());
    }
    assert_eq!(s.metrics.streams.get(), 1 + COME);
}

#[tokio::test]
async fn a_stop_ends_the_port_and_its_tunnels() {
    let mut s = serving(relay(), World::default());
    let port = s.port(RELAY_BIND, RELAY_BOUND).await;
    let mut peer = comes(port).await;
    let mut session = s.session();
    let mut stream = AsyncIo::new(session.accept().await.unwrap());
    stream.read_exact(&mut [0; 14]).await.unwrap();
    s.stop.cancel();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "a FIN");
    assert!(matches!(peer.read(&mut [0]).await, Ok(0) | Err(_)));
    assert_eq!(s.result.await.unwrap().unwrap().reason, CloseReason::Drained);
    assert!(session.accept().await.is_none());

    // Nobody has come: nothing to wait for either.
    for at_once in [true, false] {
        let mut s = serving(socks5(), World::default());
        s.port(SOCKS5_BIND, SOCKS5_BOUND).await;
        if at_once {
            s.stop.cancel()
        } else {
            s.stopping.cancel()
        }
        assert_eq!(s.result.await.unwrap().unwrap_err().label(), "drained");
    }
}

#[tokio::test]
async fn of_a_service_that_stops_an_idle_port_ends_and_a_busy_one_goes_on() {
    let mut s = serving(relay(), World::default());
    let port = s.port(RELAY_BIND, RELAY_BOUND).await;
    let mut session = s.session();
    let peer = comes(port).await;
    let stream = session.accept().await.unwrap();
    s.stopping.cancel();
    // Only now: connecting takes time of its own.
    tokio::time::pause();
    let mut result = s.result;
    let minute = Duration::from_secs(60);
    assert!(tokio::time::timeout(minute, &mut result).await.is_err(), "it has a tunnel");
    drop((peer, stream));
    let ended = tokio::time::timeout(minute, result).await.unwrap();
    assert_eq!(ended.unwrap().unwrap().reason, CloseReason::Drained);
}
