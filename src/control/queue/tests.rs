use std::cell::Cell;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::*;

const BACK_OFF: BackOff =
    BackOff { first: Duration::from_secs(1), most: Duration::from_secs(4), spread: 0.0 };

type Name = (Arc<str>, u32);

/// Work that ends when it is told to.
#[derive(Clone, Default)]
struct Work(Arc<Mutex<Vec<Begun>>>);

struct Begun {
    key: Name,
    work: u32,
    end: Option<oneshot::Sender<()>>,
}

impl Work {
    fn queue(&self, places: usize) -> Queue<Name, u32, ()> {
        let begun = self.0.clone();
        let perform = move |key: Name, work| -> BoxFuture<'static, ()> {
            let (end, ended) = oneshot::channel();
            begun.lock().push(Begun { key, work, end: Some(end) });
            Box::pin(async move {
                let _ = ended.await;
            })
        };
        Queue::new(places, Box::new(perform))
    }

    /// What began, in order: the namespace, the number, the work.
    fn begun(&self) -> Vec<String> {
        let line = |begun: &Begun| format!("{}{}:{}", begun.key.0, begun.key.1, begun.work);
        self.0.lock().iter().map(line).collect()
    }

    /// Ends the first of this key that runs.
    fn end(&self, namespace: &str, number: u32) {
        let mut all = self.0.lock();
        let is = |begun: &&mut Begun| begun.key == name(namespace, number) && begun.end.is_some();
        let end = all.iter_mut().find(is).and_then(|begun| begun.end.take());
        let _ = end.unwrap().send(());
    }
}

fn name(namespace: &str, number: u32) -> Name {
    (namespace.into(), number)
}

fn put(queue: &mut Queue<Name, u32, ()>, namespace: &str, number: u32, work: u32) {
    queue.put(name(namespace, number), Lane::Of(namespace.into()), work);
}

#[tokio::test]
async fn a_namespace_alone_has_half_of_the_places_and_newcomers_half_of_the_rest() {
    let mut queue = Work::default().queue(8);
    for (namespace, places) in [("a", 4), ("b", 2), ("c", 1), ("d", 1), ("e", 0)] {
        let before = queue.running();
        for number in 0..96 {
            put(&mut queue, namespace, number, 0);
        }
        assert_eq!(queue.running() - before, places, "{namespace}");
    }
}

#[tokio::test]
async fn namespaces_take_turns_whatever_each_asks_for() {
    let work = Work::default();
    let mut queue = work.queue(1);
    for (namespace, count) in [("a", 50), ("b", 2), ("c", 1)] {
        for number in 0..count {
            put(&mut queue, namespace, number, 0);
        }
    }
    for _ in 0..6 {
        let (namespace, number) = work.0.lock().last().unwrap().key.clone();
        work.end(&namespace, number);
        let (key, ..) = queue.next().await;
        queue.succeeded(&key);
    }
    assert_eq!(work.begun(), ["a0:0", "a1:0", "b0:0", "c0:0", "a2:0", "b1:0", "a3:0"]);
}

#[tokio::test]
async fn what_the_operator_asks_for_comes_first() {
    let work = Work::default();
    let mut queue = work.queue(1);
    put(&mut queue, "a", 0, 0);
    put(&mut queue, "a", 1, 0);
    put(&mut queue, "b", 0, 0);
    queue.put(name("b", 0), Lane::First, 1);
    work.end("a", 0);
    let (key, ..) = queue.next().await;
    queue.succeeded(&key);
    assert_eq!(work.begun(), ["a0:0", "b0:1"]);
}

#[tokio::test]
async fn there_is_one_of_a_key_and_the_newest_follows_it() {
    let work = Work::default();
    let mut queue = work.queue(8);
    for number in [1, 1, 2, 3] {
        put(&mut queue, "a", 0, number);
    }
    assert_eq!((work.begun(), queue.newest(&name("a", 0))), (vec!["a0:1".into()], Some(&3)));
    work.end("a", 0);
    let (key, done, ()) = queue.next().await;
    assert_eq!((&key, done), (&name("a", 0), 1));
    queue.succeeded(&key);
    assert_eq!(work.begun(), ["a0:1", "a0:3"]);
    // What runs is what is asked for after all.
    put(&mut queue, "a", 0, 4);
    put(&mut queue, "a", 0, 3);
    work.end("a", 0);
    let (key, ..) = queue.next().await;
    queue.succeeded(&key);
    assert!(queue.is_empty() && work.begun().len() == 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_waits_longer_each_time_and_something_else_begins_anew() {
    let work = Work::default();
    let mut queue = work.queue(8);
    let key = name("a", 0);
    put(&mut queue, "a", 0, 1);
    for seconds in [1, 2, 4, 4] {
        work.end("a", 0);
        let (key, done, ()) = queue.next().await;
        let delay = Duration::from_secs(seconds);
        assert_eq!(queue.failed(&key, done, BACK_OFF), Some(delay));
        assert_eq!(queue.retry_at(), Some(Instant::now() + delay));
        put(&mut queue, "a", 0, 1);
        queue.retry();
        assert_eq!(queue.running(), 0, "the same again does not jump the queue");
        tokio::time::advance(delay).await;
        queue.retry();
        assert_eq!(queue.running(), 1);
    }
    work.end("a", 0);
    let (_, done, ()) = queue.next().await;
    queue.failed(&key, done, BACK_OFF);
    put(&mut queue, "a", 0, 2);
    assert_eq!((queue.retry_at(), queue.running()), (None, 1));
    // Something newer that waits is done instead.
    put(&mut queue, "a", 0, 3);
    work.end("a", 0);
    let (_, done, ()) = queue.next().await;
    assert_eq!((queue.failed(&key, done, BACK_OFF), done), (None, 2));
    assert_eq!((queue.retry_at(), work.begun().last().unwrap().as_str()), (None, "a0:3"));
}

#[tokio::test]
async fn the_outcome_of_what_was_forgotten_is_never_told() {
    let work = Work::default();
    let mut queue = work.queue(2);
    put(&mut queue, "a", 0, 1);
    work.end("a", 0);
    queue.forget(&name("a", 0));
    put(&mut queue, "a", 0, 2);
    work.end("a", 0);
    let (key, done, ()) = queue.next().await;
    assert_eq!(done, 2);
    queue.succeeded(&key);
    assert!(queue.is_empty() && queue.running() == 0);
}

#[tokio::test]
async fn what_is_not_wanted_any_more_gives_its_place_away_or_never_begins() {
    let work = Work::default();
    let mut queue = work.queue(2);
    for number in 0..3 {
        put(&mut queue, "a", number, 0);
    }
    put(&mut queue, "b", 0, 0);
    assert_eq!(work.begun(), ["a0:0", "b0:0"]);
    // What waits goes, what runs goes on.
    queue.retain_waiting(|key| *key == name("a", 2));
    assert_eq!(queue.running(), 2);
    // What runs goes, too.
    queue.retain(|key| *key == name("a", 2));
    assert_eq!(work.begun(), ["a0:0", "b0:0", "a2:0"]);
    queue.clear();
    assert!(queue.is_empty() && queue.running() == 0);
}

#[tokio::test]
async fn a_thousand_keys_are_each_begun_once_by_asking_once() {
    let begun = Arc::new(Mutex::new(0));
    let count = begun.clone();
    let perform = move |_: Name, _: u32| -> BoxFuture<'static, ()> {
        *count.lock() += 1;
        Box::pin(std::future::ready(()))
    };
    let mut queue = Queue::new(8, Box::new(perform) as Perform<Name, u32, ()>);
    for number in 0..1000 {
        queue.put(name("a", number), Lane::Of("a".into()), 0);
    }
    let ended = Cell::new(0);
    while !queue.is_empty() {
        let (key, ..) = queue.next().await;
        queue.succeeded(&key);
        ended.set(ended.get() + 1);
    }
    assert_eq!((*begun.lock(), ended.get()), (1000, 1000));
}
