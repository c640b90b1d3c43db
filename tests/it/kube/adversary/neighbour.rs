//! The tenant that attacks nobody: what it does all the time, and how long that takes.

use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};

use crate::kube::secrets;
use crate::support::cluster::Cluster;
use crate::support::wait::eventually;
use crate::tunnel::arrival::from;

/// The user whose password stays.
pub const STEADY: (&str, &str) = ("steady", "stays");
pub const HOST: &str = "edge.neighbour.example";

/// Twenty new tunnels a second.
const EVERY: Duration = Duration::from_millis(50);
/// Who opens them: one that takes long holds up only itself.
const THREADS: usize = 16;
/// How long one may take at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// For a password that is new.
const ROTATED: Duration = Duration::from_secs(10);

/// The neighbour's namespace with a tunnel `edge` on the front port, and an exposed one, `db`.
pub struct Neighbour<'a> {
    cluster: &'a Cluster,
    ns: String,
    front: SocketAddr,
    echo: SocketAddr,
}

/// What became of new tunnels.
#[derive(Debug, Default)]
pub struct Opened {
    took: Vec<Duration>,
    /// The one that took longest, by its parts: connected, upgraded, reached, echoed.
    slowest: [Duration; 4],
    pub failed: Vec<String>,
}

/// What became of new passwords.
#[derive(Debug, Default)]
pub struct Rotations {
    pub count: usize,
    slowest: Duration,
    /// Looks at the EndpointSlice that found no ready endpoint.
    pub unready: usize,
}

impl Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut took = self.took.clone();
        took.sort();
        let at = |share: usize| took.get((took.len() * share / 100).min(took.len() - 1)).copied();
        let (count, failed) = (took.len(), self.failed.len());
        let slowest = self.slowest;
        write!(
            f,
            "{count} tunnels, {failed} failed, p50 {:?}, p99 {:?}, slowest {slowest:?}",
            at(50),
            at(99)
        )
    }
}

impl Display for Rotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, slowest, unready } = self;
        write!(
            f,
            "{count} rotations, the slowest in use after {slowest:?}, {unready} looks unready"
        )
    }
}

impl<'a> Neighbour<'a> {
    pub fn new(cluster: &'a Cluster, ns: &str, front: SocketAddr, echo: SocketAddr) -> Self {
        let neighbour = Self { cluster, ns: ns.into(), front, echo };
        neighbour.has_password("first");
        cluster.put(ns, "edge", neighbour.spec());
        neighbour
    }

    fn spec(&self) -> Value {
        let node = json!({"name": "n", "addr": self.echo.to_string()});
        json!({
            "services": [{
                "name": "in", "addr": ":8080", "hostnames": [HOST],
                "handler": {"type": "http", "auther": "users"},
                "listener": {"type": "ws", "metadata": {"path": "/x"}},
            }, {
                "name": "db", "addr": ":5432", "handler": {"type": "tcp"},
                "listener": {"type": "tcp"}, "forwarder": {"nodes": [node]}, "expose": {},
            }],
            "authers": [{"name": "users", "secretRef": {"name": "users"}}],
        })
    }

    fn has_password(&self, password: &str) {
        let users = [STEADY, ("turns", password)];
        secrets::put_users(self.cluster, &self.ns, &users);
    }

    pub fn is_ready(&self) {
        self.cluster.becomes(&self.ns, "edge", "Ready", "True/Ready");
        eventually("the exposed port has a ready endpoint", PATIENCE, || self.is_exposed());
    }

    fn is_exposed(&self) -> bool {
        let args = ["get", "endpointslices", "-n", &self.ns, "-o", "json"];
        let list: Value = serde_json::from_str(&self.cluster.kubectl(&args).unwrap()).unwrap();
        let slices = list["items"].as_array().unwrap();
        let mut endpoints = slices.iter().flat_map(|s| s["endpoints"].as_array().unwrap());
        endpoints.any(|endpoint| endpoint["conditions"]["ready"] == true)
    }

    /// Opens tunnels at a steady pace, whatever they take.
    pub fn opens_tunnels(&self, lasts: Duration) -> Opened {
        let (opened, next, began) = (Mutex::default(), AtomicU32::new(0), Instant::now());
        let open = || {
            loop {
                let due = EVERY * next.fetch_add(1, Ordering::Relaxed);
                if due > lasts {
                    return;
                }
                // The pace is what is waited for here.
                std::thread::sleep(due.saturating_sub(began.elapsed()));
                let start = Instant::now();
                let result = self.timed(STEADY);
                let mut opened: std::sync::MutexGuard<'_, Opened> = opened.lock().unwrap();
                opened.took.push(start.elapsed());
                if let Ok(parts) = result
                    && parts.iter().sum::<Duration>() > opened.slowest.iter().sum::<Duration>()
                {
                    opened.slowest = parts;
                }
                opened.failed.extend(result.err().map(|why| format!("after {due:?}: {why}")));
            }
        };
        std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(open))));
        opened.into_inner().unwrap()
    }

    /// Changes a password again and again: each is in use soon, and the one before it is not.
    /// Who asks with the old one comes from many places: each of them is slowed down after some wrong
    /// answers.
    pub fn rotates(&self, places: &[Ipv4Addr], stop: &AtomicBool) -> Rotations {
        let mut places = places.iter().cycle();
        let mut rotations = Rotations::default();
        let mut password = "first".to_string();
        while !stop.load(Ordering::Relaxed) {
            let next = format!("number-{}", rotations.count);
            self.has_password(&next);
            let began = Instant::now();
            // Asking for the new one until it passes would be guessing, which is slowed down.
            eventually("the password before it is revoked", ROTATED, || {
                let place = *places.next().unwrap();
                let stream = from(place, self.front);
                self.over(stream, ("turns", &password)).is_err()
            });
            self.tunnel(("turns", &next)).expect("the new password is in use");
            rotations.slowest = rotations.slowest.max(began.elapsed());
            rotations.unready += usize::from(!self.is_exposed());
            (password, rotations.count) = (next, rotations.count + 1);
        }
        rotations
    }

    /// Whether a user gets through.
    pub fn passes(&self, user: (&str, &str)) -> bool {
        self.tunnel(user).is_ok()
    }

    fn tunnel(&self, user: (&str, &str)) -> io::Result<()> {
        self.timed(user).map(drop)
    }

    /// Opens a tunnel to the echo, sends a word, gets it back, and leaves; what each part took.
    fn timed(&self, user: (&str, &str)) -> io::Result<[Duration; 4]> {
        let began = Instant::now();
        let stream = TcpStream::connect_timeout(&self.front, PATIENCE)?;
        let connected = began.elapsed();
        let [upgraded, reached, echoed] = self.over(stream, user)?;
        Ok([connected, upgraded, reached, echoed])
    }

    /// The same over a connection that is there.
    fn over(
        &self,
        mut stream: TcpStream,
        (user, password): (&str, &str),
    ) -> io::Result<[Duration; 3]> {
        let mut last = Instant::now();
        let mut part = || std::mem::replace(&mut last, Instant::now()).elapsed();
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        stream.write_all(upgrade(HOST, "/x").as_bytes())?;
        let answer = head(&mut stream)?;
        if !answer.starts_with("HTTP/1.1 101 ") {
            return Err(io::Error::other(answer));
        }
        let upgraded = part();
        let secret = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"));
        let echo = self.echo;
        let connect = format!(
            "CONNECT {echo} HTTP/1.1\r\nHost: {echo}\r\nProxy-Authorization: Basic {secret}\r\n\r\n"
        );
        stream.write_all(&frame(connect.as_bytes()))?;
        let answer = payload(&mut stream)?;
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
        }
        let reached = part();
        stream.write_all(&frame(b"hello"))?;
        if payload(&mut stream)? != b"hello" {
            return Err(io::Error::other("another word came back"));
        }
        Ok([upgraded, reached, part()])
    }
}

/// A request for an upgrade.
pub fn upgrade(host: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Reads a head of HTTP.
pub fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// One masked frame of any length; a key of zeros changes no byte.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u64).to_be_bytes();
    [&[0x82, 0xff], &len[..], &[0; 4], payload].concat()
}

/// Reads the payload of a short frame.
pub fn payload(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut header = [0; 2];
    stream.read_exact(&mut header)?;
    let mut length = [0; 2];
    let len = match header[1] {
        126 => {
            stream.read_exact(&mut length)?;
            u16::from_be_bytes(length).into()
        }
        len => usize::from(len),
    };
    if header[0] != 0x82 || len > 4096 {
        return Err(io::Error::other(format!("a frame that begins with {header:?}")));
    }
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}
