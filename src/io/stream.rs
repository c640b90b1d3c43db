//! The stream that everything is built of.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

use super::Chunk;

/// How a stream is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was said.
    Finished,
    /// This side goes away before the end (WebSocket: Close 1012, RFC 6455 7.4.1 and IANA).
    Restart,
    /// This side needs what it holds for others (WebSocket: Close 1013).
    Overload,
}

/// A full-duplex byte stream, polled by one task for both directions.
///
/// All methods register the one task's waker; an implementation may write while it is polled for
/// reading (answers to WebSocket pings) and the other way round.
pub trait Io: Send + Unpin + 'static {
    /// Reads into an empty chunk. Ready with the chunk still empty: the peer finished sending.
    /// While it is pending the chunk holds no buffer.
    ///
    /// # Errors
    /// The stream is broken in both directions.
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>>;

    /// Ready when the stream has room for what a write brings, or will say what is wrong with it.
    /// A pipe asks before it reads: what cannot go on stays where it is, and costs no buffer.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Writes the whole chunk; Ready means that it is empty. While it is pending the caller comes
    /// back with the same chunk, whose content may have changed its form (masked, with a header).
    ///
    /// # Errors
    /// Nothing more can be written.
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>>;

    /// Hands everything that was written to the kernel.
    ///
    /// # Errors
    /// Nothing more can be written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Flushes, then tells the peer that nothing more comes (FIN). Reading goes on.
    ///
    /// # Errors
    /// Nothing more can be written.
    fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends both directions with a word of farewell if the protocol has one and there is room for
    /// it. The caller bounds the time, then drops the stream.
    fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()>;

    /// Sends what is due by itself: pings, answers to pings. Never waits.
    ///
    /// # Errors
    /// The peer is silent for longer than it may be.
    fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()>;

    /// After the end of reading: the peer ended both directions, so writing is useless too
    /// (a WebSocket Close frame, unlike a FIN).
    fn peer_closed(&self) -> bool;
}

/// The rest of an [`Io`] that lies on no other one: there is always room, nothing is due by itself, and
/// a FIN is the only farewell.
///
/// The trait has no such defaults, because they would be wrong for whatever lies on another stream, and
/// nobody would notice that it does not pass a question on.
macro_rules! lies_on_nothing {
    () => {
        fn poll_room(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<()> {
            std::task::Poll::Ready(())
        }

        $crate::io::says_no_farewell!();

        fn peer_closed(&self) -> bool {
            false
        }
    };
}

/// The part of [`lies_on_nothing!`] that a stream of a mux session has too.
macro_rules! says_no_farewell {
    () => {
        fn poll_end(
            &mut self,
            cx: &mut std::task::Context<'_>,
            _: $crate::io::Ending,
        ) -> std::task::Poll<()> {
            $crate::io::Io::poll_close_write(self, cx).map(|_| ())
        }

        fn upkeep(&mut self, _: &mut std::task::Context<'_>) -> std::io::Result<()> {
            Ok(())
        }
    };
}

pub(crate) use {lies_on_nothing, says_no_farewell};

/// Ends a stream: [`Io::poll_end`], at most for `within`.
pub async fn ended(io: &mut dyn Io, ending: Ending, within: Duration) {
    let _ = tokio::time::timeout(within, poll_fn(|cx| io.poll_end(cx, ending))).await;
}

impl<T: Io + ?Sized> Io for Box<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        (**self).poll_read(cx, chunk)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        (**self).poll_room(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        (**self).poll_write(cx, chunk)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_flush(cx)
    }

    fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_close_write(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()> {
        (**self).poll_end(cx, ending)
    }

    fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        (**self).upkeep(cx)
    }

    fn peer_closed(&self) -> bool {
        (**self).peer_closed()
    }
}

/// Streams of tokio that are an [`Io`] as they are.
macro_rules! io_of_tokio {
    ($($tokio:ty),*) => {
        $(
        impl Io for $tokio {
            fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
                let mut buf = ReadBuf::new(chunk.spare());
                let result = Pin::new(self).poll_read(cx, &mut buf);
                let read = buf.filled().len();
                match result {
                    Poll::Ready(Ok(())) => {
                        chunk.filled(read);
                        Poll::Ready(Ok(()))
                    }
                    Poll::Ready(Err(e)) => {
                        chunk.release();
                        Poll::Ready(Err(e))
                    }
                    Poll::Pending => {
                        chunk.release();
                        Poll::Pending
                    }
                }
            }

            fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
                while !chunk.is_empty() {
                    let written = ready!(Pin::new(&mut *self).poll_write(cx, chunk.data()))?;
                    if written == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    chunk.consume(written);
                }
                Poll::Ready(Ok(()))
            }

            fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(self).poll_flush(cx)
            }

            fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(self).poll_shutdown(cx)
            }

            lies_on_nothing!();
        }
        )*
    };
}

// A socket, and what stands in for one in tests.
io_of_tokio!(TcpStream, DuplexStream);
