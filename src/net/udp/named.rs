//! Packets to names.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Timeout, timeout};

use super::Dropped;
use crate::base::Host;
use crate::io::{BoxIo, Chunk, Ending, Io};
use crate::metrics::ServiceMetrics;
use crate::proto::Wire;
use crate::proto::socks5::PacketHeader;

/// Names that an association looks up at the same time.
const MAX_LOOKUPS: usize = 8;
/// Its datagrams that wait for that.
const MAX_WAITING: usize = 32;
/// Names whose addresses it remembers, and addresses of one.
const MAX_NAMES: usize = 64;
const MAX_ADDRESSES: usize = 16;

/// For how long. The resolver has its own memory, which goes by the records' TTL; this one spares
/// it a question for each datagram.
const REMEMBERED: Duration = Duration::from_secs(30);
/// For how long it is remembered that a name has no address.
const FAILED: Duration = Duration::from_secs(5);
/// The most that a lookup may take.
const LOOKUP: Duration = Duration::from_secs(10);

/// A lookup on its way: addresses, or the resolver's words.
pub type Looking = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>>;

/// Packets whose destination may be a name, on a stream of packets with addresses.
///
/// A datagram to a name that is not known waits by itself: those to other destinations overtake it.
pub struct Named {
    packets: BoxIo,
    look: Box<dyn Fn(&str) -> Looking + Send>,
    allowed: Box<dyn Fn(SocketAddr) -> bool + Send>,
    metrics: ServiceMetrics,
    known: HashMap<String, Known>,
    lookups: Vec<Lookup>,
    /// Packets whose addresses were found.
    found: VecDeque<Vec<u8>>,
    /// The first of them, on its way out.
    leaving: Chunk,
    unflushed: bool,
    /// The caller's chunk is on its way out.
    passing: bool,
}

struct Known {
    ips: Vec<IpAddr>,
    until: Instant,
}

struct Lookup {
    name: String,
    looking: Pin<Box<Timeout<Looking>>>,
    /// Port and payload of each datagram that waits.
    waiting: Vec<(u16, Vec<u8>)>,
}

impl Named {
    /// Asks `look` for names. Of several addresses it takes the first one that is `allowed`, or the
    /// first one, for what is below to refuse.
    pub fn new(
        packets: BoxIo,
        look: impl Fn(&str) -> Looking + Send + 'static,
        allowed: impl Fn(SocketAddr) -> bool + Send + 'static,
        metrics: ServiceMetrics,
    ) -> Self {
        Self {
            packets,
            look: Box::new(look),
            allowed: Box::new(allowed),
            metrics,
            known: HashMap::new(),
            lookups: Vec::new(),
            found: VecDeque::new(),
            leaving: Chunk::new(),
            unflushed: false,
            passing: false,
        }
    }

    /// What is to be done with a packet: `None` is nothing but to pass it on.
    fn wants_name(packet: &[u8]) -> Option<(String, u16, usize)> {
        let (header, length) = PacketHeader::decode(packet).ok()??;
        match header.address.host {
            Some(Host::Name(name)) => Some((name.to_lowercase(), header.address.port, length)),
            _ => None,
        }
    }

    /// Readdresses a datagram, or lets it wait.
    fn take(&mut self, name: String, port: u16, payload: &[u8]) {
        match self.known.get(&name) {
            Some(known) if known.until > Instant::now() => {
                let ips = known.ips.clone();
                return self.readdress(&ips, port, payload);
            }
            _ => {}
        }
        let waiting: usize = self.lookups.iter().map(|lookup| lookup.waiting.len()).sum();
        if waiting >= MAX_WAITING {
            return self.dropped(Dropped::Queue);
        }
        let datagram = (port, payload.to_vec());
        if let Some(lookup) = self.lookups.iter_mut().find(|lookup| lookup.name == name) {
            return lookup.waiting.push(datagram);
        }
        if self.lookups.len() >= MAX_LOOKUPS {
            return self.dropped(Dropped::Queue);
        }
        let looking = Box::pin(timeout(LOOKUP, (self.look)(&name)));
        self.lookups.push(Lookup { name, looking, waiting: vec![datagram] });
    }

    fn readdress(&mut self, ips: &[IpAddr], port: u16, payload: &[u8]) {
        let addrs = || ips.iter().map(|ip| SocketAddr::new(*ip, port));
        let chosen = addrs().find(|addr| (self.allowed)(*addr)).or_else(|| addrs().next());
        let Some(addr) = chosen else { return self.dropped(Dropped::Name) };
        let header = PacketHeader { fragment: 0, address: addr.into() };
        self.found.push_back([&header.encode(), payload].concat());
    }

    fn poll_lookups(&mut self, cx: &mut Context<'_>) {
        let mut done = Vec::new();
        let lookups = std::mem::take(&mut self.lookups);
        for mut lookup in lookups {
            match lookup.looking.as_mut().poll(cx) {
                Poll::Pending => self.lookups.push(lookup),
                Poll::Ready(Ok(Ok(ips))) => done.push((lookup, ips)),
                Poll::Ready(Ok(Err(cause))) => {
                    tracing::debug!(name = lookup.name, cause, "datagrams to a name that has none");
                    done.push((lookup, Vec::new()));
                }
                Poll::Ready(Err(_)) => done.push((lookup, Vec::new())),
            }
        }
        for (Lookup { name, waiting, .. }, mut ips) in done {
            ips.truncate(MAX_ADDRESSES);
            for (port, payload) in waiting {
                self.readdress(&ips, port, &payload);
            }
            self.remember(name, ips);
        }
    }

    fn remember(&mut self, name: String, ips: Vec<IpAddr>) {
        let now = Instant::now();
        if self.known.len() >= MAX_NAMES {
            self.known.retain(|_, known| known.until > now);
        }
        if self.known.len() >= MAX_NAMES {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.until);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.known.remove(&oldest);
            }
        }
        let until = now + if ips.is_empty() { FAILED } else { REMEMBERED };
        self.known.insert(name, Known { ips, until });
    }

    /// Writes what was readdressed.
    fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.leaving.is_empty() {
                let Some(packet) = self.found.pop_front() else { return Poll::Ready(Ok(())) };
                self.leaving = Chunk::from_slice(&packet);
                self.unflushed = true;
            }
            ready!(self.packets.poll_write(cx, &mut self.leaving))?;
        }
    }

    fn dropped(&self, why: Dropped) {
        self.metrics.datagram_dropped(why.as_str());
    }
}

impl Io for Named {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        self.packets.poll_read(cx, chunk)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.packets.poll_room(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if !self.passing {
            ready!(self.poll_found(cx))?;
            if let Some((name, port, header)) = Self::wants_name(chunk.data()) {
                self.take(name, port, chunk.data().get(header..).unwrap_or_default());
                chunk.release();
                // A lookup that has just begun wakes nobody before it is polled.
                self.poll_lookups(cx);
                return match self.poll_found(cx) {
                    Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
                    _ => Poll::Ready(Ok(())),
                };
            }
            self.passing = true;
        }
        ready!(self.packets.poll_write(cx, chunk))?;
        self.passing = false;
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.packets.poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.packets.poll_close_write(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()> {
        self.packets.poll_end(cx, ending)
    }

    /// Lookups go on here, and what they find leaves.
    fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.packets.upkeep(cx)?;
        self.poll_lookups(cx);
        if self.passing {
            return Ok(());
        }
        if let Poll::Ready(written) = self.poll_found(cx) {
            written?;
            if self.unflushed
                && let Poll::Ready(flushed) = self.poll_flush(cx)
            {
                flushed?;
            }
        }
        Ok(())
    }

    fn peer_closed(&self) -> bool {
        self.packets.peer_closed()
    }
}
