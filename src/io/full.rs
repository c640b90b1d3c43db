//! A stream without room, for tests of what lies on it.

use std::io;
use std::task::{Context, Poll, Waker};

use super::{Chunk, Io};

/// Takes nothing and gives nothing.
pub(crate) struct Full;

impl Full {
    /// Whether a stream on top of this one says that there is room.
    pub(crate) fn has_room_below(mut io: impl Io) -> bool {
        io.poll_room(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}

impl Io for Full {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut Chunk) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_room(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn poll_write(&mut self, _: &mut Context<'_>, _: &mut Chunk) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_close_write(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    crate::io::says_no_farewell!();

    fn peer_closed(&self) -> bool {
        false
    }
}
