//! The stream of one source.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};

use parking_lot::Mutex;

use super::Shared;
use crate::io::{Chunk, Io};
use crate::net::udp::too_long;

/// A source that has a stream.
pub(super) struct Source {
    pub(super) addr: SocketAddr,
    pub(super) queue: Mutex<Queue>,
}

/// What of it waits.
#[derive(Default)]
pub(super) struct Queue {
    datagrams: VecDeque<Box<[u8]>>,
    reader: Option<Waker>,
    /// Its stream is gone: nobody would take anything out again.
    over: bool,
}

impl Source {
    /// Whether there was a place, and a stream to read it.
    pub(super) fn push(&self, datagram: &[u8], places: usize) -> bool {
        let mut queue = self.queue.lock();
        if queue.over || queue.datagrams.len() >= places {
            return false;
        }
        queue.datagrams.push_back(datagram.into());
        let reader = queue.reader.take();
        drop(queue);
        reader.into_iter().for_each(Waker::wake);
        true
    }
}

impl Source {
    /// Drops what waits; how many datagrams, and how many bytes.
    pub(super) fn clear(&self) -> (usize, usize) {
        let rest = std::mem::take(&mut self.queue.lock().datagrams);
        (rest.len(), rest.iter().map(|datagram| datagram.len()).sum())
    }
}

/// Datagrams to and from one source.
pub(super) struct SourceIo {
    shared: Arc<Shared>,
    source: Arc<Source>,
    /// The first answer ends it, as in GOST without `keepalive`: what the source sends after that
    /// begins a new stream. More answers may follow until the stream has been silent for a while.
    one_answer: bool,
    /// Nothing more goes to this stream.
    closed: bool,
    touched: bool,
    /// While the socket's buffer is full.
    writable: Option<Writable>,
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl SourceIo {
    pub(super) fn new(shared: Arc<Shared>, source: Arc<Source>, one_answer: bool) -> Self {
        shared.streams.fetch_add(1, Ordering::AcqRel);
        shared.untouched.fetch_add(1, Ordering::AcqRel);
        Self { shared, source, one_answer, closed: false, touched: false, writable: None }
    }

    /// Sends what comes now from the source to nobody, or to a new stream.
    fn close(&mut self) {
        self.closed = true;
        let mut sources = self.shared.sources.lock();
        if sources.get(&self.source.addr).is_some_and(|known| Arc::ptr_eq(known, &self.source)) {
            sources.remove(&self.source.addr);
        }
    }

    fn touch(&mut self) {
        if !std::mem::replace(&mut self.touched, true) {
            self.shared.untouched.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for SourceIo {
    fn drop(&mut self) {
        self.close();
        self.touch();
        let rest = {
            let mut queue = self.source.queue.lock();
            queue.over = true;
            std::mem::take(&mut queue.datagrams)
        };
        let rest = rest.iter().map(|datagram| datagram.len()).sum();
        self.shared.waiting.fetch_sub(rest, Ordering::AcqRel);
        self.shared.tell();
        self.shared.streams.fetch_sub(1, Ordering::AcqRel);
        self.shared.ended.notify_one();
    }
}

impl Io for SourceIo {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        self.touch();
        let mut queue = self.source.queue.lock();
        match queue.datagrams.pop_front() {
            Some(datagram) => {
                self.shared.waiting.fetch_sub(datagram.len(), Ordering::AcqRel);
                self.shared.tell();
                *chunk = Chunk::from_slice(&datagram);
                Poll::Ready(Ok(()))
            }
            None if self.closed => Poll::Ready(Ok(())),
            None => {
                queue.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if chunk.is_empty() {
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Some(writable) = &mut self.writable {
                ready!(writable.as_mut().poll(cx))?;
                self.writable = None;
            }
            match self.shared.socket.try_send_to(chunk.data(), self.source.addr) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let shared = self.shared.clone();
                    self.writable = Some(Box::pin(async move { shared.socket.writable().await }));
                    continue;
                }
                Err(e) if !too_long(&e) => return Poll::Ready(Err(e)),
                _ => {}
            }
            chunk.release();
            if self.one_answer && !self.closed {
                self.close();
                // The end of reading is news.
                let reader = self.source.queue.lock().reader.take();
                reader.into_iter().for_each(Waker::wake);
            }
            return Poll::Ready(Ok(()));
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close_write(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    crate::io::lies_on_nothing!();
}
