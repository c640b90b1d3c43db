//! Work by key, shared out among namespaces.
//!
//! One piece of work of a key at a time, a few of all keys; a key that failed waits for a back-off
//! of its own. Namespaces take turns. One is given a place only while it has fewer than are free:
//! alone it takes half of all places, the next one half of the rest. So however much a namespace
//! asks for, and however long its work takes, another one's work begins at once.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::pending;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

/// What is done for a key.
pub(super) type Perform<K, T, O> = Box<dyn Fn(K, T) -> BoxFuture<'static, O> + Send>;

/// Whose turn a key waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Nobody's: what the operator asks for comes before all namespaces, and may take every place.
    First,
    /// This namespace's.
    Of(Arc<str>),
}

/// How long failed work waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackOff {
    /// After the first failure; it doubles with each one that follows.
    pub(super) first: Duration,
    /// At most.
    pub(super) most: Duration,
    /// By which part of it each wait is made longer or shorter at random, so that replicas do not
    /// try at the same time.
    pub(super) spread: f64,
}

impl BackOff {
    fn after(self, last: Option<Duration>) -> Duration {
        last.map_or(self.first, |last| (last * 2).min(self.most))
    }

    fn spread(self, delay: Duration) -> Duration {
        delay.mul_f64(1.0 - self.spread + 2.0 * self.spread * rand::random::<f64>())
    }
}

/// The queue. Drive it with [`Queue::next`].
pub(super) struct Queue<K, T, O> {
    places: usize,
    perform: Perform<K, T, O>,
    entries: HashMap<K, Entry<T>>,
    lanes: BTreeMap<Lane, Waiting<K>>,
    /// Lanes with keys that wait, in turn. One without any is taken out when its turn comes.
    turn: VecDeque<Lane>,
    /// Keys that failed, by the end of their back-off.
    delayed: BTreeSet<(Instant, K)>,
    running: FuturesUnordered<Abortable<BoxFuture<'static, (K, O)>>>,
    /// Places that are taken. One that was forgotten has none any more.
    taken: usize,
    /// Counts what is put into lanes, for the order in them.
    arrivals: u64,
}

/// The keys of a lane that wait, by arrival, and how many run.
struct Waiting<K> {
    keys: BTreeMap<u64, K>,
    running: usize,
    in_turn: bool,
}

/// What is known of a key.
struct Entry<T> {
    lane: Lane,
    running: Option<Run<T>>,
    /// The newest work that has not begun: it waits in its lane, for the end of what runs, or for
    /// the end of a back-off.
    waiting: Option<T>,
    place: Place,
    /// The last back-off.
    delay: Option<Duration>,
}

struct Run<T> {
    work: T,
    lane: Lane,
    abort: AbortHandle,
}

/// Where a key waits.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Nowhere,
    InLane(u64),
    Delayed(Instant),
}

impl<K, T, O> Queue<K, T, O>
where
    K: Clone + Eq + Hash + Ord + Send + 'static,
    T: Clone + PartialEq,
    O: 'static,
{
    /// An empty queue that does so many things at the same time.
    pub(super) fn new(places: usize, perform: Perform<K, T, O>) -> Self {
        Self {
            places,
            perform,
            entries: HashMap::new(),
            lanes: BTreeMap::new(),
            turn: VecDeque::new(),
            delayed: BTreeSet::new(),
            running: FuturesUnordered::new(),
            taken: 0,
            arrivals: 0,
        }
    }

    /// Asks for work. It replaces what waits of the key; what runs goes on and is followed by it,
    /// unless it is the same. The same as what failed waits for the end of the back-off, anything
    /// else begins anew.
    pub(super) fn put(&mut self, key: K, lane: Lane, work: T) {
        let new = || Entry {
            lane: lane.clone(),
            running: None,
            waiting: None,
            place: Place::Nowhere,
            delay: None,
        };
        let entry = self.entries.entry(key.clone()).or_insert_with(new);
        if let Some(run) = &entry.running {
            entry.waiting = (run.work != work).then_some(work);
            entry.lane = lane;
            return;
        }
        let stays = match entry.place {
            Place::Nowhere => false,
            Place::InLane(_) => entry.lane == lane,
            Place::Delayed(_) => entry.waiting.as_ref() == Some(&work),
        };
        entry.waiting = Some(work);
        if stays {
            return;
        }
        self.leave(&key);
        if let Some(entry) = self.entries.get_mut(&key) {
            (entry.lane, entry.delay) = (lane, None);
        }
        self.enter(key);
        self.start();
    }

    /// The newest work of a key that was asked for and has not ended.
    pub(super) fn newest(&self, key: &K) -> Option<&T> {
        let entry = self.entries.get(key)?;
        entry.waiting.as_ref().or(entry.running.as_ref().map(|run| &run.work))
    }

    /// What runs of a key.
    pub(super) fn under_way(&self, key: &K) -> Option<&T> {
        self.entries.get(key)?.running.as_ref().map(|run| &run.work)
    }

    /// What waits of a key.
    pub(super) fn waiting(&self, key: &K) -> Option<&T> {
        self.entries.get(key)?.waiting.as_ref()
    }

    /// Drops what waits of a key, and its back-off; what runs goes on.
    pub(super) fn withdraw(&mut self, key: &K) {
        self.leave(key);
        let Some(entry) = self.entries.get_mut(key) else { return };
        (entry.waiting, entry.delay) = (None, None);
        if entry.running.is_none() {
            self.entries.remove(key);
        }
    }

    /// Drops a key, also what runs of it: its outcome is never told.
    pub(super) fn forget(&mut self, key: &K) {
        self.drop(key);
        self.start();
    }

    /// Forgets every key that is not wanted.
    pub(super) fn retain(&mut self, wanted: impl Fn(&K) -> bool) {
        for key in self.unwanted(wanted) {
            self.drop(&key);
        }
        self.start();
    }

    /// Withdraws every key that is not wanted.
    pub(super) fn retain_waiting(&mut self, wanted: impl Fn(&K) -> bool) {
        for key in self.unwanted(wanted) {
            self.withdraw(&key);
        }
    }

    /// Forgets every key.
    pub(super) fn clear(&mut self) {
        self.running.clear();
        self.entries.clear();
        self.lanes.clear();
        self.turn.clear();
        self.delayed.clear();
        self.taken = 0;
    }

    /// Whether nothing runs and nothing waits for its turn, but for what failed.
    pub(super) fn is_idle(&self) -> bool {
        self.taken == 0 && self.lanes.values().all(|lane| lane.keys.is_empty())
    }

    /// When work that failed may be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.delayed.first().map(|(until, _)| *until)
    }

    /// Lets what has waited long enough have its turn.
    pub(super) fn retry(&mut self) {
        let now = Instant::now();
        while let Some((until, key)) = self.delayed.pop_first() {
            if until > now {
                self.delayed.insert((until, key));
                break;
            }
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.place = Place::Nowhere;
            }
            self.enter(key);
        }
        self.start();
    }

    /// Waits for work to end, for ever if none runs. The caller says with [`Queue::succeeded`] or
    /// [`Queue::failed`] how it ended; before that nothing else begins.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> (K, T, O) {
        loop {
            let (key, outcome) = match self.running.next().await {
                Some(Ok(ended)) => ended,
                // It was forgotten.
                Some(Err(_)) => continue,
                None => pending().await,
            };
            let run = self.entries.get_mut(&key).and_then(|entry| entry.running.take());
            let Some(run) = run else { continue };
            self.vacate(&run.lane);
            return (key, run.work, outcome);
        }
    }

    /// The work came to what it should.
    pub(super) fn succeeded(&mut self, key: &K) {
        self.follow(key);
        self.start();
    }

    /// The work came to nothing and is tried again after a back-off, which is returned; unless newer
    /// work waits, which is done instead.
    pub(super) fn failed(&mut self, key: &K, work: T, back_off: BackOff) -> Option<Duration> {
        let delay = self.delay(key, work, back_off);
        if delay.is_none() {
            self.follow(key);
        }
        self.start();
        delay
    }

    fn delay(&mut self, key: &K, work: T, back_off: BackOff) -> Option<Duration> {
        let entry = self.entries.get_mut(key).filter(|entry| entry.has_ended())?;
        if entry.waiting.is_some() {
            return None;
        }
        let delay = back_off.after(entry.delay);
        let until = Instant::now() + back_off.spread(delay);
        (entry.delay, entry.waiting) = (Some(delay), Some(work));
        entry.place = Place::Delayed(until);
        self.delayed.insert((until, key.clone()));
        Some(delay)
    }

    fn drop(&mut self, key: &K) {
        self.withdraw(key);
        if let Some(run) = self.entries.remove(key).and_then(|entry| entry.running) {
            run.abort.abort();
            self.vacate(&run.lane);
        }
    }

    /// Newer work has its turn; a key without any is done with.
    fn follow(&mut self, key: &K) {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.has_ended()) else {
            return;
        };
        entry.delay = None;
        if entry.waiting.is_some() {
            self.enter(key.clone());
        } else {
            self.entries.remove(key);
        }
    }

    fn unwanted(&self, wanted: impl Fn(&K) -> bool) -> Vec<K> {
        self.entries.keys().filter(|key| !wanted(key)).cloned().collect()
    }

    /// Puts a key at the end of its lane.
    fn enter(&mut self, key: K) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        self.arrivals += 1;
        entry.place = Place::InLane(self.arrivals);
        let lane = self.lanes.entry(entry.lane.clone()).or_insert_with(Waiting::new);
        lane.keys.insert(self.arrivals, key);
        if entry.lane != Lane::First && !std::mem::replace(&mut lane.in_turn, true) {
            self.turn.push_back(entry.lane.clone());
        }
    }

    /// Takes a key out of where it waits.
    fn leave(&mut self, key: &K) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        match std::mem::replace(&mut entry.place, Place::Nowhere) {
            Place::Nowhere => {}
            Place::InLane(arrival) => {
                let lane = entry.lane.clone();
                if let Some(waiting) = self.lanes.get_mut(&lane) {
                    waiting.keys.remove(&arrival);
                }
                self.tidy(&lane);
            }
            Place::Delayed(until) => {
                self.delayed.remove(&(until, key.clone()));
            }
        }
    }

    /// A place of a lane is free again.
    fn vacate(&mut self, lane: &Lane) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(waiting) = self.lanes.get_mut(lane) {
            waiting.running = waiting.running.saturating_sub(1);
        }
        self.tidy(lane);
    }

    /// Drops a lane that nothing is known of.
    fn tidy(&mut self, lane: &Lane) {
        if self.lanes.get(lane).is_some_and(Waiting::is_idle) {
            self.lanes.remove(lane);
        }
    }

    /// Begins as much as there are places for.
    fn start(&mut self) {
        while let Some(key) = self.pick() {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.place = Place::Nowhere;
            let Some(work) = entry.waiting.take() else { continue };
            let performed = (self.perform)(key.clone(), work.clone());
            let told: BoxFuture<'static, (K, O)> = Box::pin(async move { (key, performed.await) });
            let (told, abort) = abortable(told);
            entry.running = Some(Run { work, lane: entry.lane.clone(), abort });
            self.running.push(told);
        }
    }

    /// The key whose turn it is, with a place taken for it.
    fn pick(&mut self) -> Option<K> {
        let free = self.places.checked_sub(self.taken).filter(|free| *free > 0)?;
        if let Some(key) = self.take(&Lane::First, self.places) {
            return Some(key);
        }
        // Those that are passed over have places already, so they are few.
        for _ in 0..self.turn.len() {
            let lane = self.turn.pop_front()?;
            let key = self.take(&lane, free);
            let Some(waiting) = self.lanes.get_mut(&lane) else { continue };
            waiting.in_turn = !waiting.keys.is_empty();
            if waiting.in_turn {
                self.turn.push_back(lane);
            } else {
                self.tidy(&lane);
            }
            if key.is_some() {
                return key;
            }
        }
        None
    }

    /// The first key of a lane that has fewer places than these.
    fn take(&mut self, lane: &Lane, fewer_than: usize) -> Option<K> {
        let waiting = self.lanes.get_mut(lane).filter(|lane| lane.running < fewer_than)?;
        let (_, key) = waiting.keys.pop_first()?;
        waiting.running += 1;
        self.taken += 1;
        Some(key)
    }
}

impl<T> Entry<T> {
    /// Nothing runs, and what waits has no turn yet.
    fn has_ended(&self) -> bool {
        self.running.is_none() && self.place == Place::Nowhere
    }
}

impl<K> Waiting<K> {
    fn new() -> Self {
        Self { keys: BTreeMap::new(), running: 0, in_turn: false }
    }

    fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.running == 0 && !self.in_turn
    }
}

#[cfg(test)]
impl<K, T, O> Queue<K, T, O> {
    /// How many things run.
    pub(super) fn running(&self) -> usize {
        self.taken
    }

    /// Whether nothing is known of any key.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.delayed.is_empty()
    }
}

#[cfg(test)]
mod tests;
