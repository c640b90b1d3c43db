//! An adit pair beside a gost pair, in one run: `cargo bench --bench pair`.
//!
//! Both forward a TCP port through a WebSocket with HTTP CONNECT inside. Rounds are interleaved,
//! processes are fresh in each, and what counts is the median of the ratios of each round: absolute
//! figures say more about the machine. It runs in a network namespace of its own (root), with reno.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const BULK: u64 = 2 << 30;
const IDLE: usize = 1000;
const TUNNEL_SECONDS: u64 = 3;
const INSIDE: &str = "ADIT_BENCH_INSIDE";

fn main() {
    if std::env::var_os(INSIDE).is_none() {
        // Building is done here: the namespace has no network.
        let gost = tool("gost");
        let setup =
            "ip link set lo up; echo reno > /proc/sys/net/ipv4/tcp_congestion_control; exec \"$0\"";
        let error = Command::new("unshare")
            .args(["-n", "sh", "-c", setup])
            .arg(std::env::current_exe().unwrap())
            .env(INSIDE, gost)
            .exec();
        panic!("unshare (util-linux, root): {error}");
    }
    let gost = std::env::var(INSIDE).unwrap();
    let adit = env!("CARGO_BIN_EXE_adit");
    let mut rounds: Vec<[Figures; 2]> = Vec::new();
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        let order = if round % 2 == 0 { [adit, &gost] } else { [&gost, adit] };
        let [first, second] = order.map(measure);
        rounds.push(if round % 2 == 0 { [first, second] } else { [second, first] });
    }
    print!("{}", report(&rounds));
}

fn tool(name: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/build");
    let output = Command::new(script).arg(name).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().split_once('=').unwrap_or_else(|| panic!("{script} {name} failed")).1.to_string()
}

/// What one pair did in one round. CPU and memory are of both processes together.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    up_cpu: f64,
    up_rate: f64,
    down_cpu: f64,
    down_rate: f64,
    tunnels: f64,
    tunnel_cpu: f64,
    idle_kib: f64,
}

struct Pair {
    server: Child,
    client: Child,
    entry: SocketAddr,
}

impl Drop for Pair {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.client] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Pair {
    fn start(program: &str, target: SocketAddr) -> Self {
        let start = |args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).env("GOST_LOGGER_LEVEL", "error").env("ADIT_LOG_LEVEL", "error");
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let server = start(&["-L", "http+ws://127.0.0.1:7001?path=/bench"]);
        let client = start(&[
            "-L",
            &format!("tcp://127.0.0.1:7002/{target}"),
            "-F",
            "http+ws://127.0.0.1:7001?path=/bench",
        ]);
        let entry = SocketAddr::from((Ipv4Addr::LOCALHOST, 7002));
        let pair = Self { server, client, entry };
        let deadline = Instant::now() + Duration::from_secs(10);
        while pair.ping().is_err() {
            assert!(Instant::now() < deadline, "{program} does not tunnel");
            thread::sleep(Duration::from_millis(20));
        }
        pair
    }

    /// A new tunnel, and one byte there and back.
    fn ping(&self) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.entry)?;
        stream.set_nodelay(true)?;
        stream.write_all(b"e")?;
        stream.read_exact(&mut [0])?;
        Ok(stream)
    }

    /// CPU seconds so far, from the scheduler's nanoseconds of every thread.
    fn cpu(&self) -> f64 {
        let of = |child: &Child| -> f64 {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
            let nanos = tasks.map_while(Result::ok).filter_map(|task| {
                let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
                text.split(' ').next()?.parse::<f64>().ok()
            });
            nanos.sum::<f64>() / 1e9
        };
        of(&self.server) + of(&self.client)
    }

    /// Resident KiB.
    fn resident(&self) -> f64 {
        let of = |child: &Child| -> f64 {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        of(&self.server) + of(&self.client)
    }
}

/// The far end: a first byte of `e` echoes it, `u` swallows, `d` sends [`BULK`] bytes.
fn target() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::Builder::new().stack_size(64 << 10).spawn(move || serve(&mut stream)).unwrap();
        }
    });
    addr
}

fn serve(stream: &mut TcpStream) {
    let mut kind = [0];
    if stream.read_exact(&mut kind).is_err() {
        return;
    }
    match &kind {
        b"u" => {
            drain(stream, BULK);
            let _ = stream.write_all(b".");
        }
        b"d" => pour(stream, BULK),
        _ => {
            let _ = stream.write_all(&kind);
            let _ = stream.read(&mut kind);
        }
    }
}

fn pour(stream: &mut TcpStream, mut bytes: u64) {
    let block = vec![7; 256 << 10];
    while bytes > 0 && stream.write_all(&block).is_ok() {
        bytes -= block.len() as u64;
    }
}

fn drain(stream: &mut TcpStream, mut bytes: u64) {
    let mut block = vec![0; 256 << 10];
    while bytes > 0 {
        match stream.read(&mut block) {
            Ok(0) | Err(_) => panic!("the stream ended with {bytes} bytes to come"),
            Ok(n) => bytes -= n as u64,
        }
    }
}

fn measure(program: &str) -> Figures {
    let pair = Pair::start(program, target());
    let gib = BULK as f64 / f64::from(1 << 30);
    let mut figures = Figures::default();

    let (cpu, began) = (pair.cpu(), Instant::now());
    let mut stream = TcpStream::connect(pair.entry).unwrap();
    stream.write_all(b"u").unwrap();
    pour(&mut stream, BULK);
    stream.read_exact(&mut [0]).unwrap();
    figures.up_rate = gib / began.elapsed().as_secs_f64();
    figures.up_cpu = (pair.cpu() - cpu) / gib;

    let (cpu, began) = (pair.cpu(), Instant::now());
    let mut stream = TcpStream::connect(pair.entry).unwrap();
    stream.write_all(b"d").unwrap();
    drain(&mut stream, BULK);
    figures.down_rate = gib / began.elapsed().as_secs_f64();
    figures.down_cpu = (pair.cpu() - cpu) / gib;
    drop(stream);

    let (cpu, began) = (pair.cpu(), Instant::now());
    let end = began + Duration::from_secs(TUNNEL_SECONDS);
    let pinger = || (0..).take_while(|_| Instant::now() < end && pair.ping().is_ok()).count();
    let count: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(pinger)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    figures.tunnels = count as f64 / began.elapsed().as_secs_f64();
    figures.tunnel_cpu = (pair.cpu() - cpu) / count as f64 * 1e6;

    let fresh = Pair::start_again(pair, program);
    let before = fresh.resident();
    let idle: Vec<_> = (0..IDLE).map(|_| fresh.ping().unwrap()).collect();
    figures.idle_kib = (fresh.resident() - before) / idle.len() as f64;
    figures
}

impl Pair {
    /// Memory is measured on processes that did nothing before.
    fn start_again(old: Self, program: &str) -> Self {
        drop(old);
        Self::start(program, target())
    }
}

/// A name, how a round's figure is read, and its unit.
type Row = (&'static str, fn(&Figures) -> f64, &'static str);

const ROWS: &[Row] = &[
    ("upload CPU", |f| f.up_cpu, "CPU-s/GiB"),
    ("download CPU", |f| f.down_cpu, "CPU-s/GiB"),
    ("upload, one stream", |f| f.up_rate, "GiB/s"),
    ("download, one stream", |f| f.down_rate, "GiB/s"),
    ("new tunnels", |f| f.tunnels, "1/s"),
    ("CPU of a new tunnel", |f| f.tunnel_cpu, "us"),
    ("memory of an idle tunnel", |f| f.idle_kib, "KiB"),
];

fn report(rounds: &[[Figures; 2]]) -> String {
    let mut text = String::from(
        "| | unit | adit pair | gost pair | adit / gost (min, max) |\n|---|---|---|---|---|\n",
    );
    for (name, read, unit) in ROWS {
        let column = |i: usize| sorted(rounds.iter().map(|round| read(&round[i])).collect());
        let ratios = sorted(rounds.iter().map(|[adit, gost]| read(adit) / read(gost)).collect());
        let middle = |values: &[f64]| values[values.len() / 2];
        let (adit, gost) = (middle(&column(0)), middle(&column(1)));
        let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
        let ratio = middle(&ratios);
        let _ = writeln!(
            text,
            "| {name} | {unit} | {adit:.3} | {gost:.3} | {ratio:.2} ({low:.2}, {high:.2}) |"
        );
    }
    text
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}
