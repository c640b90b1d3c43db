//! Buffers that a thread's tunnels share: last in, first out, so that they stay in the cache.

use std::cell::RefCell;

use super::HEADROOM;

/// What a read asks for first, in bytes.
pub(super) const SMALL: usize = 64 * 1024;
/// What a read asks for once a small buffer was filled: a quarter of a second-level cache.
pub(super) const LARGE: usize = 256 * 1024;

/// Idle buffers that a thread keeps of each size: 2 MiB and 4 MiB.
const KEEP_SMALL: usize = 32;
const KEEP_LARGE: usize = 16;

struct Pool {
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { small: Vec::new(), large: Vec::new() }) };
}

/// A buffer with room for the headroom and `SMALL` or `LARGE` bytes; its content is arbitrary.
pub(super) fn take(large: bool) -> Box<[u8]> {
    let kept = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if large { pool.large.pop() } else { pool.small.pop() }
    });
    let size = HEADROOM + if large { LARGE } else { SMALL };
    kept.ok().flatten().unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

/// Gives a buffer back; it is freed when enough of its size are idle.
pub(super) fn give(buffer: Box<[u8]>) {
    // A thread that is ending has no pool any more; then the buffer is just freed.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        let (list, keep) = if buffer.len() > HEADROOM + SMALL {
            (&mut pool.large, KEEP_LARGE)
        } else {
            (&mut pool.small, KEEP_SMALL)
        };
        if list.len() < keep {
            list.push(buffer);
        }
    });
}
