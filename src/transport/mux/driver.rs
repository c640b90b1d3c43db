//! The session's task.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep_until, timeout};

use super::{Shared, State};
use crate::io::{BoxIo, Chunk, Ending, Io, ended};
use crate::metrics::ServiceMetrics;
use crate::proto::smux::Time;

/// Reads of the carrier before the streams have their turn: what they are to take is in the cache.
const ROUNDS: usize = 2;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a peer may take nothing of the last frames, and how long they may take in all.
const STANDSTILL: Duration = Duration::from_secs(5);
const LAST_FRAMES: Duration = Duration::from_secs(30);

/// Carries the session until the carrier breaks, the peer errs or is silent, somebody ends it, or
/// nobody holds it any more; what broke it, if anything did.
pub(super) async fn run(
    carrier: BoxIo,
    shared: Arc<Shared>,
    metrics: Option<ServiceMetrics>,
) -> Option<io::Error> {
    let mut driver = Driver {
        carrier,
        shared: shared.clone(),
        input: Chunk::new(),
        output: Chunk::new(),
        unsettled: false,
        unflushed: false,
        metrics,
        stalled: 0,
    };
    let mut timer = pin!(None);
    let over = poll_fn(|cx| driver.poll(cx, timer.as_mut())).await;
    let (ending, broken) = match over {
        Ok(ending) => (ending, None),
        Err(error) => {
            tracing::debug!(%error, "a mux session broke");
            (Ending::Finished, Some(error))
        }
    };
    let kind = broken.as_ref().map_or(io::ErrorKind::ConnectionAborted, io::Error::kind);
    shared.with(|state, _| {
        state.ended = Some(kind);
        state.session.fail();
        if ending == Ending::Overload {
            state.session.discard();
        }
    });
    driver.input.release();
    if broken.is_none() && ending != Ending::Overload {
        let _ = timeout(LAST_FRAMES, driver.write_last()).await;
    }
    driver.output.release();
    ended(&mut driver.carrier, ending, FAREWELL).await;
    broken
}

struct Driver {
    carrier: BoxIo,
    shared: Arc<Shared>,
    /// Read and not yet taken by the session.
    input: Chunk,
    /// Some of it is of a frame that is not whole.
    unsettled: bool,
    /// Frames on their way out.
    output: Chunk,
    unflushed: bool,
    metrics: Option<ServiceMetrics>,
    /// Stalled streams that were counted.
    stalled: u64,
}

impl Driver {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Option<Sleep>>,
    ) -> Poll<io::Result<Ending>> {
        self.carrier.upkeep(cx)?;
        let shared = self.shared.clone();
        {
            let mut state = shared.state.lock();
            if !state.task.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.task = Some(cx.waker().clone());
            }
            if state.memory.poll_shed(cx).is_ready() {
                return Poll::Ready(Ok(Ending::Overload));
            }
        }
        for round in 0.. {
            if round == ROUNDS {
                cx.waker().wake_by_ref();
                break;
            }
            let read = self.poll_input(cx)?;
            let written = self.poll_output(cx)?;
            if read == Step::Ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if read == Step::Idle && written == Step::Idle {
                break;
            }
        }
        // What the last rounds left to do is done; what the clock brings wakes us again.
        let gathered = self.input.footprint() + self.output.footprint();
        let (over, deadline, stalled) = shared.with(|state, now| {
            state.gathered = gathered;
            state.session.take_work();
            let ticked = state.session.tick(now);
            (over(state), ticked.map(|()| state.session.deadline()), state.session.stalled())
        });
        self.count(stalled);
        if let Some(ending) = over {
            return Poll::Ready(Ok(ending));
        }
        match deadline {
            Err(silent) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, silent))),
            Ok(deadline) => {
                self.arm(cx, timer.as_mut(), deadline);
                Poll::Pending
            }
        }
    }

    fn count(&mut self, stalled: u64) {
        let new = stalled - self.stalled;
        if new > 0 {
            tracing::debug!(streams = new, "reset: what nobody read of them blocked the session");
            self.stalled = stalled;
        }
        if let Some(metrics) = &self.metrics {
            metrics.mux_resets.inc_by(new);
        }
    }

    /// Reads of the carrier what the session takes.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> io::Result<Step> {
        if self.input.is_empty() {
            if !self.shared.state.lock().session.wants_input() {
                return Ok(Step::Idle);
            }
            match self.carrier.poll_read(cx, &mut self.input) {
                Poll::Ready(Ok(())) if self.input.is_empty() => return Ok(Step::Ended),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(e)) => return Err(e),
                Poll::Pending => {
                    self.settle();
                    return Ok(Step::Idle);
                }
            }
        }
        let data = self.input.data();
        let (taken, unsettled) = self.shared.carry(|state, now| {
            state.session.take_work();
            (state.session.receive(data, now), state.session.is_unsettled())
        });
        self.unsettled = unsettled;
        let taken = taken.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        self.input.consume(taken);
        Ok(if taken > 0 { Step::Moved } else { Step::Idle })
    }

    /// There is no more for now: a frame that is not whole is as good as one that is.
    fn settle(&mut self) {
        if std::mem::take(&mut self.unsettled) {
            self.shared.carry(|state, _| state.session.settle());
        }
    }

    /// Writes what there is to send, and flushes when that is all.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> io::Result<Step> {
        if self.output.is_empty() && !self.gather() {
            if self.unflushed && self.carrier.poll_flush(cx)?.is_ready() {
                self.unflushed = false;
            }
            return Ok(Step::Idle);
        }
        Ok(match self.carrier.poll_write(cx, &mut self.output)? {
            Poll::Ready(()) => {
                self.unflushed = true;
                Step::Moved
            }
            Poll::Pending => Step::Idle,
        })
    }

    /// Writes the frames that were gathered. What they are of has ended, and the peer is to have it whole.
    async fn write_last(&mut self) {
        while !self.output.is_empty() {
            let before = self.output.len();
            let writing = poll_fn(|cx| match self.carrier.poll_write(cx, &mut self.output) {
                Poll::Pending if self.output.len() == before => Poll::Pending,
                Poll::Pending => Poll::Ready(Ok(())),
                written => written,
            });
            if !matches!(timeout(STANDSTILL, writing).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Fills the output; whether there was anything.
    fn gather(&mut self) -> bool {
        let output = &mut self.output;
        self.shared.carry(|state, now| {
            if !state.session.has_output() {
                return false;
            }
            output.prefer_large(state.session.has_much());
            let limit = output.free();
            state.session.transmit(limit, now, &mut |bytes| {
                output.append(bytes);
            });
            if output.is_empty() {
                output.release();
            }
            !output.is_empty()
        })
    }

    /// Sets the timer, if it has to move.
    fn arm(
        &self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Option<Sleep>>,
        deadline: Option<Time>,
    ) {
        let Some(due) = deadline.map(|deadline| self.shared.began + deadline) else {
            timer.set(None);
            return;
        };
        if timer.as_mut().as_pin_mut().is_none() {
            timer.set(Some(sleep_until(due)));
        }
        let Some(mut armed) = timer.as_pin_mut() else { return };
        if armed.deadline() != due {
            armed.as_mut().reset(due);
        }
        if armed.poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

/// Whether and how the session is to end without a fault.
fn over(state: &State) -> Option<Ending> {
    let idle = !state.held && state.session.streams() == 0 && !state.session.has_output();
    state.ending.or(idle.then_some(Ending::Finished))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Moved,
    /// Nothing can be done now; a waker is registered where it matters.
    Idle,
    Ended,
}
