//! A piece of a stream in a pooled buffer, with room before it for a frame header.

use std::ops::Range;

use super::pool::{self, LARGE, SMALL};

/// Bytes before a chunk's data that a layer may write its header into.
pub const HEADROOM: usize = 64;

/// Bytes behind what a read may fill, for what a layer adds to it: the headers of a read's mux
/// frames, the overhead of its TLS records. So what was one read is one write.
pub(super) const TAILROOM: usize = 1024;

/// The bytes of one read on their way to one write.
///
/// An empty chunk owns no memory: the buffer is taken from the thread's pool when a read begins
/// and goes back when the data is gone. So an idle tunnel owns no buffer.
#[derive(Default)]
pub struct Chunk {
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
    /// Buffers that will be large, unless a read fills one meanwhile: then it begins anew.
    large: u8,
}

/// Small reads in a row after which buffers are small again. Frames that are a little longer than a
/// buffer leave a small read behind each large one.
const PATIENCE: u8 = 4;

impl Chunk {
    /// An empty chunk.
    pub const fn new() -> Self {
        Self { buffer: None, start: 0, end: 0, large: 0 }
    }

    /// A chunk with these bytes. More than a large buffer holds gets one of its own.
    pub fn from_slice(bytes: &[u8]) -> Self {
        let mut chunk = Self::new();
        if bytes.is_empty() {
            return chunk;
        }
        if bytes.len() > LARGE {
            let mut buffer = vec![0; HEADROOM];
            buffer.extend_from_slice(bytes);
            let (start, end) = (HEADROOM, buffer.len());
            return Self { buffer: Some(buffer.into()), start, end, large: 0 };
        }
        chunk.prefer_large(bytes.len() > SMALL);
        chunk.append(bytes);
        chunk.prefer_large(false);
        chunk
    }

    /// The bytes.
    pub fn data(&self) -> &[u8] {
        self.buffer.as_deref().and_then(|b| b.get(self.start..self.end)).unwrap_or_default()
    }

    /// The bytes, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        let range = self.start..self.end;
        self.buffer.as_deref_mut().and_then(|b| b.get_mut(range)).unwrap_or_default()
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What it keeps in memory, in bytes: its buffer.
    pub fn footprint(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.len())
    }

    /// Room for a read, behind the data. Takes a buffer if there is none.
    pub fn spare(&mut self) -> &mut [u8] {
        self.room(TAILROOM)
    }

    /// How much [`append`](Self::append) would copy. Takes a buffer if there is none.
    pub fn free(&mut self) -> usize {
        self.room(0).len()
    }

    fn room(&mut self, tail: usize) -> &mut [u8] {
        if self.buffer.is_none() {
            (self.start, self.end) = (HEADROOM, HEADROOM);
        }
        let large = self.large > 0;
        let buffer = self.buffer.get_or_insert_with(|| pool::take(large));
        let end = buffer.len().saturating_sub(tail);
        buffer.get_mut(self.end..end).unwrap_or_default()
    }

    /// Asks that the next buffer be a large one, or a small one.
    pub fn prefer_large(&mut self, large: bool) {
        self.large = if large { PATIENCE } else { 0 };
    }

    /// Says that a read put `n` bytes into the room that [`spare`](Self::spare) gave. The next
    /// buffers will be large if this one was filled, and small again after a few small reads.
    pub fn filled(&mut self, n: usize) {
        let room =
            self.buffer.as_deref().map_or(0, |b| b.len().saturating_sub(self.end + TAILROOM));
        self.end += n.min(room);
        self.large = match self.large {
            _ if n == room => PATIENCE,
            1.. if n > SMALL / 2 => PATIENCE,
            patience => patience.saturating_sub(1),
        };
        if self.is_empty() {
            self.release();
        }
    }

    /// Copies as much of `bytes` behind the data as there is room for, and says how much.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let room = self.room(0);
        let n = bytes.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..n), bytes.get(..n)) {
            to.copy_from_slice(from);
        }
        self.end += n;
        n
    }

    /// Drops `n` bytes from the front. The last byte takes the buffer with it.
    pub fn consume(&mut self, n: usize) {
        self.start += n.min(self.len());
        if self.is_empty() {
            self.release();
        }
    }

    /// Takes `n` bytes from the front; all of them without a copy.
    pub fn split_to(&mut self, n: usize) -> Self {
        if n >= self.len() {
            return std::mem::take(self);
        }
        let front = Self::from_slice(self.data().get(..n).unwrap_or_default());
        self.consume(n);
        front
    }

    /// Writes `header` before the data, into a new buffer if there is no room for it in this one.
    pub fn prefix(&mut self, header: &[u8]) {
        if !self.prepend(header) {
            *self = Self::from_slice(&[header, self.data()].concat());
        }
    }

    /// Keeps only these bytes of the data.
    pub fn keep(&mut self, range: Range<usize>) {
        let end = (self.start + range.end).min(self.end);
        self.start = (self.start + range.start).min(end);
        self.end = end;
        if self.is_empty() {
            self.release();
        }
    }

    /// Writes `header` just before the data; `false` if there is no room for it.
    #[must_use]
    pub fn prepend(&mut self, header: &[u8]) -> bool {
        let Some(start) = self.start.checked_sub(header.len()) else { return false };
        let range = start..self.start;
        let Some(room) = self.buffer.as_deref_mut().and_then(|b| b.get_mut(range)) else {
            return false;
        };
        room.copy_from_slice(header);
        self.start = start;
        true
    }

    /// Moves the bytes out. The next buffer will be as large as if they had been consumed.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let mut next = Self::new();
        next.large = self.large;
        std::mem::replace(self, next)
    }

    /// Gives the buffer back, and what is in it.
    pub fn release(&mut self) {
        if let Some(buffer) = self.buffer.take()
            && (buffer.len() == pool::size(false) || buffer.len() == pool::size(true))
        {
            pool::give(buffer);
        }
        (self.start, self.end) = (0, 0);
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_chunk_owns_no_buffer() {
        let mut chunk = Chunk::from_slice(b"hello");
        chunk.consume(5);
        assert!(chunk.buffer.is_none());
        chunk.spare();
        chunk.filled(0);
        assert!(chunk.buffer.is_none());
    }

    #[test]
    fn a_filled_buffer_makes_the_next_one_large() {
        let mut chunk = Chunk::new();
        let room = chunk.spare().len();
        assert_eq!(room, SMALL);
        chunk.filled(room);
        chunk.consume(room);
        for _ in 0..PATIENCE {
            assert_eq!(chunk.spare().len(), LARGE);
            chunk.filled(10);
            chunk.consume(10);
        }
        assert_eq!(chunk.spare().len(), SMALL);
    }

    #[test]
    fn a_header_goes_before_the_data_without_a_copy() {
        let mut chunk = Chunk::from_slice(b"data");
        assert!(chunk.prepend(b"head"));
        assert_eq!(chunk.data(), b"headdata");
        assert!(!chunk.prepend(&[0; HEADROOM]));
        chunk.keep(4..6);
        assert_eq!(chunk.data(), b"da");
        chunk.prefix(&[0; HEADROOM + 1]);
        assert_eq!(chunk.len(), HEADROOM + 3);
        assert!(chunk.prepend(b"head"), "a new buffer has its own headroom");
        assert_eq!(chunk.split_to(5).data(), b"head\0");
        assert_eq!(chunk.len(), HEADROOM + 2);
    }

    #[test]
    fn more_than_a_large_buffer_fits_into_a_chunk_of_its_own() {
        let bytes = vec![7; LARGE + 1];
        let mut chunk = Chunk::from_slice(&bytes);
        assert_eq!(chunk.data(), bytes);
        assert!(chunk.prepend(&[1; HEADROOM]));
        assert_eq!(Chunk::from_slice(&bytes[..SMALL + 1]).len(), SMALL + 1);
    }
}
