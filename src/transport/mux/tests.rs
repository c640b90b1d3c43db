use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_util::task::TaskTracker;

use super::*;
use crate::io::memory::Budget;
use crate::io::{AsyncIo, Chunk, Io};
use crate::metrics::Metrics;
use crate::transport::WsIo;

fn config(version: u8) -> MuxConfig {
    MuxConfig { version, ..MuxConfig::default() }
}

/// Two ends of a session over WebSocket on a pipe of `size` bytes.
fn pair(config: MuxConfig, size: usize) -> (Opener, Acceptor) {
    let (a, b) = duplex(size);
    let opener = Opener::start(Box::new(WsIo::client(a, None)), config);
    (opener, Acceptor::start(Box::new(WsIo::server(b, None)), config))
}

async fn stream(opener: &Opener, acceptor: &mut Acceptor) -> (AsyncIo, AsyncIo) {
    let ours = AsyncIo::new(opener.open().await.unwrap());
    (ours, AsyncIo::new(acceptor.accept().await.unwrap()))
}

fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251 + seed) as u8).collect()
}

#[tokio::test]
async fn many_streams_at_once_lose_nothing_in_either_direction() {
    for (version, size) in [(1, 1 << 20), (2, 1 << 20), (1, 700), (2, 700)] {
        let small = MuxConfig {
            max_receive_buffer: 50_000,
            max_stream_buffer: 9_000,
            max_frame_size: 3_000,
            ..config(version)
        };
        let (opener, mut acceptor) = pair(small, size);
        let echo = async {
            let mut echoes = tokio::task::JoinSet::new();
            for _ in 0..20 {
                let mut io = AsyncIo::new(acceptor.accept().await.unwrap());
                echoes.spawn(async move {
                    let mut got = Vec::new();
                    io.read_to_end(&mut got).await.unwrap();
                    io.write_all(&got).await.unwrap();
                    io.shutdown().await.unwrap();
                });
            }
            echoes.join_all().await;
        };
        let ask = async {
            let mut asking = tokio::task::JoinSet::new();
            for i in 0..20 {
                let mut io = AsyncIo::new(opener.open().await.unwrap());
                asking.spawn(async move {
                    let bytes = pattern(i, 30_000 + 1_000 * i);
                    io.write_all(&bytes).await.unwrap();
                    io.shutdown().await.unwrap();
                    let mut got = Vec::new();
                    io.read_to_end(&mut got).await.unwrap();
                    assert!(got == bytes, "stream {i}: {} bytes", got.len());
                });
            }
            asking.join_all().await;
        };
        tokio::join!(echo, ask);
    }
}

#[tokio::test]
async fn the_syn_goes_with_the_first_bytes_and_alone_it_goes_at_once() {
    let (ours, mut theirs) = duplex(1 << 16);
    let opener = Opener::start(Box::new(ours), config(1));
    let mut io = AsyncIo::new(opener.open().await.unwrap());
    io.write_all(b"hi").await.unwrap();
    let mut got = [0; 64];
    let n = theirs.read(&mut got).await.unwrap();
    assert_eq!(got[..n], [&[1, 0, 0, 0, 3, 0, 0, 0][..], b"\x01\x02\x02\0\x03\0\0\0hi"].concat());
    let _second = opener.open().await.unwrap();
    theirs.read_exact(&mut got[..8]).await.unwrap();
    assert_eq!(got[..8], [1, 0, 0, 0, 5, 0, 0, 0]);
}

#[tokio::test]
async fn a_message_that_is_flushed_is_a_frame_of_its_own() {
    let (ours, mut theirs) = duplex(1 << 16);
    let opener = Opener::start(Box::new(ours), config(1));
    let mut io = AsyncIo::new(opener.open().await.unwrap());
    for message in [&b"granted"[..], b"payload", b"more"] {
        io.write_all(message).await.unwrap();
        io.flush().await.unwrap();
    }
    let mut got = [0; 42];
    theirs.read_exact(&mut got).await.unwrap();
    let frames = [
        &b"\x01\0\0\0\x03\0\0\0"[..],
        b"\x01\x02\x07\0\x03\0\0\0granted",
        b"\x01\x02\x0b\0\x03\0\0\0payloadmore",
    ];
    assert_eq!(got[..], frames.concat());
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_an_error_and_not_an_end() {
    let (ours, mut theirs) = duplex(1 << 16);
    let opener = Opener::start(Box::new(ours), config(1));
    let mut io = AsyncIo::new(opener.open().await.unwrap());
    theirs.write_all(b"\x01\x02\x02\0\x03\0\0\0hi").await.unwrap();
    drop(theirs);
    let mut got = Vec::new();
    let error = io.read_to_end(&mut got).await.unwrap_err();
    assert_eq!((&got[..], error.kind()), (&b"hi"[..], io::ErrorKind::ConnectionAborted));
    assert!(opener.is_dead());
    assert!(opener.open().await.is_err());
}

#[tokio::test]
async fn a_session_of_another_version_ends() {
    let (a, b) = duplex(1 << 16);
    let opener = Opener::start(Box::new(a), config(1));
    let mut acceptor = Acceptor::start(Box::new(b), config(2));
    let mut io = AsyncIo::new(opener.open().await.unwrap());
    assert!(acceptor.accept().await.is_none());
    assert!(io.read_u8().await.is_err());
}

/// Reads until the carrier's other end is closed.
async fn closed(mut theirs: DuplexStream) {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), theirs.read_to_end(&mut rest)).await;
    ended.expect("the session goes on").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_nobody_holds_it_nor_a_stream() {
    let (ours, theirs) = duplex(1 << 16);
    let opener = Opener::start(Box::new(ours), config(1));
    drop(opener.clone());
    let io = opener.open().await.unwrap();
    drop(opener);
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(io);
    closed(theirs).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_ends_the_session_within_two_timeouts() {
    let (ours, _theirs) = duplex(1 << 16);
    let opener = Opener::start(Box::new(ours), config(1));
    let mut io = AsyncIo::new(opener.open().await.unwrap());
    let began = Instant::now();
    assert!(io.read_u8().await.is_err());
    assert!(opener.is_dead());
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn keepalives_keep_an_idle_session() {
    let (opener, mut acceptor) = pair(config(2), 1 << 16);
    let (mut ours, mut theirs) = stream(&opener, &mut acceptor).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    ours.write_all(b"x").await.unwrap();
    assert_eq!(theirs.read_u8().await.unwrap(), b'x');
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_of_version_1_is_reset_and_the_others_go_on() {
    let (opener, mut acceptor) = pair(config(1), 1 << 16);
    let (mut stalled, mut unread) = stream(&opener, &mut acceptor).await;
    let (mut ours, mut theirs) = stream(&opener, &mut acceptor).await;
    let flood = TaskTracker::new().spawn(async move {
        let bytes = vec![0; 1 << 20];
        while stalled.write_all(&bytes).await.is_ok() {}
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    ours.write_all(b"x").await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(10), theirs.read_u8()).await;
    assert!(heard.is_err(), "the session is not blocked");
    assert_eq!(theirs.read_u8().await.unwrap(), b'x');
    flood.await.unwrap();
    assert!(unread.read_u8().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_of_version_2_disturbs_nobody() {
    let (opener, mut acceptor) = pair(config(2), 1 << 16);
    let (mut stalled, _unread) = stream(&opener, &mut acceptor).await;
    let (mut ours, mut theirs) = stream(&opener, &mut acceptor).await;
    let flood = TaskTracker::new().spawn(async move {
        let bytes = vec![0; 4 << 20];
        stalled.write_all(&bytes).await
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    ours.write_all(b"x").await.unwrap();
    assert_eq!(theirs.read_u8().await.unwrap(), b'x');
    flood.abort();
}

#[tokio::test]
async fn a_dropped_stream_tells_its_peer_to_stop() {
    let (opener, mut acceptor) = pair(config(1), 1 << 16);
    let (mut ours, mut theirs) = stream(&opener, &mut acceptor).await;
    ours.write_all(b"last words").await.unwrap();
    drop(ours);
    let mut got = String::new();
    theirs.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "last words");
    assert!(theirs.write_all(b"x").await.is_err());
    assert!(theirs.into_io(b"").peer_closed());
}

#[tokio::test]
async fn what_waits_in_a_stream_is_bounded() {
    let (ours, _theirs) = duplex(64);
    let opener = Opener::start(Box::new(ours), config(1));
    let mut io = opener.open().await.unwrap();
    let mut taken = 0;
    let full = poll_fn(|cx| {
        loop {
            let mut chunk = Chunk::from_slice(&[0; 100_000]);
            match io.poll_write(cx, &mut chunk) {
                std::task::Poll::Ready(result) => result.unwrap(),
                std::task::Poll::Pending => return std::task::Poll::Ready(taken),
            }
            taken += 100_000;
        }
    });
    assert!(full.await <= 400_000);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_has_sent_what_it_had_gathered() {
    for restart in [false, true] {
        let (ours, mut theirs) = duplex(1000);
        let opener = Opener::start(Box::new(ours), config(1));
        let mut io = AsyncIo::new(opener.open().await.unwrap());
        let bytes = pattern(0, 100_000);
        io.write_all(&bytes).await.unwrap();
        drop(io);
        // Everything is gathered, and most of it waits for the slow peer.
        let streams = opener.count();
        while streams() > 0 {
            tokio::task::yield_now().await;
        }
        if restart {
            opener.end(Ending::Restart);
        }
        drop(opener);
        let (mut got, mut piece) = (Vec::new(), [0; 1000]);
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            match theirs.read(&mut piece).await.unwrap() {
                0 => break,
                n => got.extend_from_slice(&piece[..n]),
            }
        }
        // SYN, two frames at least, FIN; nothing is cut within a frame.
        assert!(got.len() > bytes.len(), "restart {restart}: {} bytes came", got.len());
        assert_eq!(got[got.len() - 8..], [1, 1, 0, 0, 3, 0, 0, 0], "restart {restart}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_does_not_wait_long_for_a_peer_that_takes_nothing() {
    let (ours, theirs) = duplex(1000);
    let opener = Opener::start(Box::new(ours), config(1));
    let mut io = AsyncIo::new(opener.open().await.unwrap());
    io.write_all(&pattern(0, 100_000)).await.unwrap();
    drop((io, opener));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut theirs = theirs;
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(1), theirs.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
}

const BUDGET: usize = 16 << 20;

/// As `pair`, with what waits at the accepting end counted for a namespace.
fn counted(config: MuxConfig, budget: &Budget, namespace: &str) -> (Opener, Acceptor) {
    let (a, b) = duplex(1 << 16);
    let opener = Opener::start(Box::new(WsIo::client(a, None)), config);
    let memory = budget.share(namespace, namespace).open();
    let carrier = Box::new(WsIo::server(b, None));
    let (acceptor, session) = Acceptor::begin(carrier, config, None, memory);
    spawn(session);
    (opener, acceptor)
}

/// Waits until the session of a namespace has ended for what it held, with a neighbour that goes on.
async fn overloads(
    (opener, mut acceptor): (Opener, Acceptor),
    budget: &Budget,
    load: impl AsyncFnOnce(&Opener, &mut Acceptor),
) {
    let (neighbour, mut its_end) = counted(config(2), budget, "neighbour");
    let (mut ours, mut theirs) = stream(&neighbour, &mut its_end).await;
    tokio::select! {
        () = async { load(&opener, &mut acceptor).await } => {}
        () = async {
            loop {
                ours.write_all(b"x").await.unwrap();
                assert_eq!(theirs.read_u8().await.unwrap(), b'x');
                assert!(budget.used() <= BUDGET, "{} bytes", budget.used());
                tokio::task::yield_now().await;
            }
        } => {}
    }
    assert!(acceptor.accept().await.is_none(), "the session has ended");
    assert_eq!(budget.used(), 0, "and holds nothing");
    ours.write_all(b"y").await.unwrap();
    while theirs.read_u8().await.expect("the neighbour goes on") != b'y' {}
}

#[tokio::test]
async fn what_nobody_reads_of_a_session_is_bounded_by_the_budget_whatever_its_buffers_are() {
    for version in [1, 2] {
        let budget = Budget::new(BUDGET, &Metrics::new().unwrap());
        let huge = MuxConfig {
            max_receive_buffer: i32::MAX as u32,
            max_stream_buffer: i32::MAX as u32,
            ..config(version)
        };
        let pair = counted(huge, &budget, "a");
        overloads(pair, &budget, async |opener, acceptor| {
            let mut streams = Vec::new();
            let bytes = vec![7; 200_000];
            for _ in 0..2 * BUDGET / bytes.len() {
                let Ok(ours) = opener.open().await else { return };
                let mut ours = AsyncIo::new(ours);
                if ours.write_all(&bytes).await.is_err() || ours.flush().await.is_err() {
                    return;
                }
                let Some(theirs) = acceptor.accept().await else { return };
                streams.push((ours, theirs));
            }
            panic!("it took {} bytes", 2 * BUDGET);
        })
        .await;
    }
}

#[tokio::test]
async fn streams_of_which_a_client_reads_nothing_are_bounded_by_the_budget() {
    for version in [1, 2] {
        let budget = Budget::new(BUDGET, &Metrics::new().unwrap());
        let pair = counted(config(version), &budget, "a");
        overloads(pair, &budget, async |opener, acceptor| {
            let mut streams = Vec::new();
            for _ in 0..5500 {
                let Ok(ours) = opener.open().await else { return };
                let Some(mut theirs) = acceptor.accept().await else { return };
                // A piece of each is taken, and no more where the client reads nothing.
                let mut chunk = Chunk::from_slice(&[7; 40_000]);
                let written =
                    poll_fn(|cx| std::task::Poll::Ready(theirs.poll_write(cx, &mut chunk)));
                if matches!(written.await, std::task::Poll::Ready(Err(_))) {
                    return;
                }
                streams.push((ours, theirs));
            }
            panic!("it took a piece of each stream");
        })
        .await;
    }
}

#[tokio::test]
async fn a_session_that_is_read_holds_nothing_in_the_end() {
    let budget = Budget::new(BUDGET, &Metrics::new().unwrap());
    let (opener, mut acceptor) = counted(config(2), &budget, "a");
    let (mut ours, mut theirs) = stream(&opener, &mut acceptor).await;
    let sent = pattern(1, 3 << 20);
    let echo = async {
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.unwrap();
        theirs.write_all(&got).await.unwrap();
        theirs.shutdown().await.unwrap();
    };
    let ask = async {
        ours.write_all(&sent).await.unwrap();
        ours.shutdown().await.unwrap();
        let mut got = Vec::new();
        ours.read_to_end(&mut got).await.unwrap();
        assert!(got == sent);
    };
    tokio::join!(echo, ask);
    drop((ours, theirs));
    assert!(budget.used() < crate::io::memory::STEP, "{}", budget.used());
    drop((opener, acceptor));
}
