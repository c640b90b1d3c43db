//! What one pair does in one round.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use super::contender::{Contender, Pair, Program, Programs};
use super::load::{Way, bulk, target};

const GIB: f64 = 1073741824.0;

/// Bytes that one measurement moves: of a contender that is not gost, and of gost.
const BULK: (u64, u64) = (4 << 30, 1 << 30);

/// Streams at once, where there are many.
const MANY: usize = 64;
const IDLE: usize = 1000;
const TUNNEL_SECONDS: u64 = 3;
const ROUND_TRIPS: usize = 5000;
const QUIET: Duration = Duration::from_secs(5);

/// CPU-seconds of both processes for each GiB, and GiB for each second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moved {
    pub cpu: f64,
    pub rate: f64,
}

/// The figures of one round. Memory is that of the process that has more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub up: Moved,
    pub down: Moved,
    pub many_up: Moved,
    pub many_down: Moved,
    /// Both processes on one CPU, the load on the others.
    pub pinned_up: Moved,
    pub pinned_down: Moved,
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
    /// MiB on top, with [`MANY`] bulk streams.
    pub busy_memory: f64,
}

/// Measures one pair; for each kind of figure on processes that did nothing before.
pub fn measure(contender: &Contender, programs: &Programs) -> Figures {
    let bytes = if contender.program == Program::Gost { BULK.1 } else { BULK.0 };
    let start = |pinned| Pair::start(contender, programs, target(), pinned);
    let mut figures = Figures::default();

    let pair = start(false);
    figures.up = moved(&pair, Way::Up, 1, bytes);
    figures.down = moved(&pair, Way::Down, 1, bytes);
    drop(pair);
    let pair = start(false);
    let before = pair.resident();
    figures.many_up = moved(&pair, Way::Up, MANY, bytes);
    figures.busy_memory = (pair.resident() - before) / 1024.0;
    figures.many_down = moved(&pair, Way::Down, MANY, bytes);
    drop(pair);
    let pair = start(true);
    figures.pinned_up = moved(&pair, Way::Up, 1, bytes);
    figures.pinned_down = moved(&pair, Way::Down, 1, bytes);
    figures.round_trip = round_trip(&pair);
    drop(pair);
    let pair = start(false);
    (figures.tunnels, figures.tunnel_cpu) = tunnels(&pair);
    drop(pair);
    let pair = start(false);
    let before = pair.resident();
    let idle: Vec<_> = (0..IDLE).map(|_| pair.ping().unwrap()).collect();
    figures.idle_memory = (pair.resident() - before) / idle.len() as f64;
    let before = pair.sleeps();
    thread::sleep(QUIET);
    figures.idle_wakeups = (pair.sleeps() - before) / QUIET.as_secs_f64();
    figures
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
