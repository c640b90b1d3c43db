//! Bytes per second: GOST's `limiter`.
//!
//! `$` is shared by every stream of the service, `$$` belongs to one connection (streams of a
//! multiplexed connection share it), an address or CIDR gives each client address one that its
//! connections share, instead of `$$`. What counts is what the handler reads and writes, without
//! the transport's own bytes. (GOST counts `$` below TLS and WebSocket.)

use std::net::IpAddr;
use std::sync::Arc;

use super::bucket::Bucket;
use super::limits::{Addresses, State};
use crate::config::model::{Limits, Rate};

/// A rate both ways.
pub(super) struct Pair {
    pub(super) up: Option<Bucket>,
    pub(super) down: Option<Bucket>,
    /// Bytes that go in one piece: a sixteenth of a second of the slower direction's.
    pub(super) piece: (usize, usize),
}

impl Pair {
    fn new(rate: Rate) -> Self {
        let bucket = |limit: Option<u64>| {
            limit.map(|limit| Bucket::new(limit as f64, rate.burst.unwrap_or(limit) as f64))
        };
        let piece = |limit: Option<u64>| match limit {
            Some(limit) => {
                let piece = (limit / 16).min(rate.burst.unwrap_or(limit)).max(1);
                usize::try_from(piece).unwrap_or(usize::MAX)
            }
            None => usize::MAX,
        };
        Self {
            up: bucket(rate.up),
            down: bucket(rate.down),
            piece: (piece(rate.up), piece(rate.down)),
        }
    }
}

impl State for Pair {
    fn is_fresh(&self) -> bool {
        [&self.up, &self.down].into_iter().flatten().all(State::is_fresh)
    }
}

/// A service's bytes.
pub(super) struct Traffic {
    limits: Arc<Limits<Rate>>,
    service: Option<Arc<Pair>>,
    named: Addresses<Pair>,
}

/// What one connection's bytes are counted on. Clones count on the same.
#[derive(Clone)]
pub struct Meter(pub(super) Vec<Arc<Pair>>);

impl Traffic {
    pub(super) fn new(limits: Arc<Limits<Rate>>) -> Self {
        let service = limits.service.map(|rate| Arc::new(Pair::new(rate)));
        Self { service, named: Addresses::new(), limits }
    }

    pub(super) fn meter(&self, client: IpAddr) -> Option<Meter> {
        let own = match self.limits.named(client) {
            Some(rate) => Some(self.named.of(client, || Pair::new(rate))),
            None => self.limits.each.map(|rate| Arc::new(Pair::new(rate))),
        };
        let pairs: Vec<_> = self.service.clone().into_iter().chain(own).collect();
        (!pairs.is_empty()).then_some(Meter(pairs))
    }
}
