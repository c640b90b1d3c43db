//! adit beside gost and beside a plain TCP relay, in one run: `cargo bench --bench pair`.
//!
//! Every contender is a pair of processes that forwards a TCP port: adit and gost through a
//! WebSocket with HTTP CONNECT inside, the relay by copying. Rounds are interleaved in turning
//! order, processes are fresh in each, and what counts is the median of the ratios of each round:
//! absolute figures say more about the machine. It runs in a network namespace of its own (root),
//! with reno, prints its tables and writes them to `benches/RESULTS.md`.
//!
//! `cargo bench --bench pair -- [ROUNDS] [FIGURE..] [CONTENDER..]` measures less: another number of
//! rounds than seven, some of the figures (`bulk`, `many`, `pinned`, `tunnels`, `idle`), some of the
//! contenders (`relay`, `adit-ws`, `gost-mws`..). Only a run of all of them writes the file.
//!
//! `ADIT_BASE=PATH`, another build of adit, adds it as a contender over each transport, and a table
//! of the ratios to it: whether a change costs speed is only seen in one run.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod contender;
mod figures;
mod load;
mod relay;
mod report;

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use contender::{CONTENDERS, Contender, Programs};
use figures::{Figures, KINDS, Kind};

const ROUNDS: usize = 7;

/// Set inside of the namespace: gost's path.
const INSIDE: &str = "ADIT_BENCH_INSIDE";

fn main() {
    if let Ok(addresses) = std::env::var(relay::ROLE) {
        return relay::run(&addresses);
    }
    let Ok(gost) = std::env::var(INSIDE) else { return enter() };
    let base = std::env::var("ADIT_BASE").ok();
    let programs = Programs { adit: env!("CARGO_BIN_EXE_adit").into(), base, gost };
    let Run { rounds, kinds, contenders } = Run::parse(std::env::args().skip(1), &programs);
    let mut all: Vec<Vec<Figures>> = Vec::new();
    for round in 0..rounds {
        let mut figures = vec![Figures::NONE; contenders.len()];
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            eprintln!("round {} of {rounds}: {}", round + 1, contenders[at].name);
            figures[at] = Figures::measure(contenders[at], &programs, &kinds);
        }
        all.push(figures);
    }
    let text = report::text(&contenders, &all);
    print!("{text}");
    let all_of_them = CONTENDERS.iter().filter(|contender| programs.has(contender.program)).count();
    if kinds.len() == KINDS.len() && contenders.len() == all_of_them {
        report::write(rounds, &text);
    }
}

/// What is asked for.
struct Run {
    rounds: usize,
    kinds: Vec<Kind>,
    contenders: Vec<&'static Contender>,
}

impl Run {
    fn parse(args: impl Iterator<Item = String>, programs: &Programs) -> Self {
        let mut run = Self { rounds: ROUNDS, kinds: vec![], contenders: vec![] };
        // Cargo adds `--bench`.
        for arg in args.filter(|arg| !arg.starts_with('-')) {
            let contender = CONTENDERS.iter().find(|c| c.name.replace(' ', "-") == arg);
            if let Ok(rounds) = arg.parse() {
                run.rounds = rounds;
            } else if let Some((_, kind)) = KINDS.iter().find(|(word, _)| *word == arg) {
                run.kinds.push(*kind);
            } else {
                let nothing = || panic!("{arg} is neither a figure nor a contender");
                run.contenders.push(contender.unwrap_or_else(nothing));
            }
        }
        if run.kinds.is_empty() {
            run.kinds = KINDS.iter().map(|(_, kind)| *kind).collect();
        }
        if run.contenders.is_empty() {
            run.contenders = CONTENDERS.iter().collect();
            run.contenders.retain(|contender| programs.has(contender.program));
        }
        run
    }
}

/// Goes on in a network namespace. What has to be built is built before: there is no network inside.
fn enter() {
    let gost = tool("gost");
    let setup = "ip link set lo up; echo reno > /proc/sys/net/ipv4/tcp_congestion_control; exec \"$0\" \"$@\"";
    let error = Command::new("unshare")
        .args(["-n", "sh", "-c", setup])
        .arg(std::env::current_exe().unwrap())
        .args(std::env::args().skip(1))
        .env(INSIDE, gost)
        .exec();
    panic!("unshare (util-linux, root): {error}");
}

fn tool(name: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/build");
    let output = Command::new(script).arg(name).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().split_once('=').unwrap_or_else(|| panic!("{script} {name} failed")).1.to_string()
}
