//! What one request of a client may cost, and has cost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Route;
use crate::base::{Bound, Origin};
use crate::gate::bypass::Verdicts;

/// Attempts after the first one, of a tunnel of a cluster.
pub const MAX_RETRIES: u32 = 10;

/// Connections that one request of a tunnel of a cluster may ask for, at all nodes and targets and in
/// all attempts. A try through several hops counts each of them.
pub const MAX_DIALS: u32 = 32;

/// A request on its way.
pub(super) struct Request {
    /// Files and the command line have GOST's freedom.
    bounded: bool,
    dials: AtomicU32,
    /// Who asks; nobody for a port of a node.
    pub(super) client: Option<SocketAddr>,
    /// What bypasses said of its target.
    pub(super) verdicts: Verdicts,
}

impl Request {
    pub(super) fn new(origin: &Origin, client: Option<SocketAddr>) -> Self {
        let bounded = matches!(origin, Origin::Tunnel { .. });
        Self { bounded, dials: AtomicU32::new(0), client, verdicts: Verdicts::default() }
    }

    /// As many attempts after the first one as there are.
    pub(super) fn retries(&self, configured: u32) -> u32 {
        if self.bounded { configured.min(MAX_RETRIES) } else { configured }
    }

    /// Whether a try of so many dials may begin; the first one always may.
    pub(super) fn takes(&self, dials: usize, route: &Route) -> bool {
        let dials = u32::try_from(dials.max(1)).unwrap_or(u32::MAX);
        // One task has the request.
        let before = self.dials.load(Ordering::Relaxed);
        let after = before.saturating_add(dials);
        if !self.bounded || before == 0 || after <= MAX_DIALS {
            self.dials.store(after, Ordering::Relaxed);
            return true;
        }
        if before < u32::MAX && route.metrics.bound_reached(Bound::Dials) {
            tracing::warn!(
                service = %route.metrics.key(), dials = MAX_DIALS,
                "a request ends without a connection: it has used up its dials; look at the nodes \
                 and at retries"
            );
        }
        // What is left of its attempts ends too, and counts no more.
        self.dials.store(u32::MAX, Ordering::Relaxed);
        false
    }
}
