//! What runs: the only thing that status, probes and metrics read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::{Reason, ServiceKey};
use crate::config::model::ServiceConfig;

/// A picture of the engine. Level-triggered: a reader may skip pictures, never misses the last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The revision of the desired set that this is the outcome of.
    pub revision: u64,
    /// Every service of that set, refused ones too.
    pub services: BTreeMap<ServiceKey, ServiceStatus>,
    /// All front ports are bound.
    pub fronts_bound: bool,
    /// The process is on its way out.
    pub draining: bool,
}

/// One service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceStatus {
    /// The configuration that new connections get.
    pub config: Arc<ServiceConfig>,
    /// Whether it serves.
    pub state: ServiceState,
}

/// Whether a service serves, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// It accepts connections.
    Serving {
        /// The address that the kernel gave, or the node of a remote port.
        local: SocketAddr,
    },
    /// The plan gives its address to another service, or to none.
    Refused {
        /// HostConflict, PortConflict or PortNotAllowed.
        reason: Reason,
        /// What to change. Never names another namespace's object.
        message: String,
    },
    /// It should serve and cannot; it is tried again by itself.
    Failed {
        /// AddressInUse or BindForbidden; Pending while no node listens for it.
        reason: Reason,
        /// The system's words, or which node and what it said.
        message: String,
    },
}
