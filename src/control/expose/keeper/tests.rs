use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::config::model::{ExposeConfig, ServiceType};
use crate::control::expose::Exposed;
use crate::control::expose::children::Children;
use crate::control::watch::Change;

/// An API server that has no Service yet and takes every one, but never answers for namespace
/// `attacker`; with the names that were written.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Vec<String>>>);

impl Server {
    fn keeper(&self) -> Keeper {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, std::io::Error>(server.answer(request).await) }
        });
        let client = kube::Client::new(service, "default");
        let leadership = Leadership::always();
        let mut keeper = Keeper::new(client, "test", &[None], leadership, Metrics::new().unwrap());
        keeper.change(ChildNews::Service(Change::Listed { scope: 0, objects: Vec::new() }));
        keeper.change(ChildNews::Slice(Change::Listed { scope: 0, objects: Vec::new() }));
        keeper
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (method, path) = (request.method().clone(), request.uri().path().to_string());
        if path.contains("/attacker/") {
            std::future::pending::<()>().await;
        }
        let (code, body) = if method == Method::PATCH {
            let name = path.rsplit('/').next().unwrap().to_string();
            self.0.lock().push(name);
            let sent = request.into_body().collect_bytes().await.unwrap();
            let mut body: Value = serde_json::from_slice(&sent).unwrap();
            body["metadata"]["uid"] = json!("made");
            (200, body)
        } else if method == Method::DELETE {
            self.0.lock().push(format!("DELETE {}", path.rsplit('/').next().unwrap()));
            (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
        } else {
            (404, json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "none"}))
        };
        let mut response = Response::new(Body::from(body.to_string().into_bytes()));
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response
    }

    fn written(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

/// That each of so many objects of a namespace has one Service.
fn wishes(namespace: &str, objects: usize) -> Wishes {
    let wish = |number: usize| {
        let name = format!("{namespace}{number}");
        let key = Key { namespace: namespace.into(), name: name.as_str().into() };
        let uid: Arc<str> = name.as_str().into();
        let config = ExposeConfig {
            service: name.into(),
            traffic: None,
            kind: ServiceType::ClusterIp,
            port: 80,
            udp: false,
            protocol: None,
            annotations: [].into(),
            labels: [].into(),
        };
        let exposed = Exposed { name: "in".into(), config, port: Some(20_000) };
        let children = Children::of("test", (&key, &uid), &[exposed], &[]);
        ((key, uid), Wish::Exactly(children))
    };
    (0..objects).map(wish).collect()
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wanted_is_written_by_looking_once() {
    let server = Server::default();
    let mut keeper = server.keeper();
    keeper.keep(&wishes("tenant", 200), &[]);
    while timeout(Duration::from_secs(1), keeper.next()).await.is_ok() {}
    assert_eq!(server.written().len(), 200);
    assert_eq!(keeper.standings().len(), 200);
    assert_eq!(keeper.retry_at(), None);
}

#[tokio::test(start_paused = true)]
async fn children_of_one_namespace_that_are_not_answered_delay_no_other() {
    let server = Server::default();
    let mut keeper = server.keeper();
    let mut all = wishes("attacker", 96);
    all.extend(wishes("tenant", 1));
    keeper.keep(&all, &[]);
    assert!(timeout(Duration::from_secs(1), keeper.next()).await.is_ok());
    assert_eq!(server.written(), ["tenant0"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_wanted_any_more_is_not_written() {
    let server = Server::default();
    let mut keeper = server.keeper();
    keeper.keep(&wishes("tenant", 20), &[]);
    keeper.keep(&Wishes::new(), &[]);
    while timeout(Duration::from_secs(1), keeper.next()).await.is_ok() {}
    assert!(server.written().len() < AT_ONCE, "only what was under way");
}

/// A Service and a slice of it that lost their owner, with the label of an instance.
fn orphans(instance: &str) -> (Service, EndpointSlice) {
    let meta = |name: &str| {
        json!({"name": name, "namespace": "tenant", "uid": format!("uid-of-{name}"),
            "labels": {"adit.dev/expose": instance, "kubernetes.io/service-name": "tenant0"}})
    };
    let service = json!({"metadata": meta("tenant0"), "spec": {"type": "ClusterIP"}});
    let slice = json!({"metadata": meta("old"), "addressType": "IPv4", "endpoints": []});
    (serde_json::from_value(service).unwrap(), serde_json::from_value(slice).unwrap())
}

#[tokio::test(start_paused = true)]
async fn orphans_of_the_instance_are_taken_over_by_the_object_that_has_their_name() {
    for (instance, taken) in [("test", false), ("other", true)] {
        let server = Server::default();
        let mut keeper = server.keeper();
        let (service, slice) = orphans(instance);
        keeper.change(ChildNews::Service(Change::Applied(Box::new(Box::new(service)))));
        keeper.change(ChildNews::Slice(Change::Applied(Box::new(Box::new(slice)))));
        keeper.keep(&wishes("tenant", 1), &[]);
        let standing = keeper.standings().values().next().cloned();
        assert_eq!(standing == Some(Standing::Taken), taken, "{instance}: {standing:?}");
        while timeout(Duration::from_secs(1), keeper.next()).await.is_ok() {}
        let written = server.written();
        assert_eq!(written.contains(&"tenant0".to_string()), !taken, "{written:?}");
        assert_eq!(written.contains(&"DELETE old".to_string()), !taken, "{written:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_an_object_that_is_valid_in_part_nothing_is_taken_away() {
    let server = Server::default();
    let mut keeper = server.keeper();
    let all = wishes("tenant", 1);
    keeper.keep(&all, &[]);
    while timeout(Duration::from_secs(1), keeper.next()).await.is_ok() {}
    let none = |wish: fn(Children) -> Wish| {
        all.keys().map(|key| (key.clone(), wish(Children::default()))).collect::<Wishes>()
    };
    keeper.keep(&none(Wish::AtLeast), &[]);
    while timeout(Duration::from_secs(1), keeper.next()).await.is_ok() {}
    assert_eq!(server.written(), ["tenant0"]);
    keeper.keep(&none(Wish::Exactly), &[]);
    while timeout(Duration::from_secs(1), keeper.next()).await.is_ok() {}
    assert_eq!(server.written(), ["tenant0", "DELETE tenant0"]);
}
