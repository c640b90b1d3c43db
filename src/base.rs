//! Words that every room shares: keys, addresses, durations, secrets, reasons, endings.
//!
//! Floor 0. Plain values without tasks, sockets or files.

pub mod addr;
pub mod bound;
pub mod close;
pub mod duration;
pub mod key;
pub mod panic;
pub mod reason;
pub mod secret;

pub use addr::{Host, ListenAddr, Network, Target};
pub use bound::Bound;
pub use close::{CloseReason, Closed};
pub use duration::GoDuration;
pub use key::{Origin, ServiceKey};
pub use panic::{Panicked, caught};
pub use reason::Reason;
pub use secret::Secret;
