//! Buffers that tunnels share: last in, first out, so that they stay in the cache.
//!
//! Each thread keeps a few. What it has too many of others take: a session's task may read on one
//! thread what its streams' tasks write on another.

use std::cell::RefCell;

use parking_lot::Mutex;

use super::chunk::{HEADROOM, TAILROOM};

/// What a read asks for first, in bytes.
pub(super) const SMALL: usize = 64 * 1024;
/// What a read asks for once a small buffer was filled: a quarter of a second-level cache.
pub(super) const LARGE: usize = 256 * 1024;

/// Idle buffers of each size that a thread keeps, and that all share: 0.5 and 1 MiB, 2 and 4 MiB.
const OWN: Keep = Keep { small: 8, large: 4 };
const SHARED: Keep = Keep { small: 32, large: 16 };

struct Keep {
    small: usize,
    large: usize,
}

struct Pool {
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
}

thread_local! {
    static MINE: RefCell<Pool> = const { RefCell::new(Pool::new()) };
}

static OURS: Mutex<Pool> = Mutex::new(Pool::new());

/// The length of a pooled buffer.
pub(super) const fn size(large: bool) -> usize {
    HEADROOM + if large { LARGE } else { SMALL } + TAILROOM
}

/// A buffer of this [`size`]; its content is arbitrary.
pub(super) fn take(large: bool) -> Box<[u8]> {
    // A thread that is ending has no pool any more.
    let mine = MINE.try_with(|pool| pool.borrow_mut().pop(large)).ok().flatten();
    mine.or_else(|| OURS.lock().pop(large)).unwrap_or_else(|| vec![0; size(large)].into())
}

/// Gives a buffer back; it is freed when enough of its size are idle.
pub(super) fn give(buffer: Box<[u8]>) {
    let mut buffer = Some(buffer);
    let _ = MINE.try_with(|pool| pool.borrow_mut().push(&mut buffer, &OWN));
    if buffer.is_some() {
        OURS.lock().push(&mut buffer, &SHARED);
    }
}

impl Pool {
    const fn new() -> Self {
        Self { small: Vec::new(), large: Vec::new() }
    }

    fn pop(&mut self, large: bool) -> Option<Box<[u8]>> {
        if large { self.large.pop() } else { self.small.pop() }
    }

    /// Takes the buffer if there is room for it.
    fn push(&mut self, buffer: &mut Option<Box<[u8]>>, keep: &Keep) {
        let large = buffer.as_ref().is_some_and(|buffer| buffer.len() == size(true));
        let (list, keep) = match large {
            true => (&mut self.large, keep.large),
            false => (&mut self.small, keep.small),
        };
        if list.len() < keep {
            list.extend(buffer.take());
        }
    }
}
