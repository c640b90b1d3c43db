//! Real sockets on loopback; the service behind the listener is in the test's hands.

use std::future::poll_fn;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::base::{Origin, ServiceKey};
use crate::io::memory::Budget;
use crate::io::{BoxIo, Chunk, Io, Surroundings};
use crate::metrics::Metrics;
use crate::net::listen::bind_udp;

const SOON: Duration = Duration::from_secs(10);

/// A service whose streams the test serves.
struct ToTest(mpsc::UnboundedSender<Inbound>);

impl Accept for ToTest {
    fn accept(&self, inbound: Inbound) {
        let _ = self.0.send(inbound);
    }

    fn session(self: Arc<Self>, _: SocketAddr) -> Option<Arc<dyn Accept>> {
        None
    }

    fn surroundings(&self) -> Surroundings {
        unreachable!("datagrams have no sessions")
    }
}

struct Listening {
    addr: SocketAddr,
    streams: mpsc::UnboundedReceiver<Inbound>,
    metrics: Metrics,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn listening(config: UdpListenerConfig) -> Listening {
    listening_within(config, Share::default())
}

#[allow(clippy::disallowed_methods, reason = "a test's task")]
fn listening_within(config: UdpListenerConfig, memory: Share) -> Listening {
    let socket = bind_udp(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    let (sender, streams) = mpsc::unbounded_channel();
    let metrics = Metrics::new().unwrap();
    let key = ServiceKey::new(Origin::Files, "s");
    let taker = Arc::new(Taker {
        accept: Arc::new(ToTest(sender)),
        config,
        metrics: metrics.service(&key),
        memory,
    });
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(socket, stop.clone(), move || Some(taker.clone())));
    Listening { addr, streams, metrics, stop, task }
}

impl Listening {
    async fn stream(&mut self) -> Inbound {
        timeout(SOON, self.streams.recv()).await.unwrap().unwrap()
    }

    /// Waits until so many datagrams were dropped for this reason.
    async fn dropped(&self, reason: &str, count: usize) {
        let line = format!("reason=\"{reason}\",service=\"s\",tunnel=\"\"}} {count}");
        let seen = async {
            while !self.metrics.encode().unwrap().contains(&line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, seen).await.unwrap_or_else(|_| panic!("{}", self.metrics.encode().unwrap()));
    }
}

async fn client(to: SocketAddr) -> UdpSocket {
    let socket = bind_udp(&"127.0.0.1:0".parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap();
    socket
}

async fn read(io: &mut BoxIo) -> Vec<u8> {
    let mut chunk = Chunk::new();
    timeout(SOON, poll_fn(|cx| io.poll_read(cx, &mut chunk))).await.unwrap().unwrap();
    chunk.data().to_vec()
}

async fn write(io: &mut BoxIo, datagram: &[u8]) {
    let mut chunk = Chunk::from_slice(datagram);
    timeout(SOON, poll_fn(|cx| io.poll_write(cx, &mut chunk))).await.unwrap().unwrap();
}

async fn heard(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65536];
    let n = timeout(SOON, client.recv(&mut buffer)).await.unwrap().unwrap();
    buffer[..n].to_vec()
}

fn kept_alive() -> UdpListenerConfig {
    UdpListenerConfig { keepalive: true, ..Default::default() }
}

#[tokio::test]
async fn each_source_has_a_stream_of_its_datagrams() {
    let mut listening = listening(kept_alive());
    let (one, two) = (client(listening.addr).await, client(listening.addr).await);
    for datagram in [&b"a"[..], b"", b"bc"] {
        one.send(datagram).await.unwrap();
    }
    let mut first = listening.stream().await;
    assert_eq!(first.peer, one.local_addr().unwrap());
    assert_eq!(read(&mut first.io).await, b"a");
    assert_eq!(read(&mut first.io).await, b"bc", "an empty one is none");
    two.send(b"d").await.unwrap();
    let mut second = listening.stream().await;
    assert_eq!(read(&mut second.io).await, b"d");
    for answer in [&b"1"[..], b"2"] {
        write(&mut first.io, answer).await;
        assert_eq!(heard(&one).await, answer);
    }
    one.send(b"e").await.unwrap();
    assert_eq!(read(&mut first.io).await, b"e", "the same stream");
}

#[tokio::test]
async fn without_keepalive_the_first_answer_ends_the_stream() {
    let mut listening = listening(UdpListenerConfig::default());
    let client = client(listening.addr).await;
    client.send(b"one").await.unwrap();
    let mut first = listening.stream().await;
    assert_eq!(read(&mut first.io).await, b"one");
    write(&mut first.io, b"answer").await;
    assert_eq!(heard(&client).await, b"answer");
    assert_eq!(read(&mut first.io).await, b"", "the end");
    client.send(b"two").await.unwrap();
    let mut second = listening.stream().await;
    assert_eq!(read(&mut second.io).await, b"two");
    // The second part of the first answer.
    write(&mut first.io, b"late").await;
    assert_eq!(heard(&client).await, b"late");
}

#[tokio::test]
async fn what_there_is_no_room_for_is_dropped_and_counted() {
    let config = UdpListenerConfig { read_queue_size: 2, backlog: 1, ..kept_alive() };
    let mut listening = listening(config);
    let (one, two) = (client(listening.addr).await, client(listening.addr).await);
    for datagram in [b"1", b"2", b"3"] {
        one.send(datagram).await.unwrap();
    }
    let mut first = listening.stream().await;
    listening.dropped("queue", 1).await;
    two.send(b"x").await.unwrap();
    listening.dropped("backlog", 1).await;
    assert_eq!(read(&mut first.io).await, b"1");
    assert_eq!(read(&mut first.io).await, b"2");
    two.send(b"y").await.unwrap();
    assert_eq!(read(&mut listening.stream().await.io).await, b"y");
}

#[tokio::test]
async fn no_more_sources_than_there_may_be_have_a_stream() {
    let config = UdpListenerConfig { backlog: u32::MAX, ..kept_alive() };
    let mut listening = listening(config);
    let client = client(listening.addr).await;
    let addr = |i: u16| SocketAddr::from(([127, 1, (i >> 8) as u8, i as u8], 1000));
    let mut streams = Vec::new();
    for i in 0..MAX_SOURCES {
        let socket = bind_udp(&addr(i as u16).to_string().parse().unwrap()).unwrap();
        socket.send_to(b"x", listening.addr).await.unwrap();
        streams.push(listening.stream().await);
    }
    client.send(b"y").await.unwrap();
    listening.dropped("sources", 1).await;
    streams.pop();
    client.send(b"z").await.unwrap();
    assert_eq!(read(&mut listening.stream().await.io).await, b"z");
}

#[tokio::test]
async fn a_long_datagram_is_cut_at_the_buffer_as_in_gost() {
    let mut listening = listening(UdpListenerConfig { read_buffer_size: 10, ..kept_alive() });
    let client = client(listening.addr).await;
    client.send(&[7; 100]).await.unwrap();
    let mut stream = listening.stream().await;
    assert_eq!(read(&mut stream.io).await, [7; 10]);
    write(&mut stream.io, &[8; 65507]).await;
    assert_eq!(heard(&client).await, [8; 65507]);
    // Longer than UDP has room for: lost, and nothing else is.
    write(&mut stream.io, &[9; 65508]).await;
    write(&mut stream.io, b"next").await;
    assert_eq!(heard(&client).await, b"next");
}

#[tokio::test]
async fn a_stopped_listener_goes_on_for_the_streams_that_it_has() {
    let mut listening = listening(kept_alive());
    let (old, new) = (client(listening.addr).await, client(listening.addr).await);
    old.send(b"1").await.unwrap();
    let mut stream = listening.stream().await;
    listening.stop.cancel();
    new.send(b"no").await.unwrap();
    old.send(b"2").await.unwrap();
    assert_eq!(read(&mut stream.io).await, b"1");
    assert_eq!(read(&mut stream.io).await, b"2");
    drop(stream);
    timeout(SOON, &mut listening.task).await.unwrap().unwrap();
    assert!(listening.streams.recv().await.is_none(), "no stream for the new one");
    bind_udp(&listening.addr.to_string().parse().unwrap()).expect("the port is free");
}

#[tokio::test]
async fn what_comes_for_a_stream_that_is_gone_does_not_wait_for_ever() {
    let socket = bind_udp(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let local = socket.local_addr().unwrap();
    let shared = Arc::new(Shared {
        socket,
        local,
        sources: Mutex::default(),
        streams: AtomicUsize::new(0),
        untouched: AtomicUsize::new(0),
        waiting: AtomicUsize::new(0),
        told: AtomicUsize::new(0),
        memory: Mutex::default(),
        ended: Notify::new(),
    });
    let metrics = Metrics::new().unwrap().service(&ServiceKey::new(Origin::Files, "s"));
    let (sender, _streams) = mpsc::unbounded_channel();
    let (accept, memory) = (Arc::new(ToTest(sender)), Share::default());
    let taker = Taker { accept, config: kept_alive(), metrics, memory };
    let source = Arc::new(Source { addr: local, queue: Mutex::default() });
    let io = SourceIo::new(shared.clone(), source.clone(), false);
    shared.queue(&source, b"read by nobody", &taker).unwrap();
    drop(io);
    assert_eq!(shared.waiting.load(Ordering::Acquire), 0);
    // The listener had found the source before its stream was gone.
    assert!(shared.queue(&source, b"late", &taker).is_err());
    assert_eq!(shared.waiting.load(Ordering::Acquire), 0);
}

#[tokio::test]
async fn what_waits_for_slow_streams_is_bounded_by_the_budget() {
    const BUDGET: usize = 256 * 1024;
    let budget = Budget::new(BUDGET, &Metrics::new().unwrap());
    let config = UdpListenerConfig { read_buffer_size: 65_507, ..kept_alive() };
    let mut listening = listening_within(config, budget.share("a", "a/t"));
    let client = client(listening.addr).await;
    client.send(b"first").await.unwrap();
    let mut stream = listening.stream().await;
    // Nobody reads it. What the budget has no room for goes, and the stream goes on.
    let mut sent = 0;
    while !listening.metrics.encode().unwrap().contains("reason=\"queue\"") {
        client.send(&[7; 32 * 1024]).await.unwrap();
        sent += 1;
        assert!(sent < 1000, "it keeps everything");
        assert!(budget.used() <= BUDGET / 2, "{}", budget.used());
        tokio::task::yield_now().await;
    }
    let late = async {
        loop {
            client.send(b"late").await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let heard = async { while read(&mut stream.io).await != b"late" {} };
    tokio::select! {
        () = late => {}
        () = heard => {}
    }
    drop(stream);
    assert_eq!(budget.used(), 0);
}
