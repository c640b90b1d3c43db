use serde_json::json;

use super::*;
use crate::control::status::Condition;

/// A writer whose API server never answers: outcomes come from the tests.
fn writer() -> Writer {
    let silent = tower::service_fn(|_: http::Request<kube::client::Body>| {
        std::future::pending::<Result<http::Response<kube::client::Body>, std::io::Error>>()
    });
    let client = kube::Client::new(silent, "default");
    Writer::new(client, "test", Leadership::always(), Metrics::new().unwrap())
}

fn object(version: &str) -> Object {
    let object = json!({
        "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel", "spec": {},
        "metadata": {"name": "t", "namespace": "n", "uid": "u", "resourceVersion": version},
    });
    Object::read(&serde_json::from_value(object).unwrap())
}

fn status(word: &str) -> Status {
    let (kind, reason) = ("Ready".into(), word.into());
    let condition = Condition { kind, reason, ..Condition::default() };
    Status { conditions: vec![condition], ..Status::default() }
}

fn write(word: &str) -> Write {
    let object = object("1");
    Write::new(&object, object.status.clone(), status(word))
}

fn wait(writer: &Writer) -> Option<u64> {
    let wait = writer.retry_at()?.saturating_duration_since(Instant::now());
    Some(wait.as_secs_f64().round() as u64)
}

#[tokio::test]
async fn a_failed_write_is_tried_again_after_one_second_then_two_at_most_five_minutes() {
    let mut writer = writer();
    writer.put(write("a"));
    assert_eq!(wait(&writer), None, "it runs");
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        assert!(writer.ended(write("a"), Err(WriteError::Fenced(Fenced::Silent))).is_none());
        assert_eq!(wait(&writer), Some(seconds));
        writer.put(write("a"));
        assert_eq!(wait(&writer), Some(seconds), "the same again does not jump the queue");
        // The back-off is over.
        let progress = writer.objects.get_mut("u").unwrap();
        progress.failed.as_mut().unwrap().until = Instant::now();
        writer.running.clear();
        writer.retry();
        assert_eq!(wait(&writer), None, "it runs");
    }
}

#[tokio::test]
async fn a_status_that_the_api_server_does_not_take_is_cut_down_once() {
    for code in [413, 422, 500] {
        let mut writer = writer();
        writer.put(write("a"));
        let words = if code == 500 { "etcdserver: request is too large" } else { "no" };
        let refused = kube::core::Status { code, message: words.into(), ..Default::default() };
        let refused = || kube::Error::Api(Box::new(refused.clone()));
        assert!(writer.ended(write("a"), Err(WriteError::Refused(refused()))).is_none());
        writer.running.clear();
        writer.start();
        let short = writer.objects["u"].in_flight.clone().unwrap();
        assert_ne!(short, status("a"), "{code}");
        assert_eq!(*writer.intended(&object("1")), status("a"), "as far as it is up to us");
        let short = Write { short: true, status: short, ..write("a") };
        assert!(writer.ended(short, Ok("2".into())).is_some());
        writer.put(write("a"));
        assert!(writer.objects["u"].waiting.is_none(), "the same again would be refused again");
        writer.put(write("b"));
        assert_eq!(writer.objects["u"].in_flight, Some(status("b")));
    }
}

#[tokio::test]
async fn a_changed_status_begins_anew() {
    let mut writer = writer();
    writer.put(write("a"));
    for _ in 0..3 {
        writer.ended(write("a"), Err(WriteError::Fenced(Fenced::Silent)));
    }
    writer.put(write("b"));
    assert_eq!(wait(&writer), None);
    assert_eq!(writer.objects["u"].in_flight, Some(status("b")));
}

#[tokio::test]
async fn a_newer_status_waits_for_the_one_under_way_and_replaces_others_that_wait() {
    let mut writer = writer();
    for word in ["a", "b", "c"] {
        writer.put(write(word));
    }
    assert_eq!(writer.objects["u"].in_flight, Some(status("a")));
    assert_eq!(writer.running.len(), 1);
    assert_eq!(*writer.intended(&object("1")), status("c"));
    assert!(writer.ended(write("a"), Ok("2".into())).is_some());
    writer.start();
    assert_eq!(writer.objects["u"].in_flight, Some(status("c")));
}

#[tokio::test]
async fn what_was_written_counts_until_the_watch_shows_it() {
    let mut writer = writer();
    writer.put(write("a"));
    writer.ended(write("a"), Ok("20".into()));
    writer.seen(&object("9"));
    assert_eq!(*writer.intended(&object("9")), status("a"), "an older event on its way");
    writer.seen(&object("21"));
    assert_eq!(*writer.intended(&object("21")), Status::default());
}

#[tokio::test]
async fn no_more_than_eight_writes_run_at_once_and_objects_that_are_gone_are_forgotten() {
    let mut writer = writer();
    for number in 0..20 {
        writer.put(Write { uid: format!("u{number}").into(), ..write("a") });
    }
    assert_eq!(writer.running.len(), AT_ONCE);
    writer.keep_objects(&HashSet::from(["u3"]));
    assert_eq!(writer.objects.len(), 1);
}

#[tokio::test]
async fn what_a_leader_meant_to_write_is_forgotten_with_its_term() {
    let mut writer = writer();
    for word in ["a", "b"] {
        writer.put(write(word));
    }
    assert!(writer.ended(write("a"), Err(WriteError::Fenced(Fenced::NotLeader))).is_none());
    assert_eq!(*writer.intended(&object("1")), Status::default());
    assert_eq!(writer.retry_at(), None);
    writer.put(write("c"));
    writer.forget();
    assert!(writer.running.is_empty() && writer.objects.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_write_is_measured_also_when_it_fails() {
    let mut writer = writer();
    writer.put(write("a"));
    assert!(writer.next().await.is_none(), "the API server is silent");
    let seconds = &writer.metrics.status_patch_seconds;
    assert_eq!(seconds.get_sample_count(), 1);
    assert_eq!(seconds.get_sample_sum().round(), TIMEOUT.as_secs_f64());
}
