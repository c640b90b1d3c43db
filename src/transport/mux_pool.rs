//! One session for all streams to a node.

use std::future::Future;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::mux::Opener;
use crate::config::model::MuxConfig;
use crate::io::BoxIo;
use crate::io::memory::Share;

/// No stream to a node.
#[derive(Debug, thiserror::Error)]
pub enum PoolError<E: std::error::Error + 'static> {
    /// The session's carrier could not be had. Everybody who waited for it gets the same error.
    #[error(transparent)]
    Connect(Arc<E>),
    /// The session ended before a stream could be opened on it.
    #[error("the mux session ended at once")]
    Open(#[source] io::Error),
}

/// The session to one node, begun when it is first needed and again when it is dead.
pub struct MuxPool<E>(Mutex<State<E>>);

enum State<E> {
    None,
    /// Somebody connects; ends with the error, with nothing at success, or by being given up.
    Connecting(watch::Receiver<Option<Arc<E>>>),
    Open(Opener),
}

impl<E> Default for MuxPool<E> {
    fn default() -> Self {
        Self(Mutex::new(State::None))
    }
}

/// What one caller is to do.
enum Turn<E> {
    Connect(watch::Sender<Option<Arc<E>>>),
    Wait(watch::Receiver<Option<Arc<E>>>),
    Open(Opener),
}

impl<E: std::error::Error + Send + Sync + 'static> MuxPool<E> {
    /// Opens a stream on the session. If there is none that lives, one of the callers connects and
    /// the others wait for it; should that one be given up, the next one connects. What waits in it is
    /// counted in `memory`. Set a time limit.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn stream(
        &self,
        config: MuxConfig,
        memory: &Share,
        connect: impl Future<Output = Result<BoxIo, E>>,
    ) -> Result<BoxIo, PoolError<E>> {
        let mut connect = Some(connect);
        let mut ended = io::Error::from(io::ErrorKind::ConnectionAborted);
        loop {
            match self.turn() {
                Turn::Open(opener) => match opener.open().await {
                    Ok(stream) => return Ok(stream),
                    // It died in this moment, and nothing was sent on it.
                    Err(e) if connect.is_some() => ended = e,
                    Err(e) => return Err(PoolError::Open(e)),
                },
                Turn::Wait(mut done) => {
                    // An error: whoever connected has succeeded, or was given up.
                    if let Ok(error) = done.wait_for(Option::is_some).await
                        && let Some(error) = error.clone()
                    {
                        return Err(PoolError::Connect(error));
                    }
                }
                Turn::Connect(done) => {
                    let mut place = Place { pool: self, done, state: State::None };
                    let Some(connect) = connect.take() else { return Err(PoolError::Open(ended)) };
                    match connect.await {
                        Ok(carrier) => {
                            let opener = Opener::start_in(carrier, config, memory.open());
                            place.state = State::Open(opener);
                        }
                        Err(e) => {
                            let error = Arc::new(e);
                            place.done.send_replace(Some(error.clone()));
                            return Err(PoolError::Connect(error));
                        }
                    }
                }
            }
        }
    }

    fn turn(&self) -> Turn<E> {
        let mut state = self.0.lock();
        match &*state {
            State::Open(opener) if !opener.is_dead() => return Turn::Open(opener.clone()),
            State::Connecting(done) => return Turn::Wait(done.clone()),
            _ => {}
        }
        let (sender, receiver) = watch::channel(None);
        *state = State::Connecting(receiver);
        Turn::Connect(sender)
    }
}

/// The place of whoever connects. Also when it is dropped half-way, the next one can.
struct Place<'a, E> {
    pool: &'a MuxPool<E>,
    done: watch::Sender<Option<Arc<E>>>,
    state: State<E>,
}

impl<E> Drop for Place<'_, E> {
    fn drop(&mut self) {
        // Before the sender goes, and with it the receivers' wait.
        *self.pool.0.lock() = std::mem::replace(&mut self.state, State::None);
    }
}

#[cfg(test)]
mod tests;
