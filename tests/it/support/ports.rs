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
