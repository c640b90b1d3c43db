//! Tables of the rounds: absolute figures, and the goals.

use std::fmt::{Display, Formatter, Write as _};
use std::process::Command;

use super::contender::Contender;
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
    ("memory on top with 64 bulk streams, MiB", |f| f.busy_memory),
    ("upload, one stream, on one CPU, CPU-s/GiB", |f| f.pinned_up.cpu),
    ("download, one stream, on one CPU, CPU-s/GiB", |f| f.pinned_down.cpu),
    ("upload, 64 streams, on one CPU, CPU-s/GiB", |f| f.pinned_many_up.cpu),
    ("download, 64 streams, on one CPU, CPU-s/GiB", |f| f.pinned_many_down.cpu),
    ("round trip of 64 bytes, on one CPU, us", |f| f.round_trip),
    ("new tunnels/s", |f| f.tunnels),
    ("CPU of a new tunnel, us", |f| f.tunnel_cpu),
    ("memory of an idle tunnel, KiB", |f| f.idle_memory),
    ("wake-ups/s with 1,000 idle tunnels", |f| f.idle_wakeups),
];

#[derive(Clone, Copy)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

use Goal::{AtLeast, AtMost};

impl Goal {
    fn met(self, value: f64) -> bool {
        match self {
            AtMost(most) => value <= most,
            AtLeast(least) => value >= least,
        }
    }
}

impl Display for Goal {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            AtMost(most) => write!(f, "<= {most}"),
            AtLeast(least) => write!(f, ">= {least}"),
        }
    }
}

/// A title, the column, the one that it is divided by (`""`: the figure itself counts), the figure,
/// and the goal.
type Compared = (&'static str, &'static str, &'static str, Read, Goal);

const GOALS: &[Compared] = &[
    ("upload CPU", "adit ws", "gost ws", |f| f.up.cpu, AtMost(0.2)),
    ("download CPU", "adit ws", "gost ws", |f| f.down.cpu, AtMost(0.2)),
    ("upload CPU", "adit mws", "gost mws", |f| f.up.cpu, AtMost(0.2)),
    ("download CPU", "adit mws", "gost mws", |f| f.down.cpu, AtMost(0.2)),
    ("upload CPU, on one CPU", "adit ws", "relay", |f| f.pinned_up.cpu, AtMost(1.25)),
    ("download CPU, on one CPU", "adit ws", "relay", |f| f.pinned_down.cpu, AtMost(1.1)),
    ("upload rate, one stream", "adit ws", "gost ws", |f| f.up.rate, AtLeast(4.0)),
    ("download rate, one stream", "adit ws", "gost ws", |f| f.down.rate, AtLeast(4.0)),
    ("upload rate, 64 streams", "adit ws", "gost ws", |f| f.many_up.rate, AtLeast(2.5)),
    ("download rate, 64 streams", "adit ws", "gost ws", |f| f.many_down.rate, AtLeast(2.5)),
    ("new tunnels/s", "adit ws", "gost ws", |f| f.tunnels, AtLeast(3.0)),
    ("round trip, on one CPU", "adit ws", "relay", |f| f.round_trip, AtMost(1.05)),
    ("mux upload CPU, one stream", "adit mws", "adit ws", |f| f.pinned_up.cpu, AtMost(1.4)),
    ("mux download CPU, one stream", "adit mws", "adit ws", |f| f.pinned_down.cpu, AtMost(1.4)),
    ("mux upload CPU, 64 streams", "adit mws", "adit ws", |f| f.pinned_many_up.cpu, AtMost(1.1)),
    (
        "mux download CPU, 64 streams",
        "adit mws",
        "adit ws",
        |f| f.pinned_many_down.cpu,
        AtMost(1.1),
    ),
    ("memory of an idle tunnel", "adit ws", "gost ws", |f| f.idle_memory, AtMost(0.12)),
    ("memory of an idle tunnel, KiB", "adit ws", "", |f| f.idle_memory, AtMost(8.0)),
    ("memory of an idle tunnel, KiB", "adit wss", "", |f| f.idle_memory, AtMost(20.0)),
    ("memory on top, 64 streams, MiB", "adit ws", "", |f| f.busy_memory, AtMost(32.0)),
    ("memory on top, 64 streams, MiB", "adit mws", "", |f| f.busy_memory, AtMost(32.0)),
    ("memory on top, 64 streams, MiB", "adit wss", "", |f| f.busy_memory, AtMost(32.0)),
    // Timers of the start, and the session's keepalive.
    ("wake-ups/s, 1,000 idle tunnels", "adit ws", "", |f| f.idle_wakeups, AtMost(1.0)),
    ("wake-ups/s, 1,000 idle tunnels", "adit mws", "", |f| f.idle_wakeups, AtMost(1.0)),
    ("wake-ups/s, 1,000 idle tunnels", "adit wss", "", |f| f.idle_wakeups, AtMost(1.0)),
];

/// All tables, with what was measured.
pub fn text(contenders: &[&Contender], rounds: &[Vec<Figures>]) -> String {
    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
    let mut text =
        format!("| median | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for (title, read) in FIGURES {
        let cell = |at| spread(rounds.iter().map(|round: &Vec<Figures>| read(&round[at])));
        let cells: Vec<_> = (0..names.len()).map(cell).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let cells =
            cells.iter().map(|c| c.map_or("-".into(), |[_, middle, _]| format!("{middle:.3}")));
        let _ = writeln!(text, "| {title} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    text.push_str("\n| | of | to | goal | median (min, max) | met |\n|---|---|---|---|---|---|\n");
    for (title, of, to, read, goal) in GOALS {
        let [a, b] = [of, to].map(|name| names.iter().position(|n| n == name));
        let values = rounds.iter().map(|round| match (a, b) {
            (Some(a), Some(b)) => read(&round[a]) / read(&round[b]),
            (Some(a), None) if to.is_empty() => read(&round[a]),
            _ => f64::NAN,
        });
        let Some([low, middle, high]) = spread(values) else { continue };
        let met = if goal.met(middle) { "yes" } else { "**no**" };
        let _ = writeln!(
            text,
            "| {title} | {of} | {to} | {goal} | {middle:.2} ({low:.2}, {high:.2}) | {met} |"
        );
    }
    text + &to_base(&names, rounds)
}

/// Every figure of adit divided by the other build's in the same round; nothing without one.
fn to_base(names: &[&str], rounds: &[Vec<Figures>]) -> String {
    let place = |name: String| names.iter().position(|other| **other == name);
    let pairs: Vec<_> = ["ws", "mws", "wss"]
        .into_iter()
        .filter_map(|transport| {
            let [adit, base] = ["adit", "base"].map(|build| place(format!("{build} {transport}")));
            Some((transport, adit?, base?))
        })
        .collect();
    if pairs.is_empty() {
        return String::new();
    }
    let heads: Vec<_> = pairs.iter().map(|(transport, ..)| *transport).collect();
    let mut text = format!(
        "\n| adit to the base build, median (min, max) | {} |\n|---|{}\n",
        heads.join(" | "),
        "---|".repeat(heads.len())
    );
    for (title, read) in FIGURES {
        let cells: Vec<_> = pairs
            .iter()
            .map(|(_, adit, base)| {
                spread(rounds.iter().map(|round| read(&round[*adit]) / read(&round[*base])))
            })
            .collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let cells = cells.iter().map(|cell| {
            cell.map_or("-".into(), |[low, middle, high]| {
                format!("{middle:.3} ({low:.2}, {high:.2})")
            })
        });
        let _ = writeln!(text, "| {title} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

/// The lowest, the median and the highest; `None` if it was not measured.
fn spread(values: impl Iterator<Item = f64>) -> Option<[f64; 3]> {
    let mut values: Vec<_> = values.filter(|value| !value.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    Some([*values.first()?, values[values.len() / 2], *values.last()?])
}

/// Puts the tables, the machine and the day into `RESULTS.md`, before what other benchmarks wrote.
pub fn write(rounds: usize, tables: &str) {
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
         network namespace with reno, {rounds} rounds.\nEvery contender is a pair of processes; CPU \
         and wake-ups are of both together, memory of the larger one. \"On one CPU\" everything \
         is, the load too.\nThe goals count: absolute figures are the machine's.\n\n{tables}{rest}"
    );
    std::fs::write(path, text).unwrap();
}
