use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::io::memory::Budget;
use crate::metrics::Metrics;

const LINGER: Duration = Duration::from_secs(10);

/// A running pipe with its far ends.
struct Running {
    client: DuplexStream,
    target: DuplexStream,
    stop: CancellationToken,
    pipe: JoinHandle<Closed>,
}

fn running(idle: Option<Duration>) -> Running {
    running_within(idle, Share::default())
}

#[allow(clippy::disallowed_methods, reason = "a test's task")]
fn running_within(idle: Option<Duration>, memory: Share) -> Running {
    let (client, near_client) = duplex(1024);
    let (target, near_target) = duplex(1024);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let pipe = tokio::spawn(async move {
        let mut ends: (BoxIo, BoxIo) = (Box::new(near_client), Box::new(near_target));
        let options = PipeOptions { idle, linger: LINGER };
        let moved = Mutex::new((0, 0));
        let closed = pipe(&mut ends.0, &mut ends.1, options, &stopped, &memory, |direction, n| {
            let mut moved = moved.lock();
            match direction {
                Direction::Up => moved.0 += n,
                Direction::Down => moved.1 += n,
            }
        })
        .await;
        assert_eq!(*moved.lock(), (closed.up, closed.down));
        closed
    });
    Running { client, target, stop, pipe }
}

async fn read_all(stream: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn bytes_go_both_ways_and_are_counted() {
    let mut r = running(None);
    r.client.write_all(b"question").await.unwrap();
    let mut question = [0; 8];
    r.target.read_exact(&mut question).await.unwrap();
    r.target.write_all(b"reply").await.unwrap();
    r.client.shutdown().await.unwrap();
    r.target.shutdown().await.unwrap();
    assert_eq!(read_all(&mut r.client).await, b"reply");
    let closed = r.pipe.await.unwrap();
    assert_eq!(closed, Closed { reason: CloseReason::Finished, up: 8, down: 5 });
}

#[tokio::test(start_paused = true)]
async fn half_closed_client_still_gets_a_slow_reply() {
    let mut r = running(None);
    r.client.write_all(b"q").await.unwrap();
    r.client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut r.target).await, b"q");
    // Three times the limit in all, and never a silence as long as it.
    for _ in 0..6 {
        tokio::time::sleep(LINGER / 2).await;
        r.target.write_all(b"slow").await.unwrap();
    }
    r.target.shutdown().await.unwrap();
    assert_eq!(read_all(&mut r.client).await, b"slow".repeat(6));
    assert_eq!(r.pipe.await.unwrap().reason, CloseReason::Finished);
}

#[tokio::test(start_paused = true)]
async fn silence_after_a_half_close_ends_the_tunnel() {
    let mut r = running(None);
    let began = Instant::now();
    r.client.shutdown().await.unwrap();
    assert_eq!(r.pipe.await.unwrap().reason, CloseReason::Lingered);
    assert_eq!(began.elapsed().as_secs(), LINGER.as_secs());
}

#[tokio::test(start_paused = true)]
async fn silence_in_an_open_tunnel_does_not() {
    let r = running(None);
    tokio::time::sleep(Duration::from_secs(100_000)).await;
    assert!(!r.pipe.is_finished());
}

#[tokio::test(start_paused = true)]
async fn idle_timeout_counts_from_the_last_byte_in_either_direction() {
    let mut r = running(Some(Duration::from_secs(60)));
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(59)).await;
    r.target.write_all(b"x").await.unwrap();
    assert_eq!(r.pipe.await.unwrap().reason, CloseReason::Idle);
    assert_eq!(began.elapsed().as_secs(), 119);
}

#[tokio::test(start_paused = true)]
async fn a_stop_cuts_the_tunnel() {
    let mut r = running(None);
    r.stop.cancel();
    assert_eq!(r.pipe.await.unwrap().reason, CloseReason::Drained);
    assert!(read_all(&mut r.client).await.is_empty());
}

#[tokio::test]
async fn what_the_target_said_before_it_broke_off_arrives() {
    let mut r = running(None);
    // A server that answers early and takes no more.
    r.target.write_all(b"413").await.unwrap();
    drop(r.target);
    let _ = r.client.write_all(&[0; 100_000]).await;
    assert_eq!(read_all(&mut r.client).await, b"413");
    assert_eq!(r.pipe.await.unwrap().reason, CloseReason::TargetGone);
}

#[tokio::test]
async fn a_slow_reader_holds_the_writer_back() {
    let mut r = running(None);
    let megabyte = vec![7; 1 << 20];
    let wrote = tokio::time::timeout(Duration::from_millis(50), r.client.write_all(&megabyte));
    assert!(wrote.await.is_err(), "a megabyte went into kilobytes");
    // What was taken in before the reader began: the buffers on the way, no more.
    r.client.shutdown().await.unwrap();
    assert!(read_all(&mut r.target).await.len() < 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_a_silent_one() {
    let (client, mut reader) = duplex(64);
    let (target, mut writer) = duplex(64 * 1024);
    writer.write_all(&[7; 4096]).await.unwrap();
    reader.shutdown().await.unwrap();
    let (mut client, mut target): (BoxIo, BoxIo) = (Box::new(client), Box::new(target));
    let options = PipeOptions { idle: None, linger: LINGER };
    let (stop, memory) = (CancellationToken::new(), Share::default());
    let slowly = async {
        let mut buf = [0; 64];
        for _ in 0..4096 / 64 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            reader.read_exact(&mut buf).await.unwrap();
        }
        drop(writer);
    };
    let piped = pipe(&mut client, &mut target, options, &stop, &memory, |_, _| ());
    let (closed, ()) = tokio::join!(piped, slowly);
    assert_eq!((closed.reason, closed.down), (CloseReason::Finished, 4096));
}

#[tokio::test]
async fn tunnels_whose_peers_take_nothing_end_at_their_part_of_the_budget() {
    let budget = Budget::new(1 << 20, &Metrics::new().unwrap());
    let (many, few) = (budget.share("many", "many/t"), budget.share("few", "few/t"));
    let mut tunnels: Vec<_> = (0..20).map(|_| running_within(None, many.clone())).collect();
    let mut neighbour = running_within(None, few.clone());
    // Its client takes nothing of it either, for a while.
    neighbour.target.write_all(&[7; 2048]).await.unwrap();
    for tunnel in &mut tunnels {
        // Fills what is between the ends, and the pipe keeps the rest.
        let _ = tunnel.target.write_all(&[7; 2048]).await;
        tokio::task::yield_now().await;
        assert!(budget.used() <= 1 << 20);
    }
    let mut ended = 0;
    for tunnel in tunnels {
        if tunnel.pipe.is_finished() {
            assert_eq!(tunnel.pipe.await.unwrap().reason, CloseReason::Overload);
            ended += 1;
        } else {
            tunnel.pipe.abort();
        }
    }
    assert!(ended >= 10, "{ended} of 20 ended, each held 64 KiB");
    let mut bytes = vec![0; 2048];
    neighbour.client.read_exact(&mut bytes).await.unwrap();
    neighbour.target.write_all(b"more").await.unwrap();
    neighbour.client.read_exact(&mut bytes[..4]).await.unwrap();
    assert_eq!(bytes[..4], *b"more");
}
