//! What shall run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::base::ServiceKey;
use crate::config::model::{ServiceConfig, Terms};

/// Every service that shall run, as one value: ports are global to the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DesiredSet {
    /// Grows with every change; the [`Snapshot`](super::Snapshot) says which one it shows.
    pub revision: u64,
    /// The services.
    pub services: BTreeMap<ServiceKey, Desired>,
}

/// One service that shall run.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Its configuration.
    pub config: Arc<ServiceConfig>,
    /// Its rank among those that want the same address.
    pub claim: Claim,
    /// How long its tunnels may go on when the service goes.
    pub drain: Duration,
    /// It keeps its address from others and serves nobody: what it needs is missing.
    pub closed: bool,
    /// What its tunnel may do besides; `None` is everything: files.
    pub terms: Option<Arc<Terms>>,
}

/// A rank in a duel for an address, host or path: a claim that was granted beats one that was not,
/// then the older one wins (Gateway API's precedence, after the incumbent).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Since when the service has held exactly the address that it now wants.
    pub held_since: Option<Timestamp>,
    /// When its object was created.
    pub created: Option<Timestamp>,
}
