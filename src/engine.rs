//! The engine: a whole set of services in, running listeners out.
//!
//! Floor 8. `DesiredSet -> plan -> diff -> steps -> supervisor -> Snapshot`. Every source of
//! configuration ends here, and everything that reports reads the [`Snapshot`].

mod claims;
pub mod desired;
mod flaw;
mod handle;
pub mod layout;
mod open;
pub mod plan;
mod service;
pub mod snapshot;
mod socket;
mod supervisor;
mod tenants;

pub use desired::{Claim, Desired, DesiredSet};
pub use flaw::Flaw;
pub use handle::{Engine, EngineOptions};
pub use layout::{Content, Layout, Medium, RemoteBind, SocketId, Step, WsServices, diff};
pub use plan::{Front, Plan, Ports};
pub use snapshot::{ServiceState, ServiceStatus, Snapshot};

#[cfg(test)]
mod tests;
