//! The bytes that wait in queues of the process, and who gives theirs up when there are too many.
//!
//! Tenants share one [`Budget`]. A namespace may hold at most half of what the others leave of it: the
//! dynamic threshold by which switches share a buffer among their ports (Choudhury and Hahne, 1998). So
//! nobody can use the budget up, and whoever is alone may use much. When a namespace grows beyond its
//! part, the largest account of the largest namespace is shed, then the next one, until it is within its
//! part again. A namespace that holds less than the largest one loses nothing.
//!
//! An account is a mux session, a stream in a pipe, or the queues of a UDP port. It tells of changes of
//! at least [`STEP`] bytes, so the data path shares no counter per frame.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::Alarm;
use crate::base::Bound;
use crate::metrics::Metrics;

/// The smallest change that an account tells of, in bytes.
pub const STEP: usize = 16 * 1024;

/// Bytes that may wait in queues of the process. Clones share it.
#[derive(Clone, Default)]
pub struct Budget(Option<Arc<Shared>>);

struct Shared {
    bytes: usize,
    used: AtomicUsize,
    namespaces: Mutex<HashMap<String, Arc<Namespace>>>,
    /// Who is shed is chosen by one thread at a time.
    choosing: Mutex<()>,
    alarm: Alarm,
}

struct Namespace {
    used: AtomicUsize,
    accounts: Mutex<HashMap<u64, Arc<Entry>>>,
    next: AtomicU64,
}

struct Entry {
    /// `None` once it is shed.
    used: Mutex<Option<usize>>,
    shed: AtomicBool,
    waker: AtomicWaker,
    tunnel: Arc<str>,
}

/// A tunnel's access to the budget. Clones are the same.
#[derive(Clone, Default)]
pub struct Share(Option<Arc<Tunnel>>);

struct Tunnel {
    budget: Arc<Shared>,
    namespace: Arc<Namespace>,
    name: Arc<str>,
}

/// What one session, stream or port holds. Dropping it gives everything back.
#[derive(Default)]
pub struct Account(Option<Open>);

struct Open {
    tunnel: Arc<Tunnel>,
    id: u64,
    entry: Arc<Entry>,
    /// What it told.
    told: usize,
}

impl Budget {
    /// So many bytes for all.
    pub fn new(bytes: usize, metrics: &Metrics) -> Self {
        Self(Some(Arc::new(Shared {
            bytes,
            used: AtomicUsize::new(0),
            namespaces: Mutex::default(),
            choosing: Mutex::default(),
            alarm: Alarm::new(Bound::QueuedBytes, metrics),
        })))
    }

    /// Everybody may hold what there is: where there are no tenants.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// What the accounts hold, in bytes; 0 without a limit.
    pub fn used(&self) -> usize {
        self.0.as_ref().map_or(0, |shared| shared.used.load(Ordering::Relaxed))
    }

    /// The access of a tunnel. `name` is for the log.
    pub fn share(&self, namespace: &str, name: &str) -> Share {
        let Some(budget) = self.0.clone() else { return Share::default() };
        let mut namespaces = budget.namespaces.lock();
        namespaces.retain(|_, namespace| Arc::strong_count(namespace) > 1);
        let namespace = namespaces.entry(namespace.into()).or_insert_with(|| {
            Arc::new(Namespace {
                used: AtomicUsize::new(0),
                accounts: Mutex::default(),
                next: AtomicU64::new(0),
            })
        });
        let namespace = namespace.clone();
        drop(namespaces);
        Share(Some(Arc::new(Tunnel { budget, namespace, name: name.into() })))
    }
}

impl Shared {
    /// The most that a namespace may hold now.
    fn part(&self, namespace: &Namespace) -> usize {
        let own = namespace.used.load(Ordering::Relaxed);
        let others = self.used.load(Ordering::Relaxed).saturating_sub(own);
        self.bytes.saturating_sub(others) / 2
    }

    fn is_over(&self, namespace: &Namespace) -> bool {
        namespace.used.load(Ordering::Relaxed) > self.part(namespace)
    }

    /// Sheds accounts until the namespace is within its part.
    fn relieve(&self, grown: &Arc<Namespace>) {
        let _choosing = self.choosing.lock();
        while self.is_over(grown) {
            let mut largest = grown.clone();
            for other in self.namespaces.lock().values() {
                if other.used.load(Ordering::Relaxed) > largest.used.load(Ordering::Relaxed) {
                    largest = other.clone();
                }
            }
            let Some(entry) = largest.largest() else { return };
            let Some(bytes) = entry.used.lock().take() else { return };
            largest.used.fetch_sub(bytes, Ordering::Relaxed);
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            entry.shed.store(true, Ordering::Release);
            entry.waker.wake();
            let tunnel = &*entry.tunnel;
            if let Some(count) = self.alarm.raise() {
                tracing::warn!(
                    tunnel,
                    bytes,
                    count,
                    "queues hold too much of --memory-budget: the largest session was ended"
                );
            } else {
                tracing::debug!(tunnel, bytes, "queues hold too much: a session was ended");
            }
        }
    }
}

impl Namespace {
    fn largest(&self) -> Option<Arc<Entry>> {
        let accounts = self.accounts.lock();
        let used = |entry: &Arc<Entry>| entry.used.lock().filter(|used| *used > 0);
        let sized = accounts.values().filter_map(|entry| Some((used(entry)?, entry)));
        sized.max_by_key(|(used, _)| *used).map(|(_, entry)| entry.clone())
    }
}

impl Share {
    /// An account that holds nothing.
    pub fn open(&self) -> Account {
        let Some(tunnel) = self.0.clone() else { return Account(None) };
        let id = tunnel.namespace.next.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(Entry {
            used: Mutex::new(Some(0)),
            shed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            tunnel: tunnel.name.clone(),
        });
        tunnel.namespace.accounts.lock().insert(id, entry.clone());
        Account(Some(Open { tunnel, id, entry, told: 0 }))
    }

    /// Whether accounts count.
    pub fn is_limited(&self) -> bool {
        self.0.is_some()
    }
}

impl Account {
    /// Says how many bytes it holds now.
    pub fn hold(&mut self, bytes: usize) {
        let Some(open) = &mut self.0 else { return };
        let emptied = bytes == 0 && open.told > 0;
        if bytes.abs_diff(open.told) >= STEP || emptied {
            open.tell(bytes);
        }
    }

    /// Ready when it must give up what it holds: somebody else needs it.
    pub fn poll_shed(&self, cx: &Context<'_>) -> Poll<()> {
        let Some(open) = &self.0 else { return Poll::Pending };
        let is_shed = || open.entry.shed.load(Ordering::Acquire);
        if !is_shed() {
            open.entry.waker.register(cx.waker());
        }
        if is_shed() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Open {
    fn tell(&mut self, bytes: usize) {
        let Tunnel { budget, namespace, .. } = &*self.tunnel;
        let grown = {
            let mut used = self.entry.used.lock();
            // What was shed is not counted any more.
            let Some(used) = used.as_mut() else { return };
            let before = std::mem::replace(used, bytes);
            // Wraps around where it shrinks.
            let change = bytes.wrapping_sub(before);
            namespace.used.fetch_add(change, Ordering::Relaxed);
            budget.used.fetch_add(change, Ordering::Relaxed);
            bytes > before
        };
        self.told = bytes;
        if grown && budget.is_over(namespace) {
            budget.relieve(namespace);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.tell(0);
        self.tunnel.namespace.accounts.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
