//! The engine: a whole set of services in, running listeners out.
//!
//! Floor 8. `DesiredSet -> plan -> diff -> steps -> supervisor -> Snapshot`. Every source of
//! configuration ends here, and everything that reports reads the [`Snapshot`].

pub mod desired;
pub mod snapshot;

pub use desired::{Claim, Desired, DesiredSet};
pub use snapshot::{ServiceState, ServiceStatus, Snapshot};
