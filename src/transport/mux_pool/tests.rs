use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::*;
use crate::io::AsyncIo;
use crate::transport::mux::Acceptor;

#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

/// A node that can be dialled: each dial takes a second, and its other end comes out here.
#[derive(Clone)]
struct Node {
    dials: Arc<AtomicUsize>,
    carriers: mpsc::UnboundedSender<DuplexStream>,
    refuses: usize,
}

impl Node {
    fn new(refuses: usize) -> (Self, mpsc::UnboundedReceiver<DuplexStream>) {
        let (carriers, ends) = mpsc::unbounded_channel();
        (Self { dials: Arc::default(), carriers, refuses }, ends)
    }

    async fn dial(self) -> Result<BoxIo, Refused> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if self.dials.fetch_add(1, Ordering::SeqCst) < self.refuses {
            return Err(Refused);
        }
        let (ours, theirs) = duplex(1 << 16);
        let _ = self.carriers.send(theirs);
        Ok(Box::new(ours))
    }

    fn dials(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
    }
}

fn config() -> MuxConfig {
    MuxConfig::default()
}

#[tokio::test(start_paused = true)]
async fn first_dials_at_once_share_one_session() {
    let (node, mut ends) = Node::new(0);
    let pool = Arc::new(MuxPool::default());
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let (pool, node) = (pool.clone(), node.clone());
        asking.spawn(async move {
            pool.stream(config(), &Share::default(), node.dial()).await.unwrap()
        });
    }
    let streams = asking.join_all().await;
    assert_eq!((node.dials(), streams.len()), (1, 50));
    let mut acceptor = Acceptor::start(Box::new(ends.recv().await.unwrap()), config());
    for _ in 0..50 {
        assert!(acceptor.accept().await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_session_is_replaced_before_a_request_is_spent_on_it() {
    let (node, mut ends) = Node::new(0);
    let pool = MuxPool::default();
    let mut old =
        AsyncIo::new(pool.stream(config(), &Share::default(), node.clone().dial()).await.unwrap());
    drop(ends.recv().await.unwrap());
    assert!(old.read_u8().await.is_err());
    let mut stream =
        AsyncIo::new(pool.stream(config(), &Share::default(), node.clone().dial()).await.unwrap());
    let mut acceptor = Acceptor::start(Box::new(ends.recv().await.unwrap()), config());
    stream.write_all(b"x").await.unwrap();
    let mut theirs = AsyncIo::new(acceptor.accept().await.unwrap());
    assert_eq!((theirs.read_u8().await.unwrap(), node.dials()), (b'x', 2));
}

#[tokio::test(start_paused = true)]
async fn a_failed_dial_fails_all_who_waited_and_the_next_one_tries_anew() {
    let (node, _ends) = Node::new(1);
    let pool = Arc::new(MuxPool::default());
    let mut asking = JoinSet::new();
    for _ in 0..10 {
        let (pool, node) = (pool.clone(), node.clone());
        asking.spawn(
            async move { pool.stream(config(), &Share::default(), node.dial()).await.err() },
        );
    }
    let errors = asking.join_all().await;
    assert!(errors.iter().all(|e| matches!(e, Some(PoolError::Connect(_)))), "{errors:?}");
    assert_eq!(node.dials(), 1);
    assert!(pool.stream(config(), &Share::default(), node.clone().dial()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_takes_over_from_one_who_gave_up() {
    let (node, _ends) = Node::new(0);
    let pool = Arc::new(MuxPool::default());
    let first = TaskTracker::new().spawn({
        let pool = pool.clone();
        async move {
            pool.stream(config(), &Share::default(), std::future::pending::<Result<_, Refused>>())
                .await
        }
    });
    tokio::task::yield_now().await;
    let memory = Share::default();
    let second = pool.stream(config(), &memory, node.clone().dial());
    let give_up = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        first.abort();
    };
    let (stream, ()) = tokio::join!(second, give_up);
    assert!(stream.is_ok());
}
