//! Sockets: listening, accepting, dialling, and the guard on every dial.
//!
//! Floor 3. The only room that binds or connects a socket. Whatever asks for a connection goes
//! through [`dial::Dial`]: name resolution, the guard on the resolved address, the time limit.

pub mod accept;
pub mod dial;
pub mod guard;
pub mod listen;
pub mod resolve;
pub mod tls;
pub mod udp;
