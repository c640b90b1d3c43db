//! The limits of a class: so many connections of one tunnel, so many of its namespace.
//!
//! They count from the moment at which a client's request is finished: see [`Entry`](super::Entry). A
//! stream of a mux session is a connection, and a session without streams is one too: it has a socket
//! and buffers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::Refused;
use super::entry::OF_NAMESPACE;
use super::sources::Sources;
use crate::config::model::Terms;

/// What a namespace has open, of all its tunnels.
#[derive(Debug)]
pub struct Namespace {
    connections: AtomicU32,
    unrequested: Arc<Sources>,
}

impl Default for Namespace {
    fn default() -> Self {
        let unrequested = Sources::new(OF_NAMESPACE, usize::MAX);
        Self { connections: AtomicU32::new(0), unrequested }
    }
}

/// One tunnel's part of the process, as long as it has a service or an open connection.
#[derive(Debug)]
pub struct Tenant {
    terms: ArcSwap<Terms>,
    open: AtomicU32,
    namespace: Arc<Namespace>,
}

/// A connection's place in its tunnel and namespace. Dropping it gives it back.
#[derive(Debug)]
pub struct Seat(Arc<Tenant>);

impl Tenant {
    /// A tunnel without connections.
    pub fn new(terms: Arc<Terms>, namespace: Arc<Namespace>) -> Self {
        Self { terms: ArcSwap::new(terms), open: AtomicU32::new(0), namespace }
    }

    /// Goes by these terms from the next connection on. Open ones stay, and count.
    pub fn set_terms(&self, terms: Arc<Terms>) {
        self.terms.store(terms);
    }

    /// Its terms.
    pub fn terms(&self) -> Arc<Terms> {
        self.terms.load_full()
    }

    /// `limits.idleTimeout`.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.terms.load().idle_timeout
    }

    /// What of its namespace has no finished request.
    pub(super) fn unrequested(&self) -> &Arc<Sources> {
        &self.namespace.unrequested
    }

    /// A place for one more connection.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn enter(self: &Arc<Self>) -> Result<Seat, Refused> {
        let terms = self.terms.load();
        if !add(&self.open, terms.connections_of_tunnel) {
            return Err(Refused::OfTunnel);
        }
        if !add(&self.namespace.connections, terms.connections_of_namespace) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::OfNamespace);
        }
        Ok(Seat(self.clone()))
    }
}

fn add(count: &AtomicU32, most: u32) -> bool {
    let more = |open: u32| open.checked_add(1).filter(|open| *open <= most);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.namespace.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(tunnel: u32, namespace: u32) -> Arc<Terms> {
        Arc::new(Terms {
            connections_of_tunnel: tunnel,
            connections_of_namespace: namespace,
            ..Terms::default()
        })
    }

    #[test]
    fn a_tunnel_and_its_namespace_have_so_many_places_and_get_them_back() {
        let namespace = Arc::new(Namespace::default());
        let one = Arc::new(Tenant::new(terms(2, 3), namespace.clone()));
        let other = Arc::new(Tenant::new(terms(2, 3), namespace.clone()));
        let neighbour = Arc::new(Tenant::new(terms(2, 3), Arc::default()));
        let (first, _second) = (one.enter().unwrap(), one.enter().unwrap());
        assert_eq!(one.enter().unwrap_err(), Refused::OfTunnel);
        let third = other.enter().unwrap();
        assert_eq!(other.enter().unwrap_err(), Refused::OfNamespace);
        assert!(neighbour.enter().is_ok());
        drop(first);
        assert!(other.enter().is_ok(), "what is refused holds nothing");
        drop(third);
        one.set_terms(terms(1, 3));
        assert_eq!(one.enter().unwrap_err(), Refused::OfTunnel);
        assert_eq!(namespace.connections.load(Ordering::Relaxed), 1);
    }
}
