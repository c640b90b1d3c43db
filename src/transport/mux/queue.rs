//! The bytes of one direction of a stream.

use std::collections::VecDeque;

use crate::io::Chunk;
use crate::proto::smux::Queue;

/// Pieces from this size on are worth a pooled buffer; smaller ones share one that is as large as
/// they are, so that a peer who sends single bytes on many streams costs single bytes.
const BULK: usize = 16 * 1024;

/// Unread bytes from which on a large buffer is worth it.
const BEHIND: usize = 64 * 1024;

/// Pooled buffers, then small pieces behind them.
#[derive(Default)]
pub(super) struct Pieces {
    chunks: VecDeque<Chunk>,
    tail: Vec<u8>,
    /// Bytes of the tail that were taken.
    taken: usize,
    len: usize,
    /// What the chunks keep in memory.
    kept: usize,
    /// The last piece that was taken out was much, so the next one will be.
    bulk: bool,
}

impl Pieces {
    /// Moves a chunk in; a small one is copied, and its buffer is free again.
    pub(super) fn push_chunk(&mut self, chunk: &mut Chunk) {
        if chunk.len() < BULK {
            self.push(chunk.data());
            chunk.release();
            return;
        }
        self.settle();
        self.len += chunk.len();
        let chunk = chunk.take();
        self.put(chunk);
    }

    /// Moves the first bytes into an empty chunk; how many.
    pub(super) fn pop_into(&mut self, chunk: &mut Chunk) -> usize {
        if let Some(first) = self.chunks.pop_front() {
            self.kept = self.kept.saturating_sub(first.footprint());
            *chunk = first;
        } else {
            let n = chunk.append(self.tail.get(self.taken..).unwrap_or_default());
            self.drop_tail(n);
        }
        self.len -= chunk.len().min(self.len);
        self.bulk = chunk.len() >= BEHIND;
        chunk.len()
    }

    fn put(&mut self, chunk: Chunk) {
        self.kept += chunk.footprint();
        self.chunks.push_back(chunk);
    }

    fn drop_tail(&mut self, n: usize) {
        self.taken += n;
        if self.taken >= self.tail.len() {
            (self.tail, self.taken) = (Vec::new(), 0);
        }
    }

    /// The tail becomes a chunk, because something comes behind it.
    fn settle(&mut self) {
        let rest = self.tail.get(self.taken..).unwrap_or_default();
        if !rest.is_empty() {
            let chunk = Chunk::from_slice(rest);
            self.put(chunk);
        }
        (self.tail, self.taken) = (Vec::new(), 0);
    }
}

impl Queue for Pieces {
    fn len(&self) -> usize {
        self.len
    }

    fn footprint(&self) -> usize {
        self.kept + self.tail.capacity()
    }

    fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        // What belongs to bulk that is coming in goes on where it began.
        if self.tail.is_empty()
            && let Some(last) = self.chunks.back_mut()
        {
            bytes = bytes.get(last.append(bytes)..).unwrap_or_default();
        }
        if bytes.is_empty() {
            return;
        }
        if bytes.len() < BULK && self.tail.len() < BULK {
            self.tail.extend_from_slice(bytes);
            return;
        }
        self.settle();
        while !bytes.is_empty() {
            let mut chunk = Chunk::new();
            // A reader that is behind takes more at once.
            chunk.prefer_large(self.bulk || self.len - bytes.len() >= BEHIND);
            let n = chunk.append(bytes);
            self.put(chunk);
            bytes = bytes.get(n..).unwrap_or_default();
        }
    }

    fn take(&mut self, mut n: usize, put: &mut dyn FnMut(&[u8])) {
        self.len -= n.min(self.len);
        while n > 0
            && let Some(first) = self.chunks.front_mut()
        {
            let (piece, footprint) = (n.min(first.len()), first.footprint());
            put(first.data().get(..piece).unwrap_or_default());
            first.consume(piece);
            if first.is_empty() {
                self.kept = self.kept.saturating_sub(footprint);
                self.chunks.pop_front();
            }
            n -= piece;
        }
        if n > 0 {
            let end = self.tail.len().min(self.taken + n);
            let rest = self.tail.get(self.taken..end).unwrap_or_default();
            put(rest);
            let n = rest.len();
            self.drop_tail(n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_whatever_the_sizes() {
        let mut pieces = Pieces::default();
        let (mut wanted, mut got) = (Vec::new(), Vec::new());
        for (round, size) in [1, 9, 20_000, 5, 70_000, 3, 16_384, 15_000, 2_000, 300_000, 1]
            .into_iter()
            .cycle()
            .take(60)
            .enumerate()
        {
            let bytes: Vec<u8> = (0..size).map(|i: usize| (i + round) as u8).collect();
            wanted.extend_from_slice(&bytes);
            if round % 2 == 0 {
                pieces.push(&bytes);
            } else {
                pieces.push_chunk(&mut Chunk::from_slice(&bytes));
            }
            if round % 3 == 0 {
                pieces.take(size / 2, &mut |piece| got.extend_from_slice(piece));
            } else if round % 3 == 1 {
                let mut chunk = Chunk::new();
                pieces.pop_into(&mut chunk);
                got.extend_from_slice(chunk.data());
            }
            assert_eq!(pieces.len(), wanted.len() - got.len());
            let chunks: usize = pieces.chunks.iter().map(Chunk::footprint).sum();
            assert_eq!(pieces.footprint(), chunks + pieces.tail.capacity());
            assert!(pieces.footprint() >= pieces.len());
        }
        let rest = pieces.len();
        pieces.take(rest, &mut |piece| got.extend_from_slice(piece));
        assert!(wanted == got && pieces.is_empty());
        assert_eq!(pieces.footprint(), 0);
    }

    #[test]
    fn small_pieces_own_no_pooled_buffer() {
        let mut pieces = Pieces::default();
        for _ in 0..1000 {
            pieces.push_chunk(&mut Chunk::from_slice(b"x"));
        }
        assert!(pieces.chunks.is_empty() && pieces.tail.capacity() < 4096);
    }
}
