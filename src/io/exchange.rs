//! A stream while two ends exchange messages on it, before it carries payload.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{AsyncIo, BoxIo, ReadError};
use crate::proto::Wire;

/// A stream whose beginning is a few messages. What comes behind them is kept for the stream.
pub struct Exchange {
    io: AsyncIo,
    /// Read and not yet decoded.
    seen: Vec<u8>,
}

impl Exchange {
    /// Wraps a stream.
    pub fn new(io: BoxIo) -> Self {
        Self { io: AsyncIo::new(io), seen: Vec::new() }
    }

    /// The next message, of at most `limit` bytes. Set a time limit.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read<W: Wire>(&mut self, limit: usize) -> Result<W, ReadError<W::Error>> {
        loop {
            if let Some((value, length)) = W::decode(&self.seen).map_err(ReadError::Malformed)? {
                self.seen.drain(..length);
                return if length > limit { Err(ReadError::TooLong(limit)) } else { Ok(value) };
            }
            if self.seen.len() > limit {
                return Err(ReadError::TooLong(limit));
            }
            if self.io.read_buf(&mut self.seen).await.map_err(ReadError::Io)? == 0 {
                return Err(ReadError::Ended(self.seen.len()));
            }
        }
    }

    /// Writes a message in one piece: GOST drops what comes behind some of them in the same read.
    ///
    /// # Errors
    /// The stream's.
    pub async fn write(&mut self, message: &[u8]) -> io::Result<()> {
        self.io.write_all(message).await?;
        self.io.flush().await
    }

    /// Waits until the peer has finished or broken off, or has sent more than `limit` bytes. What it
    /// sends is kept for whoever goes on. Dropped before it is ready, it loses nothing.
    pub async fn ended(&mut self, limit: usize) {
        while self.seen.len() <= limit {
            if !matches!(self.io.read_buf(&mut self.seen).await, Ok(1..)) {
                return;
            }
        }
    }

    /// [`AsyncIo::departed`].
    pub async fn departed(&mut self) -> io::Error {
        self.io.departed().await
    }

    /// The stream behind the messages.
    pub fn into_io(self) -> BoxIo {
        self.io.into_io(&self.seen)
    }

    /// The stream for a last word: what was read is of no use any more.
    pub fn into_async(self) -> AsyncIo {
        self.io
    }
}
