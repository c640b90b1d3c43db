//! Probes and metrics over HTTP: `/startupz`, `/livez`, `/readyz`, `/metrics`.
//!
//! Floor 9. Liveness never depends on the API server, a peer or a tenant: that the answer comes is
//! the answer. Readiness never depends on one tunnel: its problems are listed in the body.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};

use crate::engine::{ServiceState, Snapshot};
use crate::metrics::Metrics;

/// Slow peers hold one of these places each and nothing else.
const MAX_CONNECTIONS: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Whoever does not read the answer gives its place back after this.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// What the probes look at.
#[derive(Clone)]
pub struct Probes {
    /// The first configuration is there: every watch has listed, or the files were read.
    pub started: watch::Receiver<bool>,
    /// The engine's picture.
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    /// Whether a service that does not serve makes the process unready: the sidecar's rule. A
    /// controller's tenants must not unready each other.
    pub every_service: bool,
    /// The last refused change of the configuration, if there is one. Shown, never counted.
    pub refused_change: watch::Receiver<Option<String>>,
}

/// The admin server. Give it the connections of the admin port.
#[derive(Clone)]
pub struct Admin {
    router: Router,
    places: Arc<Semaphore>,
}

impl Admin {
    /// A server for these probes and metrics.
    pub fn new(probes: Probes, metrics: Metrics) -> Self {
        let router = Router::new()
            .route("/startupz", get(startupz))
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .with_state(probes.clone())
            .route("/metrics", get(exposition).with_state((metrics, probes)));
        Self { router, places: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }
    }

    /// Serves one connection to its end. Beyond [`MAX_CONNECTIONS`] it is closed at once.
    pub async fn serve<S>(self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Ok(_place) = self.places.try_acquire() else {
            tracing::debug!(%peer, "admin connection refused: too many are open");
            return;
        };
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(16 * 1024);
        let service = TowerToHyperService::new(self.router);
        let serving = builder.serve_connection(TokioIo::new(stream), service);
        match tokio::time::timeout(CONNECTION_TIMEOUT, serving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%peer, %error, "admin connection failed"),
            Err(_) => tracing::debug!(%peer, "admin connection took too long"),
        }
    }
}

async fn startupz(State(probes): State<Probes>) -> Response {
    if *probes.started.borrow() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "waiting for the first configuration\n").into_response()
    }
}

async fn readyz(State(probes): State<Probes>) -> Response {
    let snapshot = probes.snapshot.borrow().clone();
    let problems = problems(&snapshot);
    let mut obstacles = Vec::new();
    if !*probes.started.borrow() {
        obstacles.push("waiting for the first configuration");
    }
    if snapshot.draining {
        obstacles.push("draining");
    } else if !snapshot.fronts_bound {
        obstacles.push("a front port is not bound");
    } else if probes.every_service && !problems.is_empty() {
        obstacles.push("a service does not serve");
    }
    let mut body = if obstacles.is_empty() { "ok\n".into() } else { obstacles.join("\n") + "\n" };
    body.push_str(&problems);
    if let Some(refused) = probes.refused_change.borrow().as_deref() {
        let _ = writeln!(
            body,
            "the newest configuration was refused, the one before it runs:\n{refused}"
        );
    }
    let status =
        if obstacles.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, body).into_response()
}

/// A line for each service that does not serve.
fn problems(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for (key, service) in &snapshot.services {
        match &service.state {
            ServiceState::Serving { .. } => {}
            ServiceState::Refused { reason, message }
            | ServiceState::Failed { reason, message } => {
                let _ = writeln!(text, "{key}: {reason}: {message}");
            }
        }
    }
    text
}

async fn exposition(State((metrics, probes)): State<(Metrics, Probes)>) -> Response {
    count_listeners(&metrics, &probes.snapshot.borrow());
    count_tasks(&metrics);
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn count_listeners(metrics: &Metrics, snapshot: &Snapshot) {
    let (mut serving, mut refused, mut failed) = (0, 0, 0);
    for service in snapshot.services.values() {
        match service.state {
            ServiceState::Serving { .. } => serving += 1,
            ServiceState::Refused { .. } => refused += 1,
            ServiceState::Failed { .. } => failed += 1,
        }
    }
    for (state, count) in [("serving", serving), ("refused", refused), ("failed", failed)] {
        metrics.listeners.with_label_values(&[state]).set(count);
    }
}

fn count_tasks(metrics: &Metrics) {
    let runtime = tokio::runtime::Handle::current().metrics();
    let gauges = &metrics.runtime;
    for (gauge, count) in [
        (&gauges.workers, runtime.num_workers()),
        (&gauges.alive_tasks, runtime.num_alive_tasks()),
        (&gauges.global_queue_depth, runtime.global_queue_depth()),
    ] {
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests;
