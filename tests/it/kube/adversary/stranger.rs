//! A stranger who reaches the process's ports, and knows the attacking tenant's password.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;

use super::neighbour::{frame, head, upgrade};
use super::objects::USER;
use crate::support::lan::Host;
use crate::tunnel::arrival::from;

/// The ports of the attacking tenant's tunnels.
pub const SLOW: u16 = 9001;
pub const FLOOD: u16 = 9002;
pub const HTTP: u16 = 9003;

const ADMIN: u16 = 9180;

/// Connections that wait, from one address.
const WAITING: usize = 64;
/// Streams of the session whose client reads nothing.
const UNREAD: u32 = 5_500;
/// Streams of one byte.
const UNSAID: u32 = 16_000;

/// Where tunnels lead.
pub struct Targets {
    pub echo: SocketAddr,
    /// Pours without end.
    pub spring: SocketAddr,
    /// Nothing listens there.
    pub closed: SocketAddr,
}

/// An attack goes on until it is told to stop: the process's host, addresses to come from, targets.
pub type Attack = fn(IpAddr, &[Ipv4Addr], &Targets, &AtomicBool);

/// All of them, at the same time.
pub const ATTACKS: &[Attack] =
    &[waits_at_ports, holds_the_admin_port, reads_nothing, says_nothing, floods_the_log, asks_much];

/// Starts the targets on a host.
pub fn targets(host: &Host) -> Targets {
    let at = |port| SocketAddr::new(host.addr, port);
    serve(host.take(7), |mut stream| {
        let mut reader = stream.try_clone().unwrap();
        let _ = io::copy(&mut reader, &mut stream);
    });
    serve(host.take(19), |mut stream| {
        let bytes = vec![7; 64 * 1024];
        while stream.write_all(&bytes).is_ok() {}
    });
    Targets { echo: at(7), spring: at(19), closed: at(9) }
}

fn serve(listener: TcpListener, serve: fn(TcpStream)) {
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream));
        }
    });
}

/// Connections that never finish their head, from many addresses, at the front and at a tenant's port.
fn waits_at_ports(host: IpAddr, sources: &[Ipv4Addr], _: &Targets, stop: &AtomicBool) {
    until(stop, || {
        let mut open = Vec::new();
        for port in [SLOW, 8080] {
            for source in sources {
                for _ in 0..WAITING {
                    let mut stream = come(*source, host, port)?;
                    let _ = stream.write_all(b"GET /x HTTP/1.1\r\nHost: ");
                    open.push(stream);
                }
            }
        }
        // The first ones are ended by the process; the others are held that long too.
        let first = open.first_mut().map(|stream| stream.read(&mut [0]));
        first.unwrap_or(Ok(0)).map(drop)
    });
}

/// Clients of the admin port that stay and ask, some without reading.
fn holds_the_admin_port(host: IpAddr, sources: &[Ipv4Addr], _: &Targets, stop: &AtomicBool) {
    until(stop, || {
        let mut open = Vec::new();
        for n in 0..70 {
            let mut stream = come(sources[n % sources.len()], host, ADMIN)?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")?;
            open.push(stream);
        }
        open.iter_mut().take(35).try_for_each(|stream| head(stream).map(drop))?;
        std::thread::sleep(Duration::from_millis(500));
        Ok(())
    });
}

/// A session whose streams ask for what pours, and whose client reads nothing.
fn reads_nothing(host: IpAddr, sources: &[Ipv4Addr], targets: &Targets, stop: &AtomicBool) {
    let ask = relay(targets.spring, true);
    until(stop, || {
        let mut session = session(sources[0], host)?;
        for n in 0..UNREAD {
            let id = 3 + 2 * n;
            session.write_all(&frame(&[smux(0, id, b""), smux(2, id, &ask)].concat()))?;
        }
        wait(&mut session, stop)
    });
}

/// A session of streams that say one byte of a request.
fn says_nothing(host: IpAddr, sources: &[Ipv4Addr], _: &Targets, stop: &AtomicBool) {
    until(stop, || {
        let mut session = session(sources[1], host)?;
        let mut reading = session.try_clone()?;
        std::thread::spawn(move || io::copy(&mut reading, &mut io::sink()));
        for first in (0..UNSAID).step_by(100) {
            let streams = (first..first + 100).flat_map(|n| {
                let id = 3 + 2 * n;
                [smux(0, id, b""), smux(2, id, &[1])].concat()
            });
            session.write_all(&frame(&streams.collect::<Vec<_>>()))?;
        }
        wait(&mut session, stop)
    });
}

/// Streams that are a line of the log each: a greeting, and the end.
fn floods_the_log(host: IpAddr, sources: &[Ipv4Addr], targets: &Targets, stop: &AtomicBool) {
    let ask = relay(targets.closed, false);
    until(stop, || {
        let mut session = session(sources[2], host)?;
        let mut reading = session.try_clone()?;
        std::thread::spawn(move || io::copy(&mut reading, &mut io::sink()));
        for n in 0.. {
            if stop.load(Ordering::Relaxed) || n == 200_000 {
                break;
            }
            let id = 3 + 2 * n;
            let whole = [smux(0, id, b""), smux(2, id, &ask), smux(1, id, b"")].concat();
            session.write_all(&frame(&whole))?;
        }
        Ok(())
    });
}

/// Requests that are hard to decide, of clients that do not wait for the answer.
fn asks_much(host: IpAddr, sources: &[Ipv4Addr], _: &Targets, stop: &AtomicBool) {
    let secret = base64::prelude::BASE64_STANDARD.encode(format!("{}:{}", USER.0, USER.1));
    let name = format!("{}.{}.{}", "a".repeat(63), "a".repeat(63), "a".repeat(63));
    let request = format!(
        "CONNECT {name}:80 HTTP/1.1\r\nHost: {name}\r\nProxy-Authorization: Basic {secret}\r\n\r\n"
    );
    until(stop, || {
        for source in &sources[3..15] {
            let mut stream = come(*source, host, HTTP)?;
            stream.write_all(upgrade("a", "/x").as_bytes())?;
            head(&mut stream)?;
            stream.write_all(&frame(request.as_bytes()))?;
        }
        Ok(())
    });
}

/// Again and again: that one turn is refused is what a process may do.
fn until(stop: &AtomicBool, mut turn: impl FnMut() -> io::Result<()>) {
    while !stop.load(Ordering::Relaxed) {
        if turn().is_err() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Holds a session until it is ended, or the attack is.
fn wait(session: &mut TcpStream, stop: &AtomicBool) -> io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        // A NOP is refused where the session has ended.
        session.write_all(&frame(&smux(3, 0, b"")))?;
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn come(source: Ipv4Addr, host: IpAddr, port: u16) -> io::Result<TcpStream> {
    let stream = from(source, (host, port).into());
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    stream.set_read_timeout(Some(Duration::from_secs(12)))?;
    Ok(stream)
}

fn session(source: Ipv4Addr, host: IpAddr) -> io::Result<TcpStream> {
    let mut stream = come(source, host, FLOOD)?;
    stream.write_all(upgrade("a", "/x").as_bytes())?;
    head(&mut stream)?;
    Ok(stream)
}

/// A frame of smux 2: SYN is 0, FIN 1, PSH 2, NOP 3.
fn smux(command: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_le_bytes();
    [&[2, command], &len[..], &id.to_le_bytes(), payload].concat()
}

/// A request of GOST's relay for a target, with the right password or a wrong one.
fn relay(to: SocketAddr, known: bool) -> Vec<u8> {
    let IpAddr::V4(ip) = to.ip() else { panic!("{to}") };
    let password = if known { USER.1 } else { "?" };
    let (user, password) = (USER.0.as_bytes(), password.as_bytes());
    let lens = [user.len() as u8, password.len() as u8];
    let auth = [&[lens[0]][..], user, &[lens[1]], password].concat();
    let address = [&[1][..], &ip.octets(), &to.port().to_be_bytes()].concat();
    let feature =
        |kind: u8, body: &[u8]| [&[kind][..], &(body.len() as u16).to_be_bytes(), body].concat();
    let features = [feature(1, &auth), feature(2, &address)].concat();
    [&[1, 1][..], &(features.len() as u16).to_be_bytes(), &features].concat()
}
