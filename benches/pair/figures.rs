//! What one pair does in one round.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use super::contender::{Contender, Pair, Program, Programs, on_last_cpu};
use super::load::{Target, Way, bulk};

const GIB: f64 = 1073741824.0;

/// Bytes that one measurement moves: of a contender that is not gost, and of gost.
const BULK: (u64, u64) = (2 << 30, 512 << 20);

/// Streams at once, where there are many.
const MANY: usize = 64;
const IDLE: usize = 1000;
const TUNNEL_SECONDS: u64 = 2;
const ROUND_TRIPS: usize = 5000;
const QUIET: Duration = Duration::from_secs(3);

/// Figures that are measured together, on processes that did nothing before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One stream, wherever the scheduler puts it.
    Bulk,
    /// Many.
    Many,
    /// Everything on one CPU: what the programs cost, not what the scheduler does.
    Pinned,
    Tunnels,
    Idle,
}

/// By their words on the command line.
pub const KINDS: &[(&str, Kind)] = &[
    ("bulk", Kind::Bulk),
    ("many", Kind::Many),
    ("pinned", Kind::Pinned),
    ("tunnels", Kind::Tunnels),
    ("idle", Kind::Idle),
];

/// CPU-seconds of both processes for each GiB, and GiB for each second.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    pub cpu: f64,
    pub rate: f64,
}

/// The figures of one round; NaN if not measured. Memory is that of the process that has more.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub up: Moved,
    pub down: Moved,
    pub many_up: Moved,
    pub many_down: Moved,
    /// MiB on top, with [`MANY`] bulk streams: the most that there ever were.
    pub busy_memory: f64,
    /// Load and both processes on one CPU.
    pub pinned_up: Moved,
    pub pinned_down: Moved,
    pub pinned_many_up: Moved,
    pub pinned_many_down: Moved,
    /// Microseconds, the median, on that one CPU.
    pub round_trip: f64,
    /// Each second.
    pub tunnels: f64,
    /// Microseconds.
    pub tunnel_cpu: f64,
    /// KiB for each tunnel.
    pub idle_memory: f64,
    /// Wake-ups of both processes for each second, with all of them idle.
    pub idle_wakeups: f64,
}

impl Figures {
    /// Nothing is measured.
    pub const NONE: Self = {
        let none = f64::NAN;
        let moved = Moved { cpu: none, rate: none };
        Self {
            up: moved,
            down: moved,
            many_up: moved,
            many_down: moved,
            busy_memory: none,
            pinned_up: moved,
            pinned_down: moved,
            pinned_many_up: moved,
            pinned_many_down: moved,
            round_trip: none,
            tunnels: none,
            tunnel_cpu: none,
            idle_memory: none,
            idle_wakeups: none,
        }
    };

    /// Measures one pair.
    pub fn measure(contender: &Contender, programs: &Programs, kinds: &[Kind]) -> Self {
        let mut figures = Self::NONE;
        for kind in kinds {
            let mut measure = || {
                let target = Target::start();
                let pair = Pair::start(contender, programs, target.addr);
                figures.take(*kind, &pair, contender.program == Program::Gost);
            };
            if *kind == Kind::Pinned { on_last_cpu(measure) } else { measure() }
        }
        figures
    }

    fn take(&mut self, kind: Kind, pair: &Pair, gost: bool) {
        let bytes = if gost { BULK.1 } else { BULK.0 };
        match kind {
            Kind::Bulk => {
                self.up = moved(pair, Way::Up, 1, bytes);
                self.down = moved(pair, Way::Down, 1, bytes);
            }
            Kind::Many => {
                let before = pair.resident();
                self.many_up = moved(pair, Way::Up, MANY, bytes);
                self.many_down = moved(pair, Way::Down, MANY, bytes);
                self.busy_memory = (pair.resident_at_most() - before) / 1024.0;
            }
            Kind::Pinned => {
                self.round_trip = round_trip(pair);
                // No goal speaks of it, and it takes its time.
                if !gost {
                    self.pinned_up = moved(pair, Way::Up, 1, bytes);
                    self.pinned_down = moved(pair, Way::Down, 1, bytes);
                    self.pinned_many_up = moved(pair, Way::Up, MANY, bytes);
                    self.pinned_many_down = moved(pair, Way::Down, MANY, bytes);
                }
            }
            Kind::Tunnels => (self.tunnels, self.tunnel_cpu) = tunnels(pair),
            Kind::Idle => {
                let before = pair.resident();
                let idle: Vec<_> = (0..IDLE).map(|_| pair.ping().unwrap()).collect();
                self.idle_memory = (pair.resident() - before) / idle.len() as f64;
                let before = pair.sleeps();
                thread::sleep(QUIET);
                self.idle_wakeups = (pair.sleeps() - before) / QUIET.as_secs_f64();
            }
        }
    }
}

fn moved(pair: &Pair, way: Way, streams: usize, bytes: u64) -> Moved {
    let (cpu, began) = (pair.cpu(), Instant::now());
    let each = bytes / streams as u64;
    thread::scope(|scope| {
        for _ in 0..streams {
            scope.spawn(|| bulk(pair.entry, way, each));
        }
    });
    let gib = (each * streams as u64) as f64 / GIB;
    Moved { rate: gib / began.elapsed().as_secs_f64(), cpu: (pair.cpu() - cpu) / gib }
}

fn round_trip(pair: &Pair) -> f64 {
    let mut stream = pair.ping().unwrap();
    let mut trip = || {
        let began = Instant::now();
        stream.write_all(&[7; 64]).unwrap();
        stream.read_exact(&mut [0; 64]).unwrap();
        began.elapsed().as_secs_f64() * 1e6
    };
    let mut trips: Vec<_> = (0..ROUND_TRIPS).map(|_| trip()).collect();
    trips.sort_by(f64::total_cmp);
    trips[trips.len() / 2]
}

fn tunnels(pair: &Pair) -> (f64, f64) {
    let (cpu, began) = (pair.cpu(), Instant::now());
    let end = began + Duration::from_secs(TUNNEL_SECONDS);
    let pinger = || (0..).take_while(|_| Instant::now() < end && pair.ping().is_ok()).count();
    let count: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(pinger)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let rate = count as f64 / began.elapsed().as_secs_f64();
    (rate, (pair.cpu() - cpu) / count as f64 * 1e6)
}
