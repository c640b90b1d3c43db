//! A stream that moves its bytes no faster than it may.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

use super::bucket::Bucket;
use super::traffic::{Meter, Pair};
use crate::io::{BoxIo, Chunk, Ending, Io};

/// Reads and writes in pieces, and pays for each before it moves on. A stream that waits has one
/// timer, which fires when its bytes are due.
pub struct Limited {
    io: BoxIo,
    meter: Meter,
    /// Datagrams are never split.
    whole: bool,
    up: Lane,
    down: Lane,
}

/// One direction.
struct Lane {
    /// Read and not yet handed on, or on its way to the stream.
    held: Chunk,
    /// Bytes that are paid for and have not moved yet.
    paid: usize,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Lane {
    fn new() -> Self {
        Self { held: Chunk::new(), paid: 0, wait: None }
    }

    /// Pays for `n` bytes and waits until they are due. Ready at once for what is paid.
    fn pay<'m>(
        &mut self,
        cx: &mut Context<'_>,
        n: usize,
        buckets: impl Iterator<Item = &'m Bucket>,
    ) -> Poll<()> {
        if self.paid == 0 {
            self.paid = n;
            let due = buckets.map(|bucket| bucket.reserve(n as u64)).max();
            if let Some(due) = due.filter(|due| *due > Instant::now()) {
                self.wait = Some(Box::pin(sleep_until(due)));
            }
        }
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        Poll::Ready(())
    }
}

impl Limited {
    /// Puts `meter` before `io`. `datagrams`: each chunk is one.
    pub fn new(io: BoxIo, meter: Meter, datagrams: bool) -> Self {
        Self { io, meter, whole: datagrams, up: Lane::new(), down: Lane::new() }
    }

    fn piece(&self, len: usize, of: impl Fn(&Pair) -> usize) -> usize {
        let least = self.meter.0.iter().map(|pair| of(pair)).min().unwrap_or(usize::MAX);
        if self.whole { len } else { len.min(least) }
    }
}

impl Io for Limited {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if self.up.held.is_empty() {
            // The caller's chunk, since it knows how much room the next read wants.
            ready!(self.io.poll_read(cx, chunk))?;
            if chunk.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.up.held = chunk.take();
        }
        let n = match self.up.paid {
            0 => self.piece(self.up.held.len(), |pair| pair.piece.0),
            paid => paid,
        };
        ready!(self.up.pay(cx, n, self.meter.0.iter().filter_map(|pair| pair.up.as_ref())));
        self.up.paid = 0;
        *chunk = self.up.held.split_to(n);
        Poll::Ready(Ok(()))
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_room(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        loop {
            if !self.down.held.is_empty() {
                ready!(self.io.poll_write(cx, &mut self.down.held))?;
            }
            if chunk.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let n = match self.down.paid {
                0 => self.piece(chunk.len(), |pair| pair.piece.1),
                paid => paid,
            };
            let buckets = self.meter.0.iter().filter_map(|pair| pair.down.as_ref());
            if self.down.pay(cx, n, buckets).is_pending() {
                // What was written must not wait for what may not be written yet.
                if let Poll::Ready(Err(e)) = self.io.poll_flush(cx) {
                    return Poll::Ready(Err(e));
                }
                return Poll::Pending;
            }
            self.down.paid = 0;
            self.down.held = chunk.split_to(n);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx)
    }

    fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_close_write(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()> {
        self.io.poll_end(cx, ending)
    }

    fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.io.upkeep(cx)
    }

    fn peer_closed(&self) -> bool {
        self.up.held.is_empty() && self.io.peer_closed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::config::model::{Gates, Limits, Rate};
    use crate::gate::Gate;
    use crate::io::AsyncIo;

    fn gate(limits: Limits<Rate>) -> Gate {
        Gate::new(&Gates { traffic: Some(Arc::new(limits)), ..Default::default() })
    }

    fn rate(up: u64, down: u64) -> Rate {
        Rate { up: Some(up), down: Some(down), burst: None }
    }

    /// How long `bytes` take from the client through a limited stream, and back.
    async fn passes(meter: Meter, bytes: usize) -> (Duration, Duration) {
        let (ours, mut client) = duplex(1 << 20);
        let mut io = AsyncIo::new(Box::new(Limited::new(Box::new(ours), meter, false)));
        let sent = vec![7; bytes];
        let mut got = vec![0; bytes];
        let start = Instant::now();
        client.write_all(&sent).await.unwrap();
        io.read_exact(&mut got).await.unwrap();
        assert_eq!(got, sent);
        let up = start.elapsed();
        let start = Instant::now();
        let back = async {
            io.write_all(&sent).await.unwrap();
            io.flush().await.unwrap();
        };
        let (_, result) = tokio::join!(back, client.read_exact(&mut got));
        result.unwrap();
        (up, start.elapsed())
    }

    fn about(duration: Duration, seconds: f64) {
        let off = (duration.as_secs_f64() - seconds).abs();
        assert!(off < 0.1, "{duration:?} is not about {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_beyond_the_burst_take_their_time_each_way() {
        let gate = gate(Limits { service: None, each: Some(rate(10_000, 40_000)), nets: vec![] });
        let meter = gate.meter([10, 0, 0, 1].into()).unwrap();
        let (up, down) = passes(meter, 50_000).await;
        about(up, 4.0);
        about(down, 0.25);
    }

    #[tokio::test(start_paused = true)]
    async fn streams_share_what_is_the_service_s() {
        let gate = gate(Limits { service: Some(rate(10_000, 10_000)), each: None, nets: vec![] });
        let meter = || gate.meter([10, 0, 0, 1].into()).unwrap();
        let ((one, _), (other, _)) = tokio::join!(passes(meter(), 30_000), passes(meter(), 30_000));
        about(one.max(other), 5.0);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_of_a_named_address_share_its_limit_and_others_are_free() {
        let nets = vec![("10.0.0.1/32".parse().unwrap(), rate(10_000, 1_000_000))];
        let gate = gate(Limits { service: None, each: None, nets });
        let meter = || gate.meter([10, 0, 0, 1].into()).unwrap();
        let start = Instant::now();
        tokio::join!(passes(meter(), 10_000), passes(meter(), 10_000));
        about(start.elapsed(), 1.0);
        assert!(gate.meter([10, 0, 0, 2].into()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn limits_that_stay_the_same_go_on_counting() {
        let limits = Limits { service: Some(rate(10_000, 10_000)), each: None, nets: vec![] };
        let gate = gate(limits.clone());
        passes(gate.meter([10, 0, 0, 1].into()).unwrap(), 10_000).await;
        let same = Gates { traffic: Some(Arc::new(limits)), ..Default::default() };
        let gate = gate.with(&same);
        let (up, _) = passes(gate.meter([10, 0, 0, 1].into()).unwrap(), 10_000).await;
        about(up, 1.0);
    }
}
