use std::pin::pin;
use std::task::Poll;

use tokio::time::advance;

use super::*;

/// A Lease in an API server, and the wall clock, which has nothing to say.
#[derive(Default)]
struct Stored {
    lease: Option<(Record, String)>,
    writes: usize,
}

impl Stored {
    /// A round of one candidate; whether it leads.
    fn round(&mut self, election: &mut Election, wall: i64) -> bool {
        let now = Instant::now();
        if election.must_read(now) {
            election.read(self.lease.clone(), now);
        }
        if let Some((record, version)) = election.ask(now, Timestamp::from_second(wall).unwrap()) {
            if version == self.lease.as_ref().map(|(_, version)| version.clone()) {
                self.writes += 1;
                let version = self.writes.to_string();
                self.lease = Some((record.clone(), version.clone()));
                election.won(record, version, now);
            } else {
                election.forget_version();
            }
        }
        election.term(now).is_some()
    }

    fn record(&self) -> &Record {
        &self.lease.as_ref().unwrap().0
    }
}

fn two() -> (Election, Election, Stored) {
    (Election::new("a".into()), Election::new("b".into()), Stored::default())
}

async fn seconds(count: u64) {
    advance(Duration::from_secs(count)).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_leads_as_long_as_it_renews() {
    let (mut a, mut b, mut stored) = two();
    assert!(stored.round(&mut a, 100));
    for second in 0..60 {
        seconds(2).await;
        assert!(stored.round(&mut a, 100 + second));
        assert!(!stored.round(&mut b, 100 + second));
    }
    assert_eq!((stored.record().holder.as_str(), stored.record().transitions), ("a", 0));
    assert_eq!(stored.record().acquired, Timestamp::from_second(100).ok());
}

#[tokio::test(start_paused = true)]
async fn another_takes_over_fifteen_seconds_after_the_last_renewal_that_it_saw() {
    let (mut a, mut b, mut stored) = two();
    stored.round(&mut a, 100);
    stored.round(&mut b, 100);
    seconds(14).await;
    assert!(!stored.round(&mut b, 114));
    assert!(a.term(Instant::now()).is_none(), "the leader gave up 10 s after its last renewal");
    seconds(1).await;
    assert!(stored.round(&mut b, 115));
    assert_eq!((stored.record().holder.as_str(), stored.record().transitions), ("b", 1));
    assert!(!stored.round(&mut a, 115));
}

#[tokio::test(start_paused = true)]
async fn one_who_comes_late_waits_a_whole_term_whatever_the_clocks_say() {
    for wall in [-1_000_000, 0, 1_000_000] {
        let (mut a, mut b, mut stored) = two();
        stored.round(&mut a, 2_000_000);
        seconds(14).await;
        // The record is old already; that is the word of a clock that is not ours.
        assert!(!stored.round(&mut b, 2_000_000 + wall));
        seconds(14).await;
        assert!(!stored.round(&mut b, 2_000_000 + wall));
        seconds(1).await;
        assert!(stored.round(&mut b, 2_000_000 + wall));
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_clock_stands_still_or_goes_backwards_goes_on_leading() {
    let (mut a, mut b, mut stored) = two();
    for round in 0..30 {
        assert!(stored.round(&mut a, 1_000_000 - round));
        assert!(!stored.round(&mut b, 0));
        seconds(2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_leader_knows_that_it_does_not_lead_when_it_wakes_up() {
    let (mut a, mut b, mut stored) = two();
    stored.round(&mut a, 100);
    stored.round(&mut b, 100);
    seconds(20).await;
    assert!(a.term(Instant::now()).is_none());
    assert!(stored.round(&mut b, 120));
    assert!(!stored.round(&mut a, 120));
    assert!(!stored.round(&mut a, 120));
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_once() {
    let (mut a, mut b, mut stored) = two();
    stored.round(&mut a, 100);
    assert!(!stored.round(&mut b, 100));
    let (record, version) = a.release(Timestamp::from_second(101).unwrap()).unwrap();
    assert_eq!((record.holder.as_str(), record.duration), ("", Duration::from_secs(1)));
    assert_eq!(version, stored.lease.as_ref().unwrap().1);
    stored.lease = Some((record, "9".into()));
    assert!(a.term(Instant::now()).is_none());
    assert!(stored.round(&mut b, 101));
    assert_eq!(stored.record().transitions, 1);
    a.read(stored.lease.clone(), Instant::now());
    assert!(a.release(Timestamp::UNIX_EPOCH).is_none(), "it is not its own any more");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_goes_to_its_holder_or_after_its_term_to_another() {
    let (mut a, mut b, mut stored) = two();
    stored.round(&mut a, 100);
    stored.round(&mut b, 100);
    stored.lease = None;
    assert!(!stored.round(&mut b, 101), "the holder still believes that it leads");
    // The holder's update says 404.
    seconds(2).await;
    assert!(stored.round(&mut a, 102), "until its deadline");
    assert!(stored.round(&mut a, 102));
    assert_eq!(stored.record().holder, "a");
    stored.lease = None;
    seconds(15).await;
    assert!(stored.round(&mut b, 120));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_got_lost_neither_makes_two_leaders_nor_none() {
    let (mut a, mut b, mut stored) = two();
    // The write of a is taken, and a never hears of it.
    let (record, _) = a.ask(Instant::now(), Timestamp::UNIX_EPOCH).unwrap();
    stored.lease = Some((record, "1".into()));
    a.forget_version();
    assert!(a.term(Instant::now()).is_none());
    assert!(!stored.round(&mut b, 0));
    assert!(stored.round(&mut a, 2), "it finds its own name");
    assert_eq!(stored.record().transitions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_record_cannot_lock_the_others_out_for_ever() {
    let (_, mut b, mut stored) = two();
    let duration = Duration::from_secs(u64::from(u32::MAX));
    stored.lease = Some((Record { holder: "x".into(), duration, ..Record::default() }, "1".into()));
    assert!(!stored.round(&mut b, 0));
    seconds(300).await;
    assert!(stored.round(&mut b, 0));
}

fn leadership() -> (watch::Sender<Option<Instant>>, Leadership) {
    let (term, leadership) = watch::channel(None);
    (term, Leadership::new(leadership))
}

#[tokio::test(start_paused = true)]
async fn only_a_leader_writes_and_only_until_its_deadline() {
    let (term, leadership) = leadership();
    let write = || leadership.fenced(TIMEOUT, async { "written" });
    assert_eq!(write().await, Err(Fenced::NotLeader));
    term.send_replace(Some(Instant::now()));
    assert_eq!(write().await, Ok("written"));
    seconds(9).await;
    assert!(leadership.still_leader());
    assert_eq!(write().await, Ok("written"));
    seconds(1).await;
    assert!(!leadership.still_leader());
    assert_eq!(write().await, Err(Fenced::NotLeader));
}

#[tokio::test(start_paused = true)]
async fn a_write_under_way_is_dropped_when_another_may_lead() {
    let (term, leadership) = leadership();
    term.send_replace(Some(Instant::now()));
    seconds(9).await;
    let began = Instant::now();
    let write = leadership.fenced(Duration::from_secs(30), std::future::pending::<()>());
    assert_eq!(write.await, Err(Fenced::Silent));
    assert_eq!(began.elapsed().as_secs(), 6, "fifteen seconds after the renewal");
}

#[tokio::test(start_paused = true)]
async fn a_write_of_a_stopped_process_takes_no_further_step() {
    let (term, leadership) = leadership();
    term.send_replace(Some(Instant::now()));
    let sent = std::cell::Cell::new(false);
    let mut stopped = false;
    let write = std::future::poll_fn(|context| {
        if std::mem::replace(&mut stopped, true) {
            sent.set(true);
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    });
    let mut fenced = pin!(leadership.fenced(Duration::from_secs(30), write));
    let first =
        std::future::poll_fn(|context| Poll::Ready(fenced.as_mut().poll(context).is_ready()));
    assert!(!first.await);
    seconds(20).await;
    assert_eq!(fenced.await, Err(Fenced::Silent));
    assert!(!sent.get());
}

/// An API server that says no, and does not answer a third of the time.
fn broken(code: u16) -> kube::Client {
    let mut count = 0;
    let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
        count += 1;
        let silent = count % 3 == 0;
        async move {
            if silent {
                std::future::pending::<()>().await;
            }
            let reason = if code == 403 { "Forbidden" } else { "" };
            let body = serde_json::json!({"kind": "Status", "apiVersion": "v1", "code": code,
                "status": "Failure", "message": "no", "reason": reason});
            let body = kube::client::Body::from(body.to_string().into_bytes());
            let mut response = http::Response::new(body);
            *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
            Ok::<_, std::io::Error>(response)
        }
    });
    kube::Client::new(service, "default")
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_api_server_never_end_the_candidate() {
    for code in [401, 403, 409, 429, 500, 503] {
        let metrics = Metrics::new().unwrap();
        let (mut candidate, leadership) =
            Candidate::new(broken(code), "system", "adit", "a".into(), metrics.clone());
        let hour = timeout(Duration::from_secs(3600), candidate.run());
        assert!(hour.await.is_err(), "{code}: it goes on for an hour");
        assert!(!leadership.still_leader());
        let denied = metrics.kube_denied.with_label_values(&["get", "leases"]).get();
        assert_eq!(denied > 0, code == 403, "{code}: {denied}");
        candidate.release().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_term_that_was_lost_and_won_again_within_a_round_is_another_one() {
    let (mut a, mut b, mut stored) = two();
    assert!(stored.round(&mut a, 100));
    assert_eq!(a.terms(), 1);
    seconds(2).await;
    assert!(stored.round(&mut a, 102));
    assert_eq!(a.terms(), 1, "a renewal");
    stored.round(&mut b, 102);
    seconds(15).await;
    assert!(stored.round(&mut b, 117));
    let (record, _) = b.release(Timestamp::from_second(118).unwrap()).unwrap();
    stored.lease = Some((record, "released".into()));
    // Nobody asked the old leader in between.
    assert!(stored.round(&mut a, 118));
    assert_eq!(a.terms(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_term_is_told_even_where_the_end_of_the_one_before_never_was() {
    let metrics = Metrics::new().unwrap();
    let (mut candidate, leadership) =
        Candidate::new(broken(500), "system", "adit", "a".into(), metrics);
    let won = |candidate: &mut Candidate| {
        let now = Instant::now();
        let (record, _) = candidate.election.ask(now, Timestamp::UNIX_EPOCH).unwrap();
        candidate.election.won(record, "1".into(), now);
        candidate.tell();
    };
    let mut heard = leadership.clone();
    let mut told = || futures_util::FutureExt::now_or_never(heard.changed()).is_some();
    won(&mut candidate);
    assert!(told());
    seconds(2).await;
    won(&mut candidate);
    assert!(!told(), "a renewal is silent");
    seconds(11).await;
    won(&mut candidate);
    assert!(told());
}
