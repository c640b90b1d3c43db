//! One stream of a session.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Shared;
use crate::io::{Chunk, Io};
use crate::proto::smux::StreamError;

/// A stream. Dropping it ends it; what was written before is still sent.
pub(super) struct MuxStream {
    shared: Arc<Shared>,
    id: u32,
}

impl MuxStream {
    pub(super) fn new(shared: Arc<Shared>, id: u32) -> Self {
        Self { shared, id }
    }
}

impl Drop for MuxStream {
    fn drop(&mut self) {
        self.shared.with(|state, now| state.session.release(self.id, now));
    }
}

fn broken(error: StreamError) -> io::Error {
    let kind = match error {
        StreamError::Session | StreamError::Unanswered => io::ErrorKind::ConnectionAborted,
        StreamError::Stalled => io::ErrorKind::ConnectionReset,
        StreamError::Closed => io::ErrorKind::BrokenPipe,
        StreamError::Consumed => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

impl Io for MuxStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        self.shared.with(|state, now| {
            let n = match state.session.poll_read(self.id, cx) {
                Poll::Ready(Ok(Some(queue))) => queue.pop_into(chunk),
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(e)) => return Poll::Ready(Err(broken(e))),
                Poll::Pending => {
                    chunk.release();
                    return Poll::Pending;
                }
            };
            state.session.consumed(self.id, n, now);
            Poll::Ready(Ok(()))
        })
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.with(|state, _| state.session.poll_room(self.id, cx))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if chunk.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.shared.with(|state, _| match state.session.poll_write(self.id, cx) {
            Poll::Ready(Ok(queue)) => {
                let n = chunk.len();
                queue.push_chunk(chunk);
                state.session.written(self.id, n);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(broken(e))),
            Poll::Pending => Poll::Pending,
        })
    }

    /// What was written is the session's task's to send, which sends it at once; what comes behind it
    /// has another frame.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.with(|state, _| state.session.flush(self.id));
        Poll::Ready(Ok(()))
    }

    /// A FIN, in order with the data. Adit's peer goes on sending, GOST's does not:
    /// [`crate::proto::smux`].
    fn poll_close_write(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let finished = self.shared.with(|state, _| state.session.finish(self.id));
        Poll::Ready(finished.map_err(broken))
    }

    crate::io::says_no_farewell!();

    fn peer_closed(&self) -> bool {
        self.shared.state.lock().session.peer_closed(self.id)
    }
}
