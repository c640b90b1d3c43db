//! A network of a test's own, where every port is free. Needs root.

use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `test` on a thread in a new network namespace with a loopback interface. Threads and
/// processes that it starts are in it too.
pub fn isolated<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    let namespace = Namespace::new();
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            namespace.enter();
            ip(&["link", "set", "lo", "up"]);
            test()
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A network namespace. Dropping it removes it.
pub struct Namespace(String);

impl Namespace {
    /// A new one, without any interface that is up.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let name = format!("adit-test-{process}-{n}");
        ip(&["netns", "add", &name]);
        Self(name)
    }

    /// Its name, for `ip netns`.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Moves this thread.
    pub fn enter(&self) {
        let file = File::open(format!("/run/netns/{}", self.0)).unwrap();
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), kind).unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.0]);
    }
}

/// Gives this network an address that is not loopback, and a default route, which leads nowhere else:
/// servers look for both.
pub fn add_address(addr: &str) {
    ip(&["addr", "add", addr, "dev", "lo"]);
    ip(&["route", "add", "default", "dev", "lo"]);
}

fn ip(args: &[&str]) {
    let status = Command::new("ip").args(args).status().unwrap();
    assert!(status.success(), "ip {args:?} (iproute2, root)");
}
