//! adit beside gost and beside a plain TCP relay, in one run: `cargo bench --bench pair`.
//!
//! Every contender is a pair of processes that forwards a TCP port: adit and gost through a
//! WebSocket with HTTP CONNECT inside, the relay by copying. Rounds are interleaved in turning
//! order, processes are fresh in each, and what counts is the median of the ratios of each round:
//! absolute figures say more about the machine. It runs in a network namespace of its own (root),
//! with reno, prints its tables and writes them to `benches/RESULTS.md`.
//!
//! `cargo bench --bench pair -- ROUNDS` for another number of rounds than seven.

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

use contender::{CONTENDERS, Programs};
use figures::{Figures, measure};

const ROUNDS: usize = 7;

/// Set inside of the namespace: gost's path.
const INSIDE: &str = "ADIT_BENCH_INSIDE";

fn main() {
    if let Ok(addresses) = std::env::var(relay::ROLE) {
        return relay::run(&addresses);
    }
    let Ok(gost) = std::env::var(INSIDE) else { return enter() };
    let rounds = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(ROUNDS);
    let programs = Programs { adit: env!("CARGO_BIN_EXE_adit").into(), gost };
    let mut all: Vec<Vec<Figures>> = Vec::new();
    for round in 0..rounds {
        let mut figures = vec![Figures::default(); CONTENDERS.len()];
        for turn in 0..CONTENDERS.len() {
            let at = (round + turn) % CONTENDERS.len();
            eprintln!("round {} of {rounds}: {}", round + 1, CONTENDERS[at].name);
            figures[at] = measure(&CONTENDERS[at], &programs);
        }
        all.push(figures);
    }
    let text = report::text(&all);
    print!("{text}");
    report::write(&text);
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
