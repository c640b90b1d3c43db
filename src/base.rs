//! Words that every room shares: keys, addresses, durations, names, secrets, reasons, endings.
//!
//! Floor 0. Plain values without tasks, sockets or files.

pub mod addr;
pub mod bound;
pub mod close;
pub mod duration;
pub mod embedded;
pub mod key;
pub mod name;
pub mod panic;
pub mod reason;
pub mod secret;
pub mod shell;
pub mod size;
pub mod text;

pub use addr::{Host, ListenAddr, Network, Target};
pub use bound::Bound;
pub use close::{CloseReason, Closed};
pub use duration::GoDuration;
pub use key::{Origin, ServiceKey};
pub use panic::{Panicked, caught};
pub use reason::Reason;
pub use secret::Secret;
pub use size::Size;
