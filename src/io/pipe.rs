//! The byte pump between a client and its target: one task, both directions.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::memory::Share;
use super::{BoxIo, Chunk, Ending, Io, ended};
use crate::base::{CloseReason, Closed};

/// Reads of one direction before the other one gets its turn: 4 MiB at most.
const ROUNDS: usize = 16;

/// How long a farewell may take when a tunnel is cut.
const FAREWELL: Duration = Duration::from_secs(1);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the target.
    Up,
    /// From the target to the client.
    Down,
}

/// When a tunnel ends without either side saying so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipeOptions {
    /// No byte in either direction for this long; `None` waits forever.
    pub idle: Option<Duration>,
    /// One side finished and the other made no progress for this long. (GOST: 10 s in all, which
    /// truncates slow replies.)
    pub linger: Duration,
}

/// Pumps until both sides finished, one broke, a timeout passed, or `stop` was cancelled.
///
/// `moved` hears of every piece that was accepted by the other side. A piece that the other side does
/// not take counts in `memory`, where others may need its room: then the tunnel ends.
pub async fn pipe(
    client: &mut BoxIo,
    target: &mut BoxIo,
    options: PipeOptions,
    stop: &CancellationToken,
    memory: &Share,
    moved: impl Fn(Direction, u64) + Send,
) -> Closed {
    let mut up = Half::new(Direction::Up);
    let mut down = Half::new(Direction::Down);
    let reason = {
        let mut stopped = pin!(stop.cancelled());
        let mut timer = pin!(None);
        let mut progress = Instant::now();
        let mut account = None;
        poll_fn(|cx| {
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(CloseReason::Drained);
            }
            if client.upkeep(cx).is_err() {
                return Poll::Ready(CloseReason::ClientGone);
            }
            if target.upkeep(cx).is_err() {
                return Poll::Ready(CloseReason::TargetGone);
            }
            let before = (up.moved(), down.moved());
            if let Poll::Ready(reason) = up.poll(cx, client, target, &moved) {
                return Poll::Ready(reason);
            }
            if let Poll::Ready(reason) = down.poll(cx, target, client, &moved) {
                return Poll::Ready(reason);
            }
            if up.ended() && down.ended() {
                return Poll::Ready(up.broke.or(down.broke).unwrap_or(CloseReason::Finished));
            }
            let held = up.chunk.footprint() + down.chunk.footprint();
            if memory.is_limited() && (held > 0 || account.is_some()) {
                let account = account.get_or_insert_with(|| memory.open());
                account.hold(held);
                if account.poll_shed(cx).is_ready() {
                    return Poll::Ready(CloseReason::Overload);
                }
            }
            let lingering = up.ended() || down.ended();
            let (limit, reason) = match (lingering, options.idle) {
                (true, Some(idle)) if idle < options.linger => (idle, CloseReason::Idle),
                (true, _) => (options.linger, CloseReason::Lingered),
                (false, Some(idle)) => (idle, CloseReason::Idle),
                (false, None) => return Poll::Pending,
            };
            if before != (up.moved(), down.moved()) {
                progress = Instant::now();
            }
            loop {
                let due = progress + limit;
                if timer.as_mut().as_pin_mut().is_none() {
                    timer.set(Some(sleep_until(due)));
                }
                let Some(mut armed) = timer.as_mut().as_pin_mut() else { return Poll::Pending };
                // A timer that is due earlier is left to fire: cheaper than moving it at each read.
                if armed.deadline() > due {
                    armed.as_mut().reset(due);
                }
                if armed.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                if Instant::now() >= due {
                    let broke = up.broke.or(down.broke);
                    return Poll::Ready(broke.unwrap_or(reason));
                }
                armed.reset(due);
            }
        })
        .await
    };
    let ending = match reason {
        CloseReason::Drained => Ending::Restart,
        CloseReason::Overload => {
            up.chunk.release();
            down.chunk.release();
            Ending::Overload
        }
        // Both sides have had their FIN: another one would be two system calls for nothing.
        CloseReason::Finished if up.ended() && down.ended() => {
            return Closed { reason, up: up.bytes, down: down.bytes };
        }
        _ => Ending::Finished,
    };
    tokio::join!(ended(client, ending, FAREWELL), ended(target, ending, FAREWELL));
    Closed { reason, up: up.bytes, down: down.bytes }
}

/// Reads, once there is room for what comes.
fn read(
    cx: &mut Context<'_>,
    from: &mut BoxIo,
    to: &mut BoxIo,
    chunk: &mut Chunk,
) -> Poll<std::io::Result<()>> {
    if to.poll_room(cx).is_pending() {
        return Poll::Pending;
    }
    from.poll_read(cx, chunk)
}

/// One direction.
struct Half {
    direction: Direction,
    chunk: Chunk,
    /// Payload bytes of the chunk, before the writer puts its header before them.
    payload: usize,
    bytes: u64,
    state: State,
    /// Who broke off, if this direction did not end as it should.
    broke: Option<CloseReason>,
    /// Something was written since the last flush.
    unflushed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Writing,
    Closing,
    Ended,
}

impl Half {
    fn new(direction: Direction) -> Self {
        Self {
            direction,
            chunk: Chunk::new(),
            payload: 0,
            bytes: 0,
            state: State::Reading,
            broke: None,
            unflushed: false,
        }
    }

    fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Changes with every byte that moves: a slow reader takes longer than `linger` for a large
    /// chunk, and is not silent.
    fn moved(&self) -> (u64, usize, bool) {
        (self.bytes, self.chunk.len(), self.ended())
    }

    /// Moves what can be moved. Ready when the whole tunnel is over.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut BoxIo,
        to: &mut BoxIo,
        moved: &impl Fn(Direction, u64),
    ) -> Poll<CloseReason> {
        let (source_gone, sink_gone) = match self.direction {
            Direction::Up => (CloseReason::ClientGone, CloseReason::TargetGone),
            Direction::Down => (CloseReason::TargetGone, CloseReason::ClientGone),
        };
        let mut rounds = 0;
        loop {
            match self.state {
                State::Reading if rounds == ROUNDS => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                State::Reading => match read(cx, from, to, &mut self.chunk) {
                    Poll::Ready(Ok(())) if self.chunk.is_empty() => self.state = State::Closing,
                    Poll::Ready(Ok(())) => {
                        rounds += 1;
                        self.payload = self.chunk.len();
                        self.state = State::Writing;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(source_gone),
                    Poll::Pending => {
                        // Only now: while there is more to read, the next write carries it along.
                        if self.unflushed {
                            match to.poll_flush(cx) {
                                Poll::Ready(Ok(())) => self.unflushed = false,
                                Poll::Ready(Err(_)) => self.break_off(sink_gone),
                                Poll::Pending => {}
                            }
                        }
                        return Poll::Pending;
                    }
                },
                State::Writing => match to.poll_write(cx, &mut self.chunk) {
                    Poll::Ready(Ok(())) => {
                        self.bytes += self.payload as u64;
                        moved(self.direction, self.payload as u64);
                        self.unflushed = true;
                        self.state = State::Reading;
                    }
                    Poll::Ready(Err(_)) => self.break_off(sink_gone),
                    Poll::Pending => return Poll::Pending,
                },
                State::Closing => {
                    match to.poll_close_write(cx) {
                        Poll::Ready(Ok(())) => self.state = State::Ended,
                        Poll::Ready(Err(_)) => self.break_off(sink_gone),
                        Poll::Pending => return Poll::Pending,
                    }
                    if from.peer_closed() {
                        return Poll::Ready(CloseReason::Finished);
                    }
                }
                State::Ended => return Poll::Pending,
            }
        }
    }

    /// The sink takes nothing more; what it has yet to say is still worth hearing.
    fn break_off(&mut self, reason: CloseReason) {
        self.chunk.release();
        self.broke = Some(reason);
        self.state = State::Ended;
    }
}

#[cfg(test)]
mod tests;
