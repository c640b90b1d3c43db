use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::*;
use crate::control::report::Entry;

/// An API server that answers as it is told, with what it was asked.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<(Vec<String>, u16)>>);

impl Server {
    fn answers(status: u16) -> Self {
        let server = Self::default();
        server.0.lock().1 = status;
        server
    }

    fn asked(&self) -> Vec<String> {
        self.0.lock().0.clone()
    }

    fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let mut server = server.0.lock();
            let name = request.uri().path().rsplit('/').next().unwrap().to_string();
            server.0.push(format!("{} {name}", request.method()));
            let good = if request.method() == Method::POST { 201 } else { 200 };
            let status = if server.1 == 0 { good } else { server.1 };
            let body = if status < 300 {
                serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})
            } else {
                serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                    "message": "no", "reason": "Forbidden", "code": status})
            };
            let mut response = Response::new(Body::from(body.to_string().into_bytes()));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            std::future::ready(Ok::<_, std::io::Error>(response))
        });
        kube::Client::new(service, "default")
    }
}

struct World {
    reporter: Reporter,
    metrics: Metrics,
    tunnels: watch::Sender<Option<Arc<Tunnels>>>,
    fleet: watch::Sender<Arc<Fleet>>,
}

fn world(server: &Server, pod: bool) -> World {
    let names = Names {
        instance: "adit".into(),
        namespace: "system".into(),
        pod: Some("one".into()),
        replica: "one".into(),
    };
    let metrics = Metrics::new().unwrap();
    let pod = pod.then(|| Pod { name: "one".into(), uid: "u".into() });
    World {
        reporter: Reporter::new(server.client(), names, metrics.clone()),
        metrics,
        tunnels: watch::channel(None).0,
        fleet: watch::channel(Arc::new(Fleet { listed: true, pod, ..Fleet::default() })).0,
    }
}

fn tunnels(generation: i64) -> Option<Arc<Tunnels>> {
    let entry = Entry { generation, ..Entry::default() };
    Some(Arc::new(Tunnels::from([("t".into(), entry)])))
}

impl World {
    /// Lets the reporter run for some seconds, with an edit each tenth of one for `edits` times.
    async fn runs(&mut self, seconds: u64, edits: i64) {
        let (mut said, mut known) = (self.tunnels.subscribe(), self.fleet.subscribe());
        said.mark_changed();
        let changes = async {
            for generation in 0..edits {
                self.tunnels.send_replace(tunnels(generation));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            std::future::pending::<()>().await
        };
        let both = async {
            tokio::select! {
                _ = self.reporter.run(&mut said, &mut known) => {}
                () = changes => {}
            }
        };
        assert!(timeout(Duration::from_secs(seconds), both).await.is_err(), "it goes on");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_before_anything_runs_and_then_only_what_changes() {
    let server = Server::default();
    let mut world = world(&server, true);
    world.runs(100, 0).await;
    assert!(server.asked().is_empty());
    world.runs(3600, 1).await;
    assert_eq!(server.asked(), ["POST configmaps"], "an hour without a change");
    world.runs(3600, 2).await;
    assert_eq!(server.asked()[1..], ["PUT adit-report-one"]);
    world.reporter.farewell().await;
    assert_eq!(server.asked().len(), 2, "it goes with its Pod");
}

#[tokio::test(start_paused = true)]
async fn edits_in_a_row_are_one_write_a_second() {
    let server = Server::default();
    world(&server, true).runs(60, 100).await;
    let count = server.asked().len();
    assert!((10..=12).contains(&count), "{count} writes for ten seconds of edits");
}

#[tokio::test(start_paused = true)]
async fn a_report_without_a_pod_is_renewed_and_removed() {
    let server = Server::default();
    let mut world = world(&server, false);
    world.runs(61, 1).await;
    assert_eq!(server.asked().len(), 5, "at once and every 15 s");
    world.reporter.farewell().await;
    assert_eq!(server.asked().last().unwrap(), "DELETE adit-report-one");
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_gone_is_made_again() {
    let server = Server::default();
    let mut world = world(&server, true);
    world.runs(5, 1).await;
    world.fleet.send_modify(|fleet| Arc::make_mut(fleet).losses = 1);
    world.runs(5, 0).await;
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn missing_rights_are_counted_and_tried_again_every_ten_seconds() {
    let server = Server::answers(403);
    let mut world = world(&server, true);
    world.runs(100, 1).await;
    let count = server.asked().len();
    assert!((10..=16).contains(&count), "{count} attempts");
    let denied = world.metrics.kube_denied.with_label_values(&["create", "configmaps"]).get();
    assert_eq!(denied, count as u64);
}

#[tokio::test(start_paused = true)]
async fn a_report_without_room_for_all_is_written_and_counted() {
    let server = Server::default();
    let mut world = world(&server, true);
    let counted = |world: &World| {
        let text = world.metrics.encode().unwrap();
        let line = "adit_bound_reached_total{bound=\"report_bytes\"} ";
        text.lines().find_map(|l| l.strip_prefix(line)).map(ToString::to_string)
    };
    let of = |count: usize| {
        let entry = |number| (format!("uid-{number:060}").into(), Entry::default());
        Some(Arc::new((0..count).map(entry).collect::<Tunnels>()))
    };
    world.tunnels.send_replace(of(1000));
    world.runs(5, 0).await;
    assert_eq!(counted(&world), None);
    world.tunnels.send_replace(of(20_000));
    world.runs(5, 0).await;
    assert_eq!(counted(&world).as_deref(), Some("1"));
    assert_eq!(server.asked().len(), 2);
}
