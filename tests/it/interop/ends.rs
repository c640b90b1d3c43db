//! The two ends of a tunnel, each adit or the real gost.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::ports;
use crate::support::process::Process;
use crate::support::tools;
use crate::support::wait::eventually;

/// Which program an end of the tunnel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Adit,
    Gost,
}
pub use End::{Adit, Gost};

/// Who is the tunnel's client, and who its server.
pub const BOTH_ROLES: [(End, End); 2] = [(Gost, Adit), (Adit, Gost)];

impl End {
    /// Starts it with a command line that both understand.
    pub fn start(self, args: &[String]) -> Process {
        match self {
            Adit => Process::adit(args),
            Gost => Process::start(tools::path("gost"), args),
        }
    }
}

/// A port of this machine, once something listens there. The kernel is asked, not the port: two
/// first connections at the same time are more than gost's mux dialer can take.
pub fn listening(port: u16) -> SocketAddr {
    there(port, ports::listens)
}

/// A port for datagrams, once it is taken.
pub fn listening_udp(port: u16) -> SocketAddr {
    there(port, ports::listens_udp)
}

fn there(port: u16, is_there: impl Fn(u16) -> bool) -> SocketAddr {
    eventually(&format!("port {port} listens"), Duration::from_secs(20), || is_there(port));
    SocketAddr::from(([127, 0, 0, 1], port))
}
