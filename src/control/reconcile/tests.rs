use serde_json::json;

use super::*;
use crate::control::policy::Reserved;
use crate::engine::{EngineOptions, Ports};
use crate::io::memory::Budget;
use crate::net::dial::Dialer;
use crate::net::guard::Guard;
use crate::net::resolve::{Resolver, Search};

/// A loop that leads, whose API server never answers, and what it listens to.
struct World {
    reconciler: Reconciler,
    policy: watch::Sender<Arc<Policy>>,
    metrics: Metrics,
    _held: (mpsc::Receiver<Note>, watch::Sender<Arc<Fleet>>, watch::Sender<bool>),
}

fn world() -> World {
    let silent = tower::service_fn(|_: http::Request<kube::client::Body>| {
        std::future::pending::<Result<http::Response<kube::client::Body>, std::io::Error>>()
    });
    let client = kube::Client::new(silent, "default");
    let metrics = Metrics::new().unwrap();
    let guard = Arc::new(Guard::off());
    let engine = Engine::start(EngineOptions {
        ports: Ports::default(),
        dialer: Arc::new(Dialer::new(Resolver::new(Search::System), guard.clone())),
        guard,
        metrics: metrics.clone(),
        memory: Budget::unlimited(),
    });
    let (withdrawal, withdraws) = watch::channel(false);
    let (policy, governs) = watch::channel(Arc::new(Policy::built_in()));
    let (fleet_told, fleet) = watch::channel(Arc::default());
    let (events, noted) = mpsc::channel(8);
    let (scopes, leadership) = (vec![None], Leadership::always());
    let scope = crate::control::secrets::Scope::all(&scopes, &[]);
    let read = Box::new(|_: _| Box::pin(std::future::pending()) as _);
    let reconciler = Reconciler::new(Parts {
        store: Store::new(scopes.clone()),
        secrets: Reader::new(read, scope, metrics.clone()),
        services: Directory::new(scopes.clone()),
        services_wanted: watch::channel(false).0,
        translator: Translator::new(vec![8080, 8443], &[], ("release", "test")),
        policy: governs,
        labels: watch::channel(None).1,
        writer: Writer::new(client.clone(), "test", leadership.clone(), metrics.clone()),
        keeper: Keeper::new(client, "test", &scopes, leadership.clone(), metrics.clone()),
        engine,
        fronts: vec![8080, 8443],
        leadership,
        fleet,
        replica: "one".into(),
        reports: watch::channel(None).0,
        listed: watch::channel(false).0,
        withdrawal: withdraws,
        withdrawn: watch::channel(false).0,
        events,
        metrics: metrics.clone(),
    });
    World { reconciler, policy, metrics, _held: (noted, fleet_told, withdrawal) }
}

fn object(name: &str, ready: &str) -> Object {
    let condition = json!({"type": "Ready", "status": ready, "reason": "Ready", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let object = json!({
        "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel",
        "metadata": {"name": name, "namespace": "a", "uid": name, "generation": 1},
        "spec": {"services": [{
            "name": "s", "addr": ":8080", "handler": {"type": "http"},
            "listener": {"type": "ws", "metadata": {"path": format!("/{name}")}},
        }]},
        "status": {"conditions": [condition]},
    });
    Object::read(&serde_json::from_value(object).unwrap())
}

#[tokio::test(start_paused = true)]
async fn while_no_replica_is_known_objects_are_counted_by_what_they_say() {
    let World { mut reconciler, metrics, _held, .. } = world();
    let objects =
        [("t", "True"), ("u", "True"), ("v", "False")].map(|(name, ready)| object(name, ready));
    reconciler.change(Change::Listed { scope: 0, objects: objects.into() });
    reconciler.govern();
    reconciler.lead();
    reconciler.translate();
    reconciler.look_at_all();
    let counted = |ready: &str| metrics.tunnels.with_label_values(&["adit", ready]).get();
    assert_eq!((counted("True"), counted("False"), counted("Unknown")), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn classes_that_wait_for_the_labels_of_namespaces_do_not_keep_the_loop_busy() {
    let World { mut reconciler, policy, _held, .. } = world();
    assert!(reconciler.govern());
    let text = "classes: [{name: adit, default: true, namespaces: {matchLabels: {team: a}}}]";
    let newer = Policy::read([("classes", text)], Reserved::default()).unwrap();
    policy.send_replace(Arc::new(newer));
    assert!(!reconciler.govern());
    for _ in 0..2 {
        tokio::time::advance(2 * PATIENCE).await;
        assert!(!reconciler.govern(), "the classes before go on");
        let due = reconciler.governs_by;
        assert!(due.is_none_or(|at| at > Instant::now()), "due again at once");
    }
}
