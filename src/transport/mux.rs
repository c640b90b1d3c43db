//! Many streams on one carrier (smux): the session's task, and the streams as [`Io`].
//!
//! One task owns the carrier. It reads large pieces and moves their payload to the streams, and
//! gathers what the streams have to send into few large writes, which are few WebSocket messages:
//! peers read them as bytes. Streams and task meet in one lock; there is no task, channel or buffer
//! per idle stream. How streams end is told in [`crate::proto::smux`].
//!
//! [`Io`]: crate::io::Io

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::model::MuxConfig;
use crate::io::memory::Account;
use crate::io::{BoxIo, Ending};
use crate::metrics::ServiceMetrics;
use crate::proto::smux::{Options, Role, Session, Time};

mod driver;
mod queue;
mod stream;
#[cfg(test)]
mod tests;

use queue::Pieces;
use stream::MuxStream;

/// How long a session of a service that is stopping may be without streams.
const VACANT: Duration = Duration::from_secs(1);

/// How often to look whether it is.
const LOOK: Duration = Duration::from_millis(100);

/// Opens streams on a session: the smux client. Clones share the session, which ends when the
/// carrier does, or when nobody holds an `Opener` nor a stream.
#[derive(Clone)]
pub struct Opener(Arc<Holder>);

/// Takes the streams that the peer opens: the smux server. The session ends when the carrier does,
/// or when nobody holds the `Acceptor` nor a stream.
pub struct Acceptor(Arc<Holder>);

impl Opener {
    /// Begins a session. Call it from within the runtime.
    pub fn start(carrier: BoxIo, config: MuxConfig) -> Self {
        Self::start_in(carrier, config, Account::default())
    }

    /// The same, with what waits in the session counted.
    pub fn start_in(carrier: BoxIo, config: MuxConfig, memory: Account) -> Self {
        let (opener, session) = Self::begin(carrier, config, memory);
        spawn(session);
        opener
    }

    /// The same, with the session's task for the caller to run; it gives what broke the session, if
    /// it did not end in order.
    pub fn begin(
        carrier: BoxIo,
        config: MuxConfig,
        memory: Account,
    ) -> (Self, impl Future<Output = Option<io::Error>> + Send + use<>) {
        let (holder, session) = begin(carrier, config, Role::Client, None, memory);
        (Self(holder), session)
    }

    /// Opens a stream. It waits for nothing: the peer hears of the stream with its first bytes, or
    /// as soon as there is nothing else to do.
    ///
    /// # Errors
    /// The session is over, or has no ids left.
    #[allow(clippy::unused_async)]
    pub async fn open(&self) -> io::Result<BoxIo> {
        let shared = &self.0.shared;
        let id = shared.with(|state, now| match state.ended {
            Some(kind) => Err(io::Error::from(kind)),
            None => state.session.open(now).map_err(io::Error::other),
        })?;
        Ok(Box::new(MuxStream::new(shared.clone(), id)))
    }

    /// Whether no stream can be opened any more.
    pub fn is_dead(&self) -> bool {
        let state = self.0.shared.state.lock();
        state.ended.is_some() || state.session.is_used_up()
    }

    /// How many of its streams the peer has not heard of.
    pub fn unannounced(&self) -> usize {
        self.0.shared.state.lock().session.unannounced()
    }

    /// Says how many streams are open, whenever it is asked.
    pub fn count(&self) -> impl Fn() -> usize + Send + use<> {
        self.0.count()
    }

    /// Ends the session with all its streams.
    pub fn end(&self, ending: Ending) {
        self.0.end(ending);
    }
}

impl Acceptor {
    /// Begins a session. Call it from within the runtime.
    pub fn start(carrier: BoxIo, config: MuxConfig) -> Self {
        let (acceptor, session) = Self::begin(carrier, config, None, Account::default());
        spawn(session);
        acceptor
    }

    /// The same, with the session's task for the caller to spawn; it gives what broke the session, if
    /// it did not end in order. `metrics` counts the streams that are reset because what nobody read
    /// of them kept the others waiting.
    pub fn begin(
        carrier: BoxIo,
        config: MuxConfig,
        metrics: Option<ServiceMetrics>,
        memory: Account,
    ) -> (Self, impl Future<Output = Option<io::Error>> + Send + use<>) {
        let (holder, session) = begin(carrier, config, Role::Server, metrics, memory);
        (Self(holder), session)
    }

    /// The next stream; `None` when the session is over.
    pub async fn accept(&mut self) -> Option<BoxIo> {
        let shared = &self.0.shared;
        let id = poll_fn(|cx| shared.with(|state, _| state.session.poll_accept(cx))).await?;
        Some(Box::new(MuxStream::new(shared.clone(), id)))
    }

    /// Says how many streams are open, whenever it is asked.
    pub fn count(&self) -> impl Fn() -> usize + Send + use<> {
        self.0.count()
    }

    /// Ends the session with all its streams.
    pub fn end(&self, ending: Ending) {
        self.0.end(ending);
    }
}

/// Returns when `stop` is cancelled and there has been no stream for a second: how long a session of
/// a service that is stopping may be idle.
pub async fn vacant(stop: &CancellationToken, streams: impl Fn() -> usize) {
    stop.cancelled().await;
    let mut empty = Duration::ZERO;
    while empty < VACANT {
        sleep(LOOK).await;
        empty = if streams() == 0 { empty + LOOK } else { Duration::ZERO };
    }
}

/// The session's task belongs to the carrier: it ends with it, and at the latest when the last
/// stream does, which is what a drain waits for.
#[allow(clippy::disallowed_methods)]
fn spawn(session: impl Future<Output = Option<io::Error>> + Send + 'static) {
    tokio::spawn(session);
}

fn begin(
    carrier: BoxIo,
    config: MuxConfig,
    role: Role,
    metrics: Option<ServiceMetrics>,
    memory: Account,
) -> (Arc<Holder>, impl Future<Output = Option<io::Error>> + Send + use<>) {
    let options = Options {
        version: config.version,
        keepalive: config.keepalive,
        max_frame: config.max_frame_size,
        receive_buffer: config.max_receive_buffer,
        stream_buffer: config.max_stream_buffer,
        accepts: role == Role::Server,
    };
    let state = State {
        session: Session::new(role, options),
        memory,
        gathered: 0,
        task: None,
        held: true,
        ending: None,
        ended: None,
    };
    let shared = Arc::new(Shared { state: Mutex::new(state), began: Instant::now() });
    (Arc::new(Holder { shared: shared.clone() }), driver::run(carrier, shared, metrics))
}

/// Who may open or accept. Dropping the last one lets the session end with its streams.
struct Holder {
    shared: Arc<Shared>,
}

impl Holder {
    fn count(&self) -> impl Fn() -> usize + Send + use<> {
        let shared = self.shared.clone();
        move || shared.state.lock().session.streams()
    }

    fn end(&self, ending: Ending) {
        self.shared.with(|state, _| state.ending = Some(ending));
        self.shared.wake();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.shared.with(|state, now| {
            state.held = false;
            state.session.stop_accepting(now);
        });
    }
}

/// Where the streams and the session's task meet.
struct Shared {
    state: Mutex<State>,
    began: Instant,
}

struct State {
    session: Session<Pieces>,
    /// What waits in it, among what waits in the process.
    memory: Account,
    /// What the session's task keeps in memory.
    gathered: usize,
    /// The session's task.
    task: Option<Waker>,
    /// Somebody may open or accept.
    held: bool,
    /// The session is to be ended.
    ending: Option<Ending>,
    /// It has ended, for this reason.
    ended: Option<io::ErrorKind>,
}

impl Shared {
    /// Works on the state, then wakes whoever has something to do by that, outside the lock.
    fn with<R>(&self, work: impl FnOnce(&mut State, Time) -> R) -> R {
        let (result, task) = self.carry(|state, now| {
            let result = work(state, now);
            (result, if state.session.take_work() { state.task.take() } else { None })
        });
        if let Some(task) = task {
            task.wake();
        }
        result
    }

    /// The same from within the session's task, which sees its own work.
    fn carry<R>(&self, work: impl FnOnce(&mut State, Time) -> R) -> R {
        let now = self.began.elapsed();
        let mut state = self.state.lock();
        let result = work(&mut state, now);
        let wakes = state.session.take_wakes();
        let held = state.session.footprint() + state.gathered;
        state.memory.hold(held);
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        result
    }

    /// Wakes the session's task.
    fn wake(&self) {
        let task = self.state.lock().task.take();
        if let Some(task) = task {
            task.wake();
        }
    }
}
