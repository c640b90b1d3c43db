use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::config::model::{Bypass, Pattern, TargetPattern};
use crate::gate::bypass;

struct Plain {
    name: &'static str,
    standing: Standing,
    bypasses: Vec<Arc<Bypass>>,
}

impl Candidate for Plain {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn passed_by(&self, by: &By<'_>) -> bool {
        by.target.is_some_and(|to| bypass::matches(&self.bypasses, by.network, to))
    }
}

fn node(name: &'static str) -> Plain {
    Plain { name, standing: Standing::default(), bypasses: vec![] }
}

fn choice(strategy: Strategy, nodes: Vec<Plain>) -> Choice<Plain> {
    Choice::new(Selector { strategy, ..Default::default() }, nodes)
}

fn names(choice: &Choice<Plain>, hash: Hashed<'_>) -> String {
    let target = "example.com:443".parse().unwrap();
    let verdicts = &Verdicts::default();
    let by = By { network: Network::Tcp, target: Some(&target), hash, verdicts };
    let order = choice.order(&by);
    order.into_iter().map(|index| choice.node(index).unwrap().name).collect()
}

fn order(choice: &Choice<Plain>) -> String {
    names(choice, Hashed::User("u"))
}

#[tokio::test(start_paused = true)]
async fn round_takes_each_in_turn_and_the_others_after_it() {
    let choice = choice(Strategy::Round, vec![node("a"), node("b"), node("c")]);
    let orders: Vec<_> = (0..4).map(|_| order(&choice)).collect();
    assert_eq!(orders, ["abc", "bca", "cab", "abc"]);
}

#[tokio::test(start_paused = true)]
async fn fifo_keeps_to_the_first_that_is_well() {
    let choice = choice(Strategy::Fifo, vec![node("a"), node("b")]);
    assert_eq!(order(&choice), "ab");
    assert!(choice.failed(0));
    assert_eq!(order(&choice), "ba");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(order(&choice), "ab");
}

#[tokio::test(start_paused = true)]
async fn hash_sends_one_client_to_one_node() {
    let choice = choice(Strategy::Hash, vec![node("a"), node("b"), node("c")]);
    // The check value of CRC-32/ISO-HDLC.
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    let client = Hashed::Client([10, 0, 0, 1].into());
    let first = names(&choice, client);
    assert_eq!(names(&choice, client), first);
    let spread: std::collections::BTreeSet<_> =
        (0..20).map(|n| names(&choice, Hashed::Client([10, 0, 0, n].into()))).collect();
    assert_eq!(spread.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn random_goes_by_weight() {
    let mut heavy = node("a");
    heavy.standing.weight = 9;
    let choice = choice(Strategy::Random, vec![heavy, node("b")]);
    let mut firsts = HashMap::new();
    for _ in 0..1000 {
        *firsts.entry(order(&choice)).or_insert(0) += 1;
    }
    let heavy = firsts["ab"];
    assert!((840..=960).contains(&heavy), "{heavy} of 1000");
}

#[tokio::test(start_paused = true)]
async fn a_backup_comes_when_no_other_is_well() {
    let mut backup = node("z");
    backup.standing.backup = true;
    let choice = choice(Strategy::Round, vec![backup, node("a"), node("b")]);
    assert_eq!(order(&choice), "abz");
    choice.failed(1);
    choice.failed(2);
    assert_eq!(order(&choice), "zab");
}

#[tokio::test(start_paused = true)]
async fn when_all_have_failed_the_one_that_failed_longest_ago_is_first() {
    let choice = choice(Strategy::Fifo, vec![node("a"), node("b"), node("c")]);
    for index in [1, 2, 0] {
        choice.failed(index);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(order(&choice), "bca");
}

#[tokio::test(start_paused = true)]
async fn a_node_s_own_limits_win_and_a_success_resets_them() {
    let mut tough = node("a");
    tough.standing.max_fails = Some(3);
    tough.standing.fail_timeout = Some(Duration::from_secs(60));
    let choice = choice(Strategy::Fifo, vec![tough, node("b")]);
    assert!(!choice.failed(0));
    assert!(!choice.failed(0));
    assert_eq!(order(&choice), "ab");
    assert!(!choice.succeeded(0), "it had not failed yet");
    assert!(!choice.failed(0) && !choice.failed(0));
    assert!(choice.failed(0));
    assert!(!choice.failed(0), "the change is told once");
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(order(&choice), "ba");
    assert!(choice.succeeded(0));
    assert_eq!(order(&choice), "ab");
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_bypass_matches_is_no_candidate() {
    let host = Pattern::Suffix("example.com".into());
    let patterns = vec![TargetPattern { host, ports: None }].into();
    let mut passed_by = node("a");
    passed_by.bypasses = vec![Arc::new(Bypass { patterns, ..Default::default() })];
    assert_eq!(order(&choice(Strategy::Fifo, vec![passed_by, node("b")])), "b");
}
