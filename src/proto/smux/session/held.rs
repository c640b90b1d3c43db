//! What the holders of streams do: read, write, finish, let go.

use std::task::{Context, Poll};

use super::{
    BULK, Control, Fin, MESSAGE, Queue, Session, StreamError, Time, has_room, register, timers,
};

impl<Q: Queue> Session<Q> {
    /// What can be read; Ready with `None` at the end. Say with [`consumed`](Self::consumed) what
    /// was taken.
    ///
    /// # Errors
    /// The stream did not end as it should.
    pub fn poll_read(
        &mut self,
        id: u32,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<&mut Q>, StreamError>> {
        let ended = self.ended();
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(StreamError::Session));
        };
        if !stream.recv.is_empty() {
            return Poll::Ready(Ok(Some(&mut stream.recv)));
        }
        if let Some(failure) = stream.failure {
            return Poll::Ready(Err(failure));
        }
        if stream.peer.is_some() {
            return Poll::Ready(Ok(None));
        }
        if let Some(ended) = ended {
            return Poll::Ready(Err(ended));
        }
        register(&mut stream.reader, cx);
        Poll::Pending
    }

    /// Says that `n` bytes were read.
    pub fn consumed(&mut self, id: u32, n: usize, now: Time) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.weigh(&mut self.footprint);
        let buffer = self.options.stream_buffer;
        if stream.consumed(n, buffer, now) && self.options.version == 2 && !stream.updating {
            stream.updating = true;
            self.control.push_back(Control::Update(id));
            self.work = true;
        }
        self.give_back(n);
    }

    pub(super) fn give_back(&mut self, n: usize) {
        let blocked = self.tokens <= 0;
        self.tokens += n as i64;
        if blocked && self.tokens > 0 {
            self.stall_due = None;
            self.work = true;
        }
    }

    /// Room for data to be sent; fill it, then say [`written`](Self::written).
    ///
    /// # Errors
    /// Nothing more can be written.
    pub fn poll_write(&mut self, id: u32, cx: &Context<'_>) -> Poll<Result<&mut Q, StreamError>> {
        let ended = self.ended();
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(StreamError::Session));
        };
        if let Some(failure) = stream.failure {
            return Poll::Ready(Err(failure));
        }
        if let Some(ended) = ended {
            return Poll::Ready(Err(ended));
        }
        if stream.is_shut() {
            return Poll::Ready(Err(StreamError::Closed));
        }
        if !has_room(&stream.send, self.unsent) {
            register(&mut stream.writer, cx);
            return Poll::Pending;
        }
        Poll::Ready(Ok(&mut stream.send))
    }

    /// Says that `n` bytes were put where [`poll_write`](Self::poll_write) showed.
    pub fn written(&mut self, id: u32, n: usize) {
        self.recount(id);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.bulk = n >= BULK;
        }
        self.list(id);
    }

    /// What was written is whole. A short message leaves in a frame of its own: some peers drop what
    /// comes behind one in the same read, and a read of GOST's smux ends with the frame.
    pub fn flush(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let unsent = stream.send.len();
        if stream.apart == 0 && unsent <= MESSAGE {
            stream.apart = unsent;
        }
    }

    /// Counts what waits in a stream to be sent, after a change.
    pub(super) fn recount(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.weigh(&mut self.footprint);
        let now = stream.send.len();
        self.unsent =
            (self.unsent + now).saturating_sub(std::mem::replace(&mut stream.unsent, now));
    }

    /// Writes no more: a FIN follows the data. Reading goes on.
    ///
    /// # Errors
    /// The stream is broken.
    pub fn finish(&mut self, id: u32) -> Result<(), StreamError> {
        let ended = self.ended();
        let stream = self.streams.get_mut(&id).ok_or(StreamError::Session)?;
        if let Some(failure) = stream.failure {
            return Err(failure);
        }
        if let Some(ended) = ended {
            return Err(ended);
        }
        if stream.wanted.is_none() {
            // Nothing more will be read either if the peer has ended: a FIN as GOST's says it all.
            let fin = if stream.peer.is_some() { Fin::Full } else { Fin::Half };
            stream.wanted = Some(fin);
        }
        self.list(id);
        Ok(())
    }

    /// Whether the peer neither writes nor reads the stream any more.
    pub fn peer_closed(&self, id: u32) -> bool {
        self.streams.get(&id).is_none_or(|stream| stream.peer == Some(Fin::Full))
    }

    /// Nobody holds the stream any more. What was written is still sent, then a FIN.
    pub fn release(&mut self, id: u32, now: Time) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.released = true;
        stream.wanted = Some(Fin::Full);
        (stream.reader, stream.writer) = (None, None);
        if !stream.fresh {
            stream.sent_at = now;
        }
        let unread = std::mem::take(&mut stream.recv).len();
        let called = std::mem::take(&mut stream.called);
        stream.weigh(&mut self.footprint);
        if stream.is_over() {
            self.remove(id);
        } else if !stream.send.is_empty() {
            self.drain_due.get_or_insert(now + timers::STANDSTILL);
        }
        self.give_back(unread);
        self.list(id);
        if called {
            self.call(1);
        }
        self.work |= self.streams.is_empty();
    }
}
