use std::task::Waker;

use super::*;

const MIB: usize = 1 << 20;

fn budget(bytes: usize) -> (Budget, Metrics) {
    let metrics = Metrics::new().unwrap();
    (Budget::new(bytes, &metrics), metrics)
}

fn is_shed(account: &Account) -> bool {
    account.poll_shed(&Context::from_waker(Waker::noop())).is_ready()
}

fn shed(metrics: &Metrics) -> u64 {
    let text = metrics.encode().unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("adit_bound_reached_total{bound=\"queued_bytes\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn the_largest_session_of_a_namespace_beyond_its_part_is_shed_and_no_other() {
    let (budget, metrics) = budget(100 * MIB);
    let (a, b) = (budget.share("a", "a/one"), budget.share("b", "b/one"));
    let mut neighbour = b.open();
    neighbour.hold(4 * MIB);
    let (mut small, mut large) = (a.open(), a.open());
    small.hold(10 * MIB);
    large.hold(38 * MIB);
    assert_eq!((budget.used(), shed(&metrics)), (52 * MIB, 0), "half of what is left is its own");
    small.hold(12 * MIB);
    assert!(is_shed(&large) && !is_shed(&small) && !is_shed(&neighbour));
    assert_eq!((budget.used(), shed(&metrics)), (16 * MIB, 1));
    // On its way out it may still hold more for a moment: nobody counts it.
    large.hold(60 * MIB);
    drop(large);
    assert_eq!(budget.used(), 16 * MIB);
    drop((small, neighbour));
    assert_eq!(budget.used(), 0);
}

#[test]
fn who_grows_takes_from_the_largest_namespace_and_not_from_smaller_ones() {
    let (budget, _metrics) = budget(90 * MIB);
    let [large, middle, small] = ["large", "middle", "small"].map(|name| budget.share(name, name));
    let mut of_large = [(); 5].map(|()| large.open());
    for (account, mib) in of_large.iter_mut().zip(5..) {
        account.hold(mib * MIB);
    }
    let mut of_middle = middle.open();
    of_middle.hold(15 * MIB);
    // A third of what is left would be its part; it is the largest one that has too much.
    let mut of_small = small.open();
    of_small.hold(24 * MIB);
    assert!(is_shed(&of_large[4]), "the largest session of the largest namespace goes first");
    assert!(!is_shed(&of_large[0]) && !is_shed(&of_middle) && !is_shed(&of_small));
    assert!(budget.used() <= 90 * MIB);
}

#[test]
fn whoever_they_are_they_hold_no_more_than_the_budget() {
    let (budget, _metrics) = budget(10 * MIB);
    let mut accounts = Vec::new();
    for i in 0..400_usize {
        let mut account = budget.share(&format!("n{}", i % 7), "t").open();
        account.hold((i * 37 % 900 + 1) * 1024);
        assert!(budget.used() <= 10 * MIB);
        accounts.push(account);
    }
    drop(accounts);
    assert_eq!(budget.used(), 0);
}

#[test]
fn small_changes_are_not_told_and_an_empty_account_is() {
    let (budget, _metrics) = budget(10 * MIB);
    let mut account = budget.share("a", "t").open();
    account.hold(STEP - 1);
    assert_eq!(budget.used(), 0);
    account.hold(2 * STEP);
    account.hold(STEP + 1);
    assert_eq!(budget.used(), 2 * STEP);
    account.hold(0);
    assert_eq!(budget.used(), 0);
}

#[test]
fn without_a_budget_nothing_is_counted_and_nobody_is_shed() {
    let budget = Budget::unlimited();
    let mut account = budget.share("", "").open();
    account.hold(usize::MAX);
    assert!(!is_shed(&account));
    assert_eq!(budget.used(), 0);
}

#[test]
fn namespaces_that_are_gone_are_forgotten() {
    let (budget, _metrics) = budget(MIB);
    for i in 0..100 {
        budget.share(&i.to_string(), "t");
    }
    budget.share("last", "t");
    assert!(budget.0.unwrap().namespaces.lock().len() <= 1);
}
