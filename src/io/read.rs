//! Reading one value off the beginning of a stream.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::proto::Wire;

/// A value that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E: std::error::Error + 'static> {
    /// The stream broke.
    #[error("the stream broke")]
    Io(#[source] io::Error),
    /// The stream ended before the value did; `0` bytes of it had come, or more.
    #[error("the stream ended after {0} bytes")]
    Ended(usize),
    /// It is longer than it may be.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// It is not such a value.
    #[error(transparent)]
    Malformed(E),
}

/// A value, and everything that was read to get it.
pub struct Read<W> {
    /// The value.
    pub value: W,
    /// The bytes that were read: the value's, then what came after it.
    pub bytes: Vec<u8>,
    /// How many of them are the value's.
    pub len: usize,
}

impl<W> Read<W> {
    /// What came after the value.
    pub fn leftover(&self) -> &[u8] {
        self.bytes.get(self.len..).unwrap_or_default()
    }
}

/// Reads one value of at most `limit` bytes. Set a time limit.
///
/// # Errors
/// [`ReadError`].
pub async fn read_wire<W: Wire>(
    io: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Read<W>, ReadError<W::Error>> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        let seen = bytes.len();
        if seen > limit {
            return Err(ReadError::TooLong(limit));
        }
        if io.read_buf(&mut bytes).await.map_err(ReadError::Io)? == 0 {
            return Err(ReadError::Ended(seen));
        }
        // A peer that sends byte by byte must not make us look at everything each time.
        let fresh = bytes.get(seen..).unwrap_or_default();
        if W::LINES && !fresh.contains(&b'\n') {
            continue;
        }
        if let Some((value, len)) = W::decode(&bytes).map_err(ReadError::Malformed)? {
            return if len > limit {
                Err(ReadError::TooLong(limit))
            } else {
                Ok(Read { value, bytes, len })
            };
        }
    }
}
