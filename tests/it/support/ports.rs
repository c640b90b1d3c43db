//! Ports for processes that take a number.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port on loopback that nothing listens on, in the range that tunnels may bind (1024-19999),
/// which the kernel does not use for outgoing connections. No two calls give the same one.
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 12_000 + (std::process::id() % 50) as u16 * 100;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 20_000, "no free port left");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("::", port)).is_ok()
        {
            return port;
        }
    }
}

/// Whether a TCP socket of this thread's network namespace listens on a port.
pub fn listens(port: u16) -> bool {
    // In the state LISTEN.
    is_there(port, &["tcp", "tcp6"], "0A")
}

/// Whether a UDP socket of this thread's network namespace has a port and no peer.
pub fn listens_udp(port: u16) -> bool {
    is_there(port, &["udp", "udp6"], "07")
}

fn is_there(port: u16, tables: &[&str], state: &str) -> bool {
    let port = format!(":{port:04X}");
    tables.iter().any(|table| {
        let table = std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap();
        table.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some(state)
        })
    })
}
