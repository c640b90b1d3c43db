//! Tables of the rounds: absolute figures, and the ratios that count.

use std::fmt::Write as _;
use std::process::Command;

use super::contender::CONTENDERS;
use super::figures::Figures;

/// How a round's figure is read.
type Read = fn(&Figures) -> f64;

const FIGURES: &[(&str, Read)] = &[
    ("upload, one stream, CPU-s/GiB", |f| f.up.cpu),
    ("download, one stream, CPU-s/GiB", |f| f.down.cpu),
    ("upload, one stream, GiB/s", |f| f.up.rate),
    ("download, one stream, GiB/s", |f| f.down.rate),
    ("upload, 64 streams, CPU-s/GiB", |f| f.many_up.cpu),
    ("download, 64 streams, CPU-s/GiB", |f| f.many_down.cpu),
    ("upload, 64 streams, GiB/s", |f| f.many_up.rate),
    ("download, 64 streams, GiB/s", |f| f.many_down.rate),
    ("upload, pinned to one CPU, CPU-s/GiB", |f| f.pinned_up.cpu),
    ("download, pinned to one CPU, CPU-s/GiB", |f| f.pinned_down.cpu),
    ("round trip of 64 bytes, pinned, us", |f| f.round_trip),
    ("new tunnels/s", |f| f.tunnels),
    ("CPU of a new tunnel, us", |f| f.tunnel_cpu),
    ("memory of an idle tunnel, KiB", |f| f.idle_memory),
    ("wake-ups/s with 1,000 idle tunnels", |f| f.idle_wakeups),
    ("memory on top with 64 bulk streams, MiB", |f| f.busy_memory),
];

/// What is compared with what: a title, the two columns, the figure, and the goal (`<=` or `>=`).
type Ratio = (&'static str, &'static str, &'static str, Read, &'static str);

const RATIOS: &[Ratio] = &[
    ("upload CPU, ws", "adit ws", "gost ws", |f| f.up.cpu, "<= 0.20"),
    ("download CPU, ws", "adit ws", "gost ws", |f| f.down.cpu, "<= 0.20"),
    ("upload CPU, mws", "adit mws", "gost mws", |f| f.up.cpu, "<= 0.20"),
    ("download CPU, mws", "adit mws", "gost mws", |f| f.down.cpu, "<= 0.20"),
    ("upload CPU, pinned", "adit ws", "relay", |f| f.pinned_up.cpu, "<= 1.25"),
    ("download CPU, pinned", "adit ws", "relay", |f| f.pinned_down.cpu, "<= 1.10"),
    ("upload rate, one stream", "adit ws", "gost ws", |f| f.up.rate, ">= 4"),
    ("download rate, one stream", "adit ws", "gost ws", |f| f.down.rate, ">= 4"),
    ("upload rate, 64 streams", "adit ws", "gost ws", |f| f.many_up.rate, ">= 2.5"),
    ("download rate, 64 streams", "adit ws", "gost ws", |f| f.many_down.rate, ">= 2.5"),
    ("new tunnels/s", "adit ws", "gost ws", |f| f.tunnels, ">= 3"),
    ("round trip, pinned", "adit ws", "relay", |f| f.round_trip, "<= 1.05"),
    ("mux upload CPU, one stream, pinned", "adit mws", "adit ws", |f| f.pinned_up.cpu, "<= 1.4"),
    (
        "mux download CPU, one stream, pinned",
        "adit mws",
        "adit ws",
        |f| f.pinned_down.cpu,
        "<= 1.4",
    ),
    ("mux upload CPU, 64 streams", "adit mws", "adit ws", |f| f.many_up.cpu, "<= 1.1"),
    ("mux download CPU, 64 streams", "adit mws", "adit ws", |f| f.many_down.cpu, "<= 1.1"),
    ("memory of an idle tunnel", "adit ws", "gost ws", |f| f.idle_memory, "<= 0.12"),
];

/// Both tables.
pub fn text(rounds: &[Vec<Figures>]) -> String {
    let names: Vec<_> = CONTENDERS.iter().map(|contender| contender.name).collect();
    let mut text =
        format!("| median | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for (title, read) in FIGURES {
        let cell = |at: usize| {
            let [_, middle, _] = spread(rounds.iter().map(|round| read(&round[at])).collect());
            format!("{middle:.3}")
        };
        let cells: Vec<_> = (0..names.len()).map(cell).collect();
        let _ = writeln!(text, "| {title} | {} |", cells.join(" | "));
    }
    text.push_str("\n| ratio | of | to | goal | median (min, max) |\n|---|---|---|---|---|\n");
    for (title, of, to, read, goal) in RATIOS {
        let [a, b] = [of, to].map(|name| names.iter().position(|n| n == name).unwrap());
        let ratios = rounds.iter().map(|round| read(&round[a]) / read(&round[b])).collect();
        let [low, middle, high] = spread(ratios);
        let _ = writeln!(
            text,
            "| {title} | {of} | {to} | {goal} | {middle:.2} ({low:.2}, {high:.2}) |"
        );
    }
    text
}

/// The lowest, the median and the highest.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}

/// Puts the tables, the machine and the day into `RESULTS.md`, before what other benchmarks wrote.
pub fn write(tables: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");
    let old = std::fs::read_to_string(path).unwrap_or_default();
    let rest = old.find("\n## ").map_or("", |at| &old[at..]);
    let words = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("?");
    let cpus = std::thread::available_parallelism().unwrap();
    let (kernel, day) = (words("uname", &["-r"]), words("date", &["-u", "+%F"]));
    let text = format!(
        "# Results\n\nWritten by `cargo bench --bench pair` on {day}: {cpus} CPUs ({cpu}), Linux {kernel}, a \
         network namespace with reno.\nEvery contender is a pair of processes; CPU is of both \
         together, memory of the larger one. The ratios count: absolute figures are the machine's.\n\n\
         {tables}{rest}"
    );
    std::fs::write(path, text).unwrap();
}
