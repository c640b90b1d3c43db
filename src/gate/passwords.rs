//! A brake on guessing: who gives many wrong passwords waits for each further answer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::sources::source;

/// Wrong passwords of one source within [`WITHIN`] that are answered at once.
pub const FREE: u32 = 10;

/// What a source is remembered for after its last wrong password.
pub const WITHIN: Duration = Duration::from_secs(60);

/// The first delay; each further wrong password doubles it, up to [`LONGEST`].
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The longest delay.
pub const LONGEST: Duration = Duration::from_secs(30);

/// Sources of one service that are remembered; the one that was silent for longest goes first.
pub const SOURCES: usize = 4096;

/// Wrong passwords of one service, by source: an IPv4 address, or an IPv6 /64.
///
/// Only the answer to a wrong password waits. Whoever has the right one is let in at once, also from
/// behind the address of somebody who guesses.
#[derive(Debug, Default)]
pub struct Passwords(Mutex<HashMap<IpAddr, Wrong>>);

#[derive(Clone, Copy, Debug)]
struct Wrong {
    count: u32,
    /// The first one that counts.
    since: Instant,
    last: Instant,
}

impl Passwords {
    /// Counts a wrong password, and says how long its answer waits.
    pub fn wrong(&self, client: IpAddr) -> Duration {
        let (now, source) = (Instant::now(), source(client));
        let mut sources = self.0.lock();
        if !sources.contains_key(&source) && sources.len() >= SOURCES {
            let oldest = sources.iter().min_by_key(|(_, wrong)| wrong.last).map(|(ip, _)| *ip);
            oldest.map(|oldest| sources.remove(&oldest));
        }
        let wrong = sources.entry(source).or_insert(Wrong { count: 0, since: now, last: now });
        // A source that waits is remembered until it has been quiet.
        let begins = if wrong.count > FREE { wrong.last } else { wrong.since };
        if now.duration_since(begins) >= WITHIN {
            *wrong = Wrong { count: 0, since: now, last: now };
        }
        wrong.count = wrong.count.saturating_add(1);
        wrong.last = now;
        let Some(doublings) = wrong.count.checked_sub(FREE + 1) else { return Duration::ZERO };
        SHORTEST.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST)
    }

    /// Forgets the wrong passwords of a client that gave the right one.
    pub fn right(&self, client: IpAddr) {
        self.0.lock().remove(&source(client));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seconds(passwords: &Passwords, client: &str) -> u64 {
        passwords.wrong(ip(client)).as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn the_eleventh_wrong_password_of_a_minute_waits_and_each_further_one_longer() {
        let passwords = Passwords::default();
        for _ in 0..10 {
            assert_eq!(seconds(&passwords, "10.0.0.1"), 0);
        }
        let waits: Vec<_> = (0..8).map(|_| seconds(&passwords, "10.0.0.1")).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(seconds(&passwords, "10.0.0.2"), 0, "another source");
        for _ in 0..3 {
            tokio::time::advance(WITHIN - Duration::from_secs(1)).await;
            assert_eq!(seconds(&passwords, "10.0.0.1"), 30, "it has not been quiet");
        }
        tokio::time::advance(WITHIN).await;
        assert_eq!(seconds(&passwords, "10.0.0.1"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_a_minute_never_wait() {
        let passwords = Passwords::default();
        for _ in 0..100 {
            tokio::time::advance(Duration::from_secs(7)).await;
            assert_eq!(seconds(&passwords, "10.0.0.1"), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_right_password_is_the_end_of_it() {
        let passwords = Passwords::default();
        for _ in 0..20 {
            passwords.wrong(ip("10.0.0.1"));
        }
        passwords.right(ip("::ffff:10.0.0.1"));
        assert_eq!(seconds(&passwords, "10.0.0.1"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_64_bits_is_one_source() {
        let passwords = Passwords::default();
        for last in 0..10 {
            assert_eq!(seconds(&passwords, &format!("2001:db8:0:1::{last}")), 0);
        }
        assert_eq!(seconds(&passwords, "2001:db8:0:1:ffff::"), 1);
        assert_eq!(seconds(&passwords, "2001:db8:0:2::"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn many_sources_cost_no_more_memory_than_some() {
        let passwords = Passwords::default();
        for _ in 0..=FREE {
            passwords.wrong(ip("10.0.0.1"));
        }
        for n in 0..SOURCES as u32 {
            tokio::time::advance(Duration::from_millis(1)).await;
            passwords.wrong(std::net::Ipv4Addr::from(0x0b00_0000 + n).into());
        }
        assert_eq!(passwords.0.lock().len(), SOURCES);
        assert_eq!(seconds(&passwords, "10.0.0.1"), 0, "the oldest is forgotten");
    }
}
