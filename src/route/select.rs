//! Which of several nodes is tried, in which order, and when one counts as failed.
//!
//! The rules are GOST's selectors and filters, but one: where all nodes have failed GOST 3.2.6 has
//! no node left and goes on without the hop, which may be a direct dial. Here the failed ones are
//! tried last, the one that failed longest ago first.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::base::{Network, Target};
use crate::config::model::{Selector, Standing, Strategy};
use crate::gate::bypass::Verdicts;

/// What is chosen from.
pub(super) trait Candidate {
    /// Weight, backup, failures.
    fn standing(&self) -> &Standing;
    /// Whether its bypasses match: then it is no candidate.
    fn passed_by(&self, by: &By<'_>) -> bool;
}

/// Nodes with a selector and what became of them.
pub(super) struct Choice<N> {
    selector: Selector,
    members: Vec<Member<N>>,
    turn: AtomicUsize,
}

struct Member<N> {
    node: N,
    failures: Mutex<Failures>,
}

#[derive(Default)]
struct Failures {
    /// In a row.
    count: u32,
    last: Option<Instant>,
}

/// What a choice goes by.
pub(super) struct By<'a> {
    pub(super) network: Network,
    /// What the client asked for, if it was asked.
    pub(super) target: Option<&'a Target>,
    /// What strategy `hash` goes by.
    pub(super) hash: Hashed<'a>,
    /// What bypasses said of the target before.
    pub(super) verdicts: &'a Verdicts,
}

/// What strategy `hash` goes by.
#[derive(Clone, Copy)]
pub(super) enum Hashed<'a> {
    User(&'a str),
    Client(IpAddr),
    Target(&'a Target),
}

impl Hashed<'_> {
    fn crc(self) -> u32 {
        match self {
            Self::User(user) => crc32(user.as_bytes()),
            Self::Client(ip) => crc32(ip.to_string().as_bytes()),
            Self::Target(target) => crc32(target.to_string().as_bytes()),
        }
    }
}

impl<N: Candidate> Choice<N> {
    pub(super) fn new(selector: Selector, nodes: Vec<N>) -> Self {
        let member = |node| Member { node, failures: Mutex::default() };
        let members = nodes.into_iter().map(member).collect();
        Self { selector, members, turn: AtomicUsize::new(0) }
    }

    pub(super) fn node(&self, index: usize) -> Option<&N> {
        self.members.get(index).map(|member| &member.node)
    }

    /// The nodes for one request, in the order in which they are tried: those that are well, as the
    /// strategy says; then the backups, likewise; then those that have failed. Empty: every node is
    /// passed by.
    pub(super) fn order(&self, by: &By<'_>) -> Vec<usize> {
        let now = Instant::now();
        let (mut primary, mut backup, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (index, member) in self.members.iter().enumerate() {
            if member.node.passed_by(by) {
                continue;
            }
            match self.failed_at(member, now) {
                Some(at) => failed.push((at, index)),
                None if member.node.standing().backup => backup.push(index),
                None => primary.push(index),
            }
        }
        self.arrange(&mut primary, by);
        self.arrange(&mut backup, by);
        failed.sort();
        primary.append(&mut backup);
        primary.extend(failed.into_iter().map(|(_, index)| index));
        primary
    }

    fn arrange(&self, nodes: &mut [usize], by: &By<'_>) {
        if nodes.len() < 2 {
            return;
        }
        let first = match self.selector.strategy {
            Strategy::Fifo => return,
            Strategy::Random => return self.shuffle(nodes),
            Strategy::Round => self.turn.fetch_add(1, Ordering::Relaxed),
            Strategy::Hash => by.hash.crc() as usize,
        };
        nodes.rotate_left(first % nodes.len());
    }

    /// By weight, without putting back: each node's key is a random number to the power of
    /// 1/weight, the greatest first (Efraimidis and Spirakis).
    fn shuffle(&self, nodes: &mut [usize]) {
        let key = |index: &usize| {
            let weight = self.node(*index).map_or(1, |node| node.standing().weight.max(1));
            let key = rand::random::<f64>().powf(1.0 / f64::from(weight));
            // Numbers from 0 to 1 keep their order as integers.
            Reverse((key * (1_u64 << 53) as f64) as u64)
        };
        nodes.sort_by_cached_key(key);
    }

    /// When it failed for the last time, if it is to be left alone now.
    fn failed_at(&self, member: &Member<N>, now: Instant) -> Option<Instant> {
        let (max, timeout) = self.tolerance(&member.node);
        let failures = member.failures.lock();
        let last = failures.last.filter(|_| failures.count >= max)?;
        (now.duration_since(last) < timeout).then_some(last)
    }

    /// The node's own limits, else the selector's.
    fn tolerance(&self, node: &N) -> (u32, Duration) {
        let standing = node.standing();
        let max = standing.max_fails.unwrap_or(self.selector.max_fails).max(1);
        (max, standing.fail_timeout.unwrap_or(self.selector.fail_timeout))
    }

    /// Counts a failure. True if this is the one with which the node has failed.
    pub(super) fn failed(&self, index: usize) -> bool {
        let Some(member) = self.members.get(index) else { return false };
        let (max, _) = self.tolerance(&member.node);
        let mut failures = member.failures.lock();
        failures.count = failures.count.saturating_add(1);
        failures.last = Some(Instant::now());
        failures.count == max
    }

    /// Forgets its failures. True if it had failed before.
    pub(super) fn succeeded(&self, index: usize) -> bool {
        let Some(member) = self.members.get(index) else { return false };
        let (max, _) = self.tolerance(&member.node);
        let mut failures = member.failures.lock();
        let had_failed = failures.count >= max;
        *failures = Failures::default();
        had_failed
    }
}

/// CRC-32 as in IEEE 802.3, reflected: Go's `crc32.ChecksumIEEE`.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests;
