use std::collections::VecDeque;

use futures_util::stream::{self, BoxStream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectList;
use serde_json::json;

use super::*;

/// An API server by its answers: a list, then the events of each watch.
#[derive(Default)]
struct Server {
    /// From which versions watches began.
    began: Mutex<Vec<String>>,
    lists: Mutex<u64>,
    watches: Mutex<VecDeque<Vec<Said>>>,
}

/// What a watch says.
enum Said {
    Added(&'static str),
    Unreadable,
    Code(u16),
}

struct Shared(Arc<Server>);

fn map(name: &str, version: &str) -> ConfigMap {
    let meta = json!({"name": name, "namespace": "n", "resourceVersion": version});
    serde_json::from_value(json!({ "metadata": meta })).unwrap()
}

impl Source for Shared {
    type Object = ConfigMap;

    async fn list(&self, _: &ListParams) -> kube::Result<ObjectList<ConfigMap>> {
        let mut lists = self.0.lists.lock();
        *lists += 1;
        let version = (*lists * 100).to_string();
        let list = json!({"apiVersion": "v1", "kind": "ConfigMapList",
            "metadata": {"resourceVersion": version}, "items": []});
        Ok(serde_json::from_value(list).unwrap())
    }

    async fn watch(
        &self,
        _: &WatchParams,
        version: &str,
    ) -> kube::Result<BoxStream<'static, kube::Result<WatchEvent<ConfigMap>>>> {
        self.0.began.lock().push(version.into());
        let Some(said) = self.0.watches.lock().pop_front() else {
            return Ok(stream::pending().boxed());
        };
        let event = |said| match said {
            Said::Added(version) => Ok(WatchEvent::Added(map("m", version))),
            Said::Unreadable => {
                Err(kube::Error::SerdeError(serde_json::from_str::<u8>("x").unwrap_err()))
            }
            Said::Code(code) => {
                let status = json!({"status": "Failure", "code": code, "message": "no",
                    "reason": "Expired"});
                let status = serde_json::from_value(status).unwrap();
                Ok(WatchEvent::Error(status))
            }
        };
        let events: Vec<_> = said.into_iter().map(event).collect();
        Ok(stream::iter(events).boxed())
    }
}

/// From where the watches began, once so many have.
async fn began(watches: Vec<Vec<Said>>, count: usize) -> Vec<String> {
    let server = Arc::new(Server { watches: Mutex::new(watches.into()), ..Server::default() });
    let (sink, mut changes) = mpsc::channel(64);
    let kind = Kind::new("configmaps", Shared(server.clone()), |map: &ConfigMap| Key::of(map));
    let freshness = Freshness::new(Outage::new("https://test"));
    let watch = Watch::new(kind, 0, |change| change, sink, freshness, Metrics::new().unwrap());
    let enough = async {
        while server.began.lock().len() < count {
            tokio::select! {
                _ = changes.recv() => {}
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
    };
    tokio::select! {
        _ = watch.run() => panic!("it ended"),
        () = enough => {}
    }
    server.began.lock().clone()
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_too_old_is_followed_by_a_list() {
    let watches = vec![vec![Said::Added("101"), Said::Code(410)]];
    assert_eq!(began(watches, 2).await, ["100", "200"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_is_passed_by_a_list() {
    let watches = vec![vec![Said::Added("101"), Said::Unreadable]];
    assert_eq!(began(watches, 2).await, ["100", "200"]);
}

#[tokio::test(start_paused = true)]
async fn another_end_of_a_watch_is_followed_by_one_from_the_last_version() {
    let watches = vec![vec![Said::Added("101"), Said::Code(500)], vec![Said::Added("103")]];
    assert_eq!(began(watches, 3).await, ["100", "101", "103"]);
}
