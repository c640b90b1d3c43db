//! A network of a test's own: hosts in network namespaces on one bridge, which the test reaches too.
//! Needs root.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::netns::Namespace;

/// The bridge. Dropping it removes it.
pub struct Lan {
    bridge: String,
    subnet: [u8; 3],
    hosts: AtomicU32,
}

/// A host on it, with an address of its own and every port free.
pub struct Host {
    namespace: Namespace,
    /// This end of its cable.
    cable: String,
    pub addr: IpAddr,
}

impl Lan {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // RFC 2544's range for tests; the machine has no route there.
        let number = process.wrapping_mul(8).wrapping_add(n) % 512;
        let subnet = [198, 18 + (number / 256) as u8, (number % 256) as u8];
        let bridge = format!("ad{process}b{n}");
        let lan = Self { bridge, subnet, hosts: AtomicU32::new(2) };
        ip(&["link", "add", &lan.bridge, "type", "bridge"]);
        ip(&["addr", "add", &format!("{}/24", lan.addr(1)), "dev", &lan.bridge]);
        ip(&["link", "set", &lan.bridge, "up"]);
        lan
    }

    /// The address of the test itself.
    pub fn gateway(&self) -> IpAddr {
        self.addr(1)
    }

    fn addr(&self, last: u8) -> IpAddr {
        let [a, b, c] = self.subnet;
        Ipv4Addr::new(a, b, c, last).into()
    }

    /// More addresses of the test itself, for clients that come from many places.
    pub fn addresses(&self, count: u8) -> Vec<Ipv4Addr> {
        let [a, b, c] = self.subnet;
        let all: Vec<_> = (0..count).map(|n| Ipv4Addr::new(a, b, c, 254 - n)).collect();
        for addr in &all {
            ip(&["addr", "add", &format!("{addr}/24"), "dev", &self.bridge]);
        }
        all
    }

    /// Adds a host.
    pub fn host(&self) -> Host {
        let number = self.hosts.fetch_add(1, Ordering::Relaxed);
        let namespace = Namespace::new();
        let (addr, name) = (self.addr(number as u8), namespace.name());
        let cable = format!("{}v{number}", self.bridge);
        let pair = ["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", name];
        ip(&pair);
        ip(&["link", "set", &cable, "master", &self.bridge, "up"]);
        ip(&["-n", name, "addr", "add", &format!("{addr}/24"), "dev", "eth0"]);
        for device in ["lo", "eth0"] {
            ip(&["-n", name, "link", "set", device, "up"]);
        }
        Host { namespace, cable, addr }
    }

    /// Lets hosts reach a port of the test's own loopback, at the gateway.
    pub fn forward(&self, to: u16) -> SocketAddr {
        let listener = TcpListener::bind((self.gateway(), 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                        let _ = from.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        addr
    }
}

impl Host {
    /// A command that runs on the host.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.namespace.name(), program]);
        command
    }

    /// Takes a UDP port of the host, until the socket is dropped.
    pub fn take_udp(&self, port: u16) -> UdpSocket {
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| {
                self.namespace.enter();
                UdpSocket::bind(("0.0.0.0", port)).unwrap()
            });
            taken.join().unwrap()
        })
    }

    /// Takes a TCP port of the host, until the listener is dropped.
    pub fn take(&self, port: u16) -> TcpListener {
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| {
                self.namespace.enter();
                TcpListener::bind(("::", port)).unwrap()
            });
            taken.join().unwrap()
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Sockets that still wait for the other end keep the namespace, and it the cable, for minutes.
        ip(&["link", "delete", &self.cable]);
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        ip(&["link", "delete", &self.bridge]);
    }
}

fn ip(args: &[&str]) {
    let status = Command::new("ip").args(args).status().unwrap();
    assert!(status.success(), "ip {args:?} (iproute2, root)");
}
