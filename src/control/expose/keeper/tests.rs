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
