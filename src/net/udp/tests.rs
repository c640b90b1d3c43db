//! Associations: on real sockets of loopback, and with packets that stay in memory.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::duplex;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::*;
use crate::base::{Origin, ServiceKey};
use crate::config::model::{Hosts, Names};
use crate::io::datagrams::Controlled;
use crate::io::full::Full;
use crate::io::{BoxIo, Chunk, Io};
use crate::metrics::{Metrics, ServiceMetrics};
use crate::net::dial::{AssociateRequest, Dial, Dialer};
use crate::net::guard::{Guard, GuardConfig};
use crate::net::listen::bind_udp;
use crate::net::resolve::{Resolver, Search};
use crate::proto::address::Address;
use crate::proto::socks5::PacketHeader;

const SOON: Duration = Duration::from_secs(10);

const LONGEST: usize = 100;

struct Counts(Metrics, ServiceMetrics);

impl Counts {
    fn new() -> Self {
        let metrics = Metrics::new().unwrap();
        let service = metrics.service(&ServiceKey::new(Origin::Files, "s"));
        Self(metrics, service)
    }

    /// A counter's value by its reason.
    fn count(&self, family: &str, reason: &str) -> u32 {
        let text = self.0.encode().unwrap();
        let reason = format!("reason=\"{reason}\"");
        let line =
            text.lines().find(|l| l.starts_with(&format!("{family}{{")) && l.contains(&reason));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    fn dropped(&self, reason: &str) -> u32 {
        self.count("adit_datagrams_dropped_total", reason)
    }
}

fn packet(host: Option<&str>, port: u16, payload: &[u8]) -> Vec<u8> {
    let address = Address { host: host.map(|host| host.parse().unwrap()), port };
    [&PacketHeader { fragment: 0, address }.encode(), payload].concat()
}

async fn read(io: &mut dyn Io) -> Vec<u8> {
    let mut chunk = Chunk::new();
    let reading = poll_fn(|cx| {
        io.upkeep(cx).unwrap();
        io.poll_read(cx, &mut chunk)
    });
    timeout(SOON, reading).await.unwrap().unwrap();
    chunk.data().to_vec()
}

async fn write(io: &mut dyn Io, datagram: &[u8]) {
    let mut chunk = Chunk::from_slice(datagram);
    timeout(SOON, poll_fn(|cx| io.poll_write(cx, &mut chunk))).await.unwrap().unwrap();
    assert!(chunk.is_empty());
}

fn socket(addr: &str) -> UdpSocket {
    bind_udp(&addr.parse().unwrap()).unwrap()
}

async fn heard(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65536];
    let (n, from) = timeout(SOON, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    (buffer[..n].to_vec(), from)
}

/// Whether nothing has come: what is sent over loopback is there at once.
fn silent(socket: &UdpSocket) -> bool {
    socket.try_recv(&mut [0; 64]).is_err()
}

/// An association of a real dialler; `names` are its hosts.
fn association(guard: Guard, names: &[(&str, &str)], counts: &Counts) -> BoxIo {
    let hosts = names.iter().map(|(name, ip)| (name.to_string(), vec![ip.parse().unwrap()]));
    let names = Names { hosts: Some(Arc::new(Hosts(hosts.collect()))), resolver: None };
    let dialer = Dialer::new(Resolver::new(Search::System), Arc::new(guard));
    let origin = Origin::tunnel("ns", "t");
    let request = AssociateRequest {
        origin: &origin,
        names: &names,
        port: None,
        longest: LONGEST,
        metrics: &counts.1,
    };
    dialer.associate(request).unwrap().0
}

#[tokio::test]
async fn each_datagram_goes_where_it_says_and_answers_say_whence_they_come() {
    let counts = Counts::new();
    let mut io = association(Guard::off(), &[("a.test", "127.0.0.1")], &counts);
    let (one, two) = (socket("127.0.0.1:0"), socket("[::1]:0"));
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    for (host, target) in [
        (Some("127.0.0.1"), &one),
        (Some("::1"), &two),
        (Some("A.test"), &one),
        (Some("a.test"), &one),
        (Some("::ffff:127.0.0.1"), &one),
        (None, &one),
    ] {
        let to = packet(host, port(target), b"question");
        write(&mut io, &to).await;
        let asked = async {
            let (question, from) = heard(target).await;
            assert_eq!(question, b"question", "{host:?}");
            target.send_to(b"answer", from).await.unwrap();
        };
        let local = target.local_addr().unwrap();
        let (answer, ()) = tokio::join!(read(&mut io), asked);
        assert_eq!(answer, packet(Some(&local.ip().to_string()), local.port(), b"answer"));
    }
    assert!(!io.peer_closed());
}

#[tokio::test]
async fn what_cannot_go_where_it_should_is_dropped_and_the_association_goes_on() {
    let counts = Counts::new();
    let mut io = association(Guard::off(), &[], &counts);
    let target = socket("127.0.0.1:0");
    let port = target.local_addr().unwrap().port();
    for (datagram, reason) in [
        (b"\0\0".to_vec(), "malformed"),
        (packet(Some("127.0.0.1"), 0, b"x"), "malformed"),
        (packet(Some("127.0.0.1"), port, b""), "malformed"),
        (b"\0\0\0\x03\x03a b\x00\x35hi".to_vec(), "malformed"),
        (b"\0\0\0\x09\x01\x02\x03\x04\x00\x35x".to_vec(), "malformed"),
        (packet(Some("255.255.255.255"), port, b"x"), "unsent"),
        (packet(Some("127.0.0.1"), port, &[0; 65_530]), "unsent"),
    ] {
        let before = counts.dropped(reason);
        write(&mut io, &datagram).await;
        assert_eq!(counts.dropped(reason), before + 1, "{reason}");
    }
    write(&mut io, &packet(Some("127.0.0.1"), port, b"still here")).await;
    let (question, from) = heard(&target).await;
    assert_eq!(question, b"still here");
    target.send_to(&[7; LONGEST + 50], from).await.unwrap();
    assert_eq!(read(&mut io).await, packet(Some("127.0.0.1"), port, &[7; LONGEST]), "cut off");
}

#[tokio::test]
async fn no_form_of_a_denied_address_is_reached() {
    let counts = Counts::new();
    let names = [("in.test", "127.0.0.1"), ("six.test", "::ffff:127.0.0.1"), ("far.test", "::1")];
    let mut io = association(Guard::controller(GuardConfig::default()), &names, &counts);
    let target = socket(":0");
    let port = target.local_addr().unwrap().port();
    let forms = [
        Some("127.0.0.1"),
        Some("127.1.2.3"),
        Some("::1"),
        Some("::ffff:127.0.0.1"),
        Some("::ffff:0:127.0.0.1"),
        Some("::127.0.0.1"),
        Some("64:ff9b::7f00:1"),
        Some("2002:7f00:1::"),
        Some("0.0.0.0"),
        Some("::"),
        None,
        Some("localhost"),
        Some("in.test"),
        Some("six.test"),
        Some("far.test"),
    ];
    for (n, host) in (1..).zip(forms) {
        write(&mut io, &packet(host, port, b"x")).await;
        let denied = async {
            while counts.dropped("denied") < n {
                poll_fn(|cx| Poll::Ready(io.upkeep(cx))).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, denied).await.unwrap_or_else(|_| panic!("{host:?}"));
    }
    let by_rule = ["loopback", "unspecified"];
    let by_rule = by_rule.map(|rule| counts.count("adit_egress_denied_total", rule));
    assert_eq!(by_rule, [13, 2]);
    assert!(silent(&target));
}

#[tokio::test]
async fn under_a_guard_only_who_was_asked_may_answer() {
    let counts = Counts::new();
    let allow = vec!["127.0.0.0/8".parse().unwrap()];
    let guard = Guard::controller(GuardConfig { allow, ..Default::default() });
    let mut io = association(guard, &[], &counts);
    let (asked, stranger) = (socket("127.0.0.1:0"), socket("127.0.0.2:0"));
    let local = asked.local_addr().unwrap();
    write(&mut io, &packet(Some("127.0.0.1"), local.port(), b"question")).await;
    let (_, from) = heard(&asked).await;
    stranger.send_to(b"spam", from).await.unwrap();
    asked.send_to(b"answer", from).await.unwrap();
    assert_eq!(read(&mut io).await, packet(Some("127.0.0.1"), local.port(), b"answer"));
    assert_eq!(counts.dropped("stranger"), 1);
}

#[tokio::test]
async fn the_port_of_an_association_is_its_client_s() {
    let counts = Counts::new();
    let ip = IpAddr::from([127, 0, 0, 1]);
    let (port, addr) = Associated::at(ip, ip, counts.1.clone()).unwrap();
    let (control, client_control) = duplex(64);
    let mut io = Controlled::new(Box::new(port), Box::new(control), LONGEST);
    let (client, other) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let stranger = socket("127.0.0.2:0");
    let to = |payload: &[u8]| packet(Some("a.test"), 1, payload);

    write(&mut io, &to(b"nobody has asked yet")).await;
    stranger.send_to(&to(b"x"), addr).await.unwrap();
    let fragment = [&[0, 0, 1], &to(b"x")[3..]].concat();
    for malformed in [&b""[..], b"\0\0\0", &fragment, &to(b"")] {
        other.send_to(malformed, addr).await.unwrap();
    }
    client.send_to(&to(&[7; LONGEST + 1]), addr).await.unwrap();
    other.send_to(&to(b"x"), addr).await.unwrap();
    client.send_to(&to(b"more"), addr).await.unwrap();
    assert_eq!(read(&mut io).await, to(&[7; LONGEST]), "cut off");
    assert_eq!(read(&mut io).await, to(b"more"));
    assert_eq!((counts.dropped("stranger"), counts.dropped("malformed")), (2, 4));
    write(&mut io, &to(b"answer")).await;
    assert_eq!(heard(&client).await, (to(b"answer"), addr));
    assert!(silent(&other));

    drop(client_control);
    assert_eq!(read(&mut io).await, b"");
    assert!(io.peer_closed());
}

/// Packets with addresses, which stay here. `stuck` takes none.
#[derive(Clone, Default)]
struct Packets(Arc<Mutex<(Vec<Vec<u8>>, bool)>>);

impl Packets {
    fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.0.lock().0)
    }
}

impl Io for Packets {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut Chunk) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_write(&mut self, _: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        let mut packets = self.0.lock();
        if packets.1 {
            return Poll::Pending;
        }
        packets.0.push(chunk.data().to_vec());
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

/// Names of which only those that begin with `a` are ever found, after a second; `z` fails then.
fn named(counts: &Counts) -> (Named, Packets, Arc<Mutex<Vec<String>>>) {
    let (packets, asked) = (Packets::default(), Arc::new(Mutex::new(Vec::new())));
    let asks = asked.clone();
    let look = move |name: &str| -> Looking {
        asks.lock().push(name.to_string());
        let name = name.to_string();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match name.as_bytes()[0] {
                b'a' => Ok(vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()]),
                b'z' => Err("no such name".into()),
                _ => std::future::pending().await,
            }
        })
    };
    let allowed = |addr: SocketAddr| addr.ip() != IpAddr::from([10, 0, 0, 1]) || addr.port() == 1;
    (Named::new(Box::new(packets.clone()), look, allowed, counts.1.clone()), packets, asked)
}

/// As the pipe does it while it waits.
async fn passes(io: &mut dyn Io, time: Duration) {
    let mut over = pin!(tokio::time::sleep(time));
    poll_fn(|cx| {
        io.upkeep(cx).unwrap();
        over.as_mut().poll(cx)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_datagram_that_waits_for_its_name_is_overtaken_and_then_leaves() {
    let counts = Counts::new();
    let (mut io, packets, asked) = named(&counts);
    let (a, ip) = (Some("a.test"), Some("10.0.0.9"));
    write(&mut io, &packet(a, 1, b"first")).await;
    write(&mut io, &packet(Some("A.TEST"), 2, b"second")).await;
    write(&mut io, &packet(ip, 3, b"overtakes")).await;
    assert_eq!(packets.take(), [packet(ip, 3, b"overtakes")]);
    passes(&mut io, Duration::from_secs(2)).await;
    let left = [packet(Some("10.0.0.1"), 1, b"first"), packet(Some("10.0.0.2"), 2, b"second")];
    assert_eq!(packets.take(), left, "the first address that is allowed");
    write(&mut io, &packet(a, 1, b"third")).await;
    assert_eq!(packets.take(), [packet(Some("10.0.0.1"), 1, b"third")]);
    assert_eq!(*asked.lock(), ["a.test"], "once");
    passes(&mut io, Duration::from_secs(31)).await;
    write(&mut io, &packet(a, 1, b"fourth")).await;
    assert_eq!(asked.lock().len(), 2, "addresses change");
}

#[tokio::test(start_paused = true)]
async fn lookups_and_what_waits_for_them_are_bounded() {
    let counts = Counts::new();
    let (mut io, packets, asked) = named(&counts);
    for n in 0..100 {
        write(&mut io, &packet(Some(&format!("never{n}")), 1, b"x")).await;
    }
    assert_eq!(asked.lock().len(), 8);
    assert_eq!(counts.dropped("queue"), 92);
    for _ in 0..100 {
        write(&mut io, &packet(Some("never0"), 1, b"x")).await;
    }
    assert_eq!(counts.dropped("queue"), 92 + 100 - (32 - 8));
    passes(&mut io, Duration::from_secs(11)).await;
    assert_eq!(counts.dropped("name"), 32, "given up");
    for _ in 0..3 {
        write(&mut io, &packet(Some("z"), 1, b"x")).await;
        passes(&mut io, Duration::from_secs(2)).await;
    }
    assert_eq!(counts.dropped("name"), 35);
    assert_eq!(asked.lock().iter().filter(|name| *name == "z").count(), 1, "not at once again");
    assert!(packets.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_found_waits_for_what_is_on_its_way() {
    let counts = Counts::new();
    let (mut io, packets, _) = named(&counts);
    write(&mut io, &packet(Some("a.test"), 1, b"named")).await;
    packets.0.lock().1 = true;
    let ahead = packet(Some("10.0.0.9"), 3, b"ahead");
    let mut chunk = Chunk::from_slice(&ahead);
    let pending = poll_fn(|cx| Poll::Ready(io.poll_write(cx, &mut chunk).is_pending())).await;
    assert!(pending);
    passes(&mut io, Duration::from_secs(2)).await;
    packets.0.lock().1 = false;
    passes(&mut io, Duration::from_secs(2)).await;
    assert!(packets.take().is_empty(), "the caller's chunk may be half written");
    poll_fn(|cx| io.poll_write(cx, &mut chunk)).await.unwrap();
    passes(&mut io, Duration::from_secs(1)).await;
    assert_eq!(packets.take(), [ahead, packet(Some("10.0.0.1"), 1, b"named")]);
}

#[test]
fn there_is_no_more_room_for_packets_to_names_than_below() {
    let metrics = Metrics::new().unwrap().service(&ServiceKey::new(Origin::Files, "s"));
    let look = |_: &str| -> Looking { Box::pin(std::future::pending()) };
    assert!(!Full::has_room_below(Named::new(Box::new(Full), look, |_| true, metrics)));
}
