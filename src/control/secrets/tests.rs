use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::*;
use crate::config::secrets::SecretData;

/// What the API server will say, and what it was asked.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Book>>, Arc<Notify>);

/// The Secrets that there are, and who was asked for.
type Book = (BTreeMap<String, Says>, Vec<String>);

#[derive(Clone, Copy)]
enum Says {
    Version(u8),
    Forbidden,
    /// The read does not end.
    Nothing,
    /// This version, once the test lets go of it.
    Held(u8),
}

impl Server {
    fn reader(&self, namespaces: &[Option<&str>]) -> Reader {
        self.named_reader(namespaces, &[])
    }

    fn named_reader(&self, namespaces: &[Option<&str>], names: &[&str]) -> Reader {
        let server = self.clone();
        let read: Read = Box::new(move |key| {
            let mut inner = server.0.lock();
            inner.1.push(key.to_string());
            let mut says = inner.0.get(&key.to_string()).copied();
            let held = server.1.clone();
            Box::pin(async move {
                if let Some(Says::Held(n)) = says {
                    held.notified().await;
                    says = Some(Says::Version(n));
                }
                match says {
                    Some(Says::Nothing | Says::Held(_)) => std::future::pending().await,
                    None => Answer::Missing,
                    Some(Says::Forbidden) => Answer::Failed { why: "no".into(), forbidden: true },
                    Some(Says::Version(n)) => Answer::Found {
                        version: n.to_string(),
                        sort: Some(Sort::Tls),
                        state: SecretState::Known(Arc::new(SecretData {
                            values: [("n".into(), vec![n].into())].into(),
                            ..Default::default()
                        })),
                    },
                }
            })
        });
        let namespaces: Vec<_> = namespaces.iter().map(|of| of.map(Into::into)).collect();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        Reader::new(read, Scope::all(&namespaces, &names), Metrics::new().unwrap())
    }

    fn says(&self, key: &str, says: Option<Says>) {
        let mut inner = self.0.lock();
        match says {
            Some(says) => inner.0.insert(key.into(), says),
            None => inner.0.remove(key),
        };
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().1)
    }
}

fn key(text: &str) -> Key {
    let (namespace, name) = text.split_once('/').unwrap();
    Key { namespace: namespace.into(), name: name.into() }
}

fn meta(text: &str, version: u8) -> Meta {
    Meta { key: key(text), version: version.to_string() }
}

/// Takes in every answer there is; whether something changed.
async fn settle(reader: &mut Reader) -> bool {
    let mut changed = false;
    while reader.reads.running() > 0 {
        changed |= reader.next().await;
    }
    changed
}

fn known(reader: &Reader, text: &str) -> Option<u8> {
    let (namespace, name) = text.split_once('/').unwrap();
    match reader.known().find(namespace, name) {
        SecretState::Known(data) => Some(data.values["n"].expose()[0]),
        _ => None,
    }
}

#[tokio::test]
async fn only_what_is_wanted_is_read_and_only_when_its_version_is_another() {
    let server = Server::default();
    server.says("a/s", Some(Says::Version(1)));
    server.says("a/other", Some(Says::Version(1)));
    let mut reader = server.reader(&[None]);
    reader.want(key("a/s"));
    reader.want(key("a/s"));
    assert!(!reader.settled());
    assert!(settle(&mut reader).await && reader.settled());
    assert_eq!(server.asked(), ["a/s"]);
    let all = vec![meta("a/s", 1), meta("a/other", 1)];
    reader.change(Change::Listed { scope: 0, objects: all });
    reader.change(Change::Applied(Box::new(meta("a/other", 2))));
    reader.change(Change::Applied(Box::new(meta("a/s", 1))));
    assert!(!settle(&mut reader).await);
    assert_eq!(server.asked(), Vec::<String>::new());
    server.says("a/s", Some(Says::Version(2)));
    reader.change(Change::Applied(Box::new(meta("a/s", 2))));
    assert!(settle(&mut reader).await);
    assert_eq!((known(&reader, "a/s"), server.asked().len()), (Some(2), 1));
    reader.keep(&BTreeSet::new());
    assert_eq!(reader.known(), &Secrets::default());
}

#[tokio::test]
async fn gone_is_what_a_404_says_and_nothing_else() {
    let server = Server::default();
    server.says("a/s", Some(Says::Version(1)));
    let mut reader = server.reader(&[Some("a"), Some("b")]);
    let scopes = reader.scopes.clone();
    reader.want(key("a/s"));
    settle(&mut reader).await;
    let gone = || Change::Deleted(key("a/s"));
    let absent = |namespace, sort| {
        let is =
            |scope: &Scope| scope.namespace.as_deref() == Some(namespace) && scope.sort == sort;
        let scope = scopes.iter().position(is).unwrap();
        Change::Listed { scope, objects: Vec::new() }
    };
    // The label went, or the Secret was made anew.
    reader.change(gone());
    assert!(!settle(&mut reader).await);
    assert_eq!(known(&reader, "a/s"), Some(1));
    server.says("a/s", Some(Says::Forbidden));
    for change in [gone(), absent("a", Sort::Tls)] {
        reader.change(change);
        settle(&mut reader).await;
        assert_eq!(known(&reader, "a/s"), Some(1));
    }
    assert_eq!(reader.metrics.kube_denied.with_label_values(&["get", "secrets"]).get(), 2);
    server.says("a/s", None);
    server.asked();
    reader.change(absent("b", Sort::Tls));
    reader.change(absent("a", Sort::BasicAuth));
    settle(&mut reader).await;
    assert_eq!(server.asked(), Vec::<String>::new(), "lists of other Secrets");
    reader.change(absent("a", Sort::Tls));
    assert!(settle(&mut reader).await);
    assert_eq!(reader.known().find("a", "s"), &SecretState::Missing);
}

#[tokio::test]
async fn a_name_that_no_watch_may_have_is_never_asked_for() {
    let server = Server::default();
    for secret in ["a/s", "a/t", "b/s"] {
        server.says(secret, Some(Says::Version(1)));
    }
    let mut reader = server.named_reader(&[Some("a"), Some("b")], &["s", "t"]);
    for secret in ["a/s", "a/t", "b/s", "a/other"] {
        reader.want(key(secret));
    }
    settle(&mut reader).await;
    assert!(reader.settled() && reader.retry_at().is_none());
    assert_eq!(server.asked(), ["a/s", "a/t", "b/s"]);
    let SecretState::Withheld(why) = reader.known().find("a", "other") else { panic!() };
    assert!(why.contains("add other (rbac.secretNames"), "{why}");
    // A list of one name says nothing of another, whatever the type.
    reader.change(Change::Listed { scope: 1, objects: Vec::new() });
    settle(&mut reader).await;
    assert_eq!(server.asked(), ["a/t"]);
}

#[tokio::test]
async fn what_was_heard_during_a_read_is_read_after_it() {
    let server = Server::default();
    server.says("a/s", Some(Says::Version(1)));
    let mut reader = server.reader(&[None]);
    reader.want(key("a/s"));
    server.says("a/s", Some(Says::Version(2)));
    reader.change(Change::Applied(Box::new(meta("a/s", 2))));
    settle(&mut reader).await;
    assert_eq!((known(&reader, "a/s"), server.asked().len()), (Some(2), 2));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_is_tried_again_more_and_more_slowly() {
    let server = Server::default();
    server.says("a/s", Some(Says::Forbidden));
    let mut reader = server.reader(&[None]);
    reader.want(key("a/s"));
    assert!(settle(&mut reader).await && !reader.settled());
    let SecretState::Unread(why) = reader.known().find("a", "s") else { panic!() };
    assert_eq!(why, "no");
    let began = Instant::now();
    for _ in 0..6 {
        tokio::time::sleep_until(reader.retry_at().unwrap()).await;
        reader.retry();
        settle(&mut reader).await;
    }
    assert!((50..80).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    server.says("a/s", Some(Says::Version(1)));
    tokio::time::sleep_until(reader.retry_at().unwrap()).await;
    reader.retry();
    assert!(settle(&mut reader).await);
    assert_eq!((known(&reader, "a/s"), reader.retry_at()), (Some(1), None));
}

#[tokio::test]
async fn few_are_read_at_once() {
    let server = Server::default();
    let mut reader = server.reader(&[None]);
    for n in 0..100 {
        reader.want(key(&format!("ns{n}/s")));
    }
    assert_eq!(reader.reads.running(), AT_ONCE);
    settle(&mut reader).await;
    assert_eq!(server.asked().len(), 100);
}

#[tokio::test]
async fn who_read_the_same_versions_has_the_same_digest() {
    let server = Server::default();
    let both = || [key("a/r"), key("a/s")].into_iter();
    let mut digests = Vec::new();
    for (r, s) in [(1, 1), (1, 1), (1, 2), (2, 1)] {
        server.says("a/r", Some(Says::Version(r)));
        server.says("a/s", Some(Says::Version(s)));
        let mut reader = server.reader(&[None]);
        both().for_each(|key| reader.want(key));
        settle(&mut reader).await;
        digests.push(reader.digest(both()));
        assert_eq!(reader.digest([].into_iter()), None);
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests.iter().collect::<BTreeSet<_>>().len(), 3);
}

#[tokio::test]
async fn those_of_classes_are_read_where_no_other_watch_has_them_and_are_nobody_elses() {
    let server = Server::default();
    server.says("release/front", Some(Says::Version(1)));
    let mut reader = server.named_reader(&[Some("a"), Some("release")], &["s"]);
    // A tenant of that namespace asks first.
    reader.want(key("release/front"));
    assert!(matches!(reader.known().find("release", "front"), SecretState::Withheld(_)));
    reader.want_of_classes([key("release/front")].into());
    assert!(!reader.settled_of_classes());
    settle(&mut reader).await;
    assert!(reader.settled_of_classes());
    reader.keep(&BTreeSet::new());
    assert_eq!(known(&reader, "release/front"), Some(1), "no object has to name it");
    server.says("release/front", Some(Says::Version(2)));
    let listed = |objects| Change::Listed { scope: 0, objects };
    reader.change_of_classes(listed(vec![meta("release/front", 2)]));
    settle(&mut reader).await;
    assert_eq!(known(&reader, "release/front"), Some(2));
    server.says("release/front", None);
    reader.change_of_classes(listed(Vec::new()));
    settle(&mut reader).await;
    assert_eq!(reader.known().find("release", "front"), &SecretState::Missing);
    reader.want_of_classes(BTreeSet::new());
    reader.keep(&BTreeSet::new());
    assert_eq!(reader.known(), &Secrets::default());
}

#[tokio::test(start_paused = true)]
async fn reads_of_one_namespace_that_do_not_end_delay_no_other() {
    let server = Server::default();
    let mut reader = server.reader(&[None]);
    for n in 0..96 {
        let name = format!("attacker/s{n}");
        server.says(&name, Some(Says::Nothing));
        reader.want(key(&name));
    }
    for version in [1, 2] {
        server.says("tenant/s", Some(Says::Version(version)));
        reader.want(key("tenant/s"));
        reader.change(Change::Applied(Box::new(meta("tenant/s", version))));
        let read = tokio::time::timeout(Duration::from_secs(60), reader.next()).await;
        assert_eq!((read, known(&reader, "tenant/s")), (Ok(true), Some(version)));
    }
}

#[tokio::test]
async fn reads_of_one_namespace_that_fail_delay_no_other() {
    let server = Server::default();
    let mut reader = server.reader(&[None]);
    for n in 0..96 {
        let name = format!("attacker/s{n}");
        server.says(&name, Some(Says::Forbidden));
        reader.want(key(&name));
    }
    server.says("tenant/s", Some(Says::Version(1)));
    reader.want(key("tenant/s"));
    let mut reads = 0;
    while known(&reader, "tenant/s").is_none() {
        reader.next().await;
        reads += 1;
    }
    assert!(reads <= AT_ONCE, "{reads} reads came first");
}

#[tokio::test]
async fn an_answer_to_a_read_that_was_forgotten_never_lands_after_a_later_one() {
    let server = Server::default();
    server.says("a/s", Some(Says::Held(1)));
    let mut reader = server.reader(&[None]);
    reader.want(key("a/s"));
    // The request has begun.
    assert!(reader.next().now_or_never().is_none());
    reader.keep(&BTreeSet::new());
    server.says("a/s", Some(Says::Version(2)));
    reader.want(key("a/s"));
    reader.next().await;
    assert_eq!(known(&reader, "a/s"), Some(2));
    server.1.notify_waiters();
    reader.next().now_or_never();
    assert_eq!(known(&reader, "a/s"), Some(2));
}

#[tokio::test]
async fn a_name_that_no_secret_can_have_is_never_asked_for() {
    let server = Server::default();
    let mut reader = server.reader(&[None]);
    for name in ["?watch=true&a=1", "../b/s", "a b", "A", ""] {
        reader.want(Key { namespace: "a".into(), name: name.into() });
        reader.change(Change::Applied(Box::new(Meta {
            key: Key { namespace: "a".into(), name: name.into() },
            version: "2".into(),
        })));
    }
    assert_eq!(server.asked(), Vec::<String>::new());
    assert!(reader.settled() && reader.retry_at().is_none());
}

#[tokio::test]
async fn what_classes_name_comes_first() {
    let server = Server::default();
    let mut reader = server.reader(&[None]);
    for n in 0..100 {
        reader.want(key(&format!("ns{n}/s")));
    }
    server.asked();
    reader.want_of_classes([key("release/front")].into());
    reader.next().await;
    assert_eq!(server.asked(), ["release/front"]);
}
