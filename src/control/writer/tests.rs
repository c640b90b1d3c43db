use kube::client::Body;
use serde_json::json;

use super::*;
use crate::control::status::Condition;

/// What the API server says to each write; to those of namespace `attacker` it never says anything.
#[derive(Clone, Copy)]
enum Says {
    Nothing,
    No,
    /// It refuses the status, with this code and these words; a short one it takes.
    TooLarge(u16, &'static str),
    Version(&'static str),
}

/// A writer whose API server says the same to every write.
fn writer(says: Says) -> Writer {
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let silent = request.uri().path().contains("/attacker/");
        let says = if silent { Says::Nothing } else { says };
        async move {
            let body = request.into_body().collect_bytes().await.unwrap();
            let body = String::from_utf8_lossy(&body);
            let (code, body) = match says {
                Says::Nothing => std::future::pending().await,
                Says::TooLarge(code, words) if !body.contains("refuses the full status") => {
                    (code, json!({"kind": "Status", "code": code, "message": words}))
                }
                Says::TooLarge(..) => {
                    let meta = json!({"name": "t", "namespace": "n", "resourceVersion": "2"});
                    (
                        200,
                        json!({"apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel", "metadata": meta}),
                    )
                }
                Says::No => (500, json!({"kind": "Status", "code": 500, "message": "no"})),
                Says::Version(version) => {
                    let meta = json!({"name": "t", "namespace": "n", "resourceVersion": version});
                    (
                        200,
                        json!({"apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel",
                        "metadata": meta}),
                    )
                }
            };
            let mut response = http::Response::new(Body::from(body.to_string().into_bytes()));
            *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
            Ok::<_, std::io::Error>(response)
        }
    });
    let client = kube::Client::new(service, "default");
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

/// The write of an object of its own in a namespace.
fn write_in(namespace: &str, number: usize) -> Write {
    let key = Key { namespace: namespace.into(), name: "t".into() };
    Write { uid: format!("{namespace}{number}").into(), key, ..write("a") }
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_tried_again_after_one_second_then_two_at_most_five_minutes() {
    let mut writer = writer(Says::No);
    writer.put(write("a"));
    assert_eq!(wait(&writer), None, "it runs");
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        assert!(writer.next().await.is_none());
        assert_eq!(wait(&writer), Some(seconds));
        writer.put(write("a"));
        assert_eq!(wait(&writer), Some(seconds), "the same again does not jump the queue");
        tokio::time::sleep_until(writer.retry_at().unwrap()).await;
        writer.retry();
        assert_eq!(wait(&writer), None, "it runs");
    }
}

#[tokio::test]
async fn a_status_that_the_api_server_does_not_take_is_cut_down_once() {
    for (code, words) in [(413, "no"), (422, "no"), (500, "etcdserver: request is too large")] {
        let mut writer = writer(Says::TooLarge(code, words));
        writer.put(write("a"));
        assert!(writer.next().await.is_none());
        let short = writer.writes.newest(&"u".into()).unwrap().status.clone();
        assert_ne!(short, status("a"), "{code}");
        assert_eq!(*writer.intended(&object("1")), status("a"), "as far as it is up to us");
        assert_eq!(writer.next().await.unwrap().status, short);
        writer.put(write("a"));
        assert!(writer.is_idle(), "the same again would be refused again");
        writer.put(write("b"));
        assert_eq!(writer.writes.newest(&"u".into()).unwrap().status, status("b"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_status_begins_anew() {
    let mut writer = writer(Says::No);
    writer.put(write("a"));
    for _ in 0..3 {
        writer.next().await;
        tokio::time::sleep_until(writer.retry_at().unwrap()).await;
        writer.retry();
    }
    writer.next().await;
    writer.put(write("b"));
    assert_eq!((wait(&writer), writer.writes.running()), (None, 1));
    assert_eq!(*writer.intended(&object("1")), status("b"));
    writer.next().await;
    assert_eq!(wait(&writer), Some(1));
}

#[tokio::test]
async fn a_newer_status_waits_for_the_one_under_way_and_replaces_others_that_wait() {
    let mut writer = writer(Says::Version("2"));
    for word in ["a", "b", "c"] {
        writer.put(write(word));
    }
    assert_eq!(writer.writes.running(), 1);
    assert_eq!(*writer.intended(&object("1")), status("c"));
    assert_eq!(writer.next().await.unwrap().status, status("a"));
    assert_eq!(*writer.intended(&object("1")), status("c"));
    assert_eq!(writer.next().await.unwrap().status, status("c"));
    assert_eq!(writer.writes.running(), 0);
}

#[tokio::test]
async fn what_was_written_counts_until_the_watch_shows_it() {
    let mut writer = writer(Says::Version("20"));
    writer.put(write("a"));
    writer.next().await.unwrap();
    writer.seen(&object("9"));
    assert_eq!(*writer.intended(&object("9")), status("a"), "an older event on its way");
    writer.seen(&object("21"));
    assert_eq!(*writer.intended(&object("21")), Status::default());
}

#[tokio::test]
async fn no_more_than_eight_writes_run_at_once_and_objects_that_are_gone_are_forgotten() {
    let mut writer = writer(Says::Nothing);
    for number in 0..20 {
        writer.put(write_in(&format!("n{number}-"), 0));
    }
    assert_eq!(writer.writes.running(), AT_ONCE);
    writer.keep_objects(&HashSet::from(["n3-0"]));
    assert_eq!(writer.writes.running(), 1);
}

#[tokio::test(start_paused = true)]
async fn writes_of_one_namespace_that_are_not_answered_delay_no_other() {
    let mut writer = writer(Says::Version("2"));
    for number in 0..96 {
        writer.put(write_in("attacker", number));
    }
    writer.put(write_in("tenant", 0));
    let written = writer.next().await.unwrap();
    assert_eq!(&*written.key.namespace, "tenant");
}

#[tokio::test]
async fn what_a_leader_meant_to_write_is_forgotten_with_its_term() {
    let mut writer = writer(Says::Nothing);
    for word in ["a", "b"] {
        writer.put(write(word));
    }
    let lost = Err(WriteError::Fenced(Fenced::NotLeader));
    assert!(writer.ended("u".into(), Arc::new(write("a")), lost).is_none());
    assert_eq!(*writer.intended(&object("1")), Status::default());
    assert_eq!(writer.retry_at(), None);
    writer.put(write("c"));
    writer.forget();
    assert!(writer.writes.is_empty() && writer.writes.running() == 0);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_write_is_measured_also_when_it_fails() {
    let mut writer = writer(Says::Nothing);
    writer.put(write("a"));
    assert!(writer.next().await.is_none(), "the API server is silent");
    let seconds = &writer.metrics.status_patch_seconds;
    assert_eq!(seconds.get_sample_count(), 1);
    assert_eq!(seconds.get_sample_sum().round(), TIMEOUT.as_secs_f64());
}
