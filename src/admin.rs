//! Probes and metrics over HTTP: `/startupz`, `/livez`, `/readyz`, `/metrics`.
//!
//! Floor 9. Liveness never depends on the API server, a peer or a tenant: that the answer comes is
//! the answer. Readiness never depends on one tunnel: its problems are counted in the body, and
//! listed for clients on loopback. The body has names of tenants, and every Pod can reach the port.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::base::Bound;
use crate::engine::{ServiceState, Snapshot};
use crate::metrics::Metrics;

mod places;

use places::{Place, Places};

/// Connections that are open at once.
const MAX_CONNECTIONS: usize = 64;

/// For the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// For a whole connection, also one whose client does not read the answers.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Between two warnings that connections are evicted.
const WARN_EVERY: Duration = Duration::from_secs(60);

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
    places: Arc<Places>,
    metrics: Metrics,
    warned: Arc<Mutex<Option<Instant>>>,
}

/// The client of a connection.
#[derive(Clone, Copy)]
struct Peer(SocketAddr);

/// What `/metrics` answers from.
struct Exposition {
    metrics: Metrics,
    probes: Probes,
    /// When the last answer was begun, and the answer.
    last: tokio::sync::Mutex<Option<(Instant, Bytes)>>,
}

impl Admin {
    /// A server for these probes and metrics.
    pub fn new(probes: Probes, metrics: Metrics) -> Self {
        let router = Router::new()
            .route("/startupz", get(startupz))
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .with_state(probes.clone())
            .route("/metrics", get(exposition))
            .with_state(Arc::new(Exposition {
                metrics: metrics.clone(),
                probes,
                last: tokio::sync::Mutex::default(),
            }));
        let places = Places::new(MAX_CONNECTIONS);
        Self { router, places, metrics, warned: Arc::default() }
    }

    /// Serves one connection to its end. Beyond [`MAX_CONNECTIONS`] another one is closed for it.
    pub async fn serve<S>(self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let place = self.take(peer);
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(16 * 1024);
        let router = self.router.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request
        });
        let serving =
            builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        tokio::select! {
            () = place.evicted() => tracing::debug!(%peer, "admin connection made room for another"),
            served = tokio::time::timeout(CONNECTION_TIMEOUT, serving) => match served {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%peer, %error, "admin connection failed"),
                Err(_) => tracing::debug!(%peer, "admin connection took too long"),
            }
        }
    }

    fn take(&self, peer: SocketAddr) -> Place {
        let (place, full) = self.places.take(peer.ip());
        if full {
            self.metrics.bound_reached(Bound::AdminConnections);
            let mut warned = self.warned.lock();
            if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                *warned = Some(Instant::now());
                tracing::warn!(
                    %peer, limit = MAX_CONNECTIONS,
                    "too many connections to the admin port: the oldest ones are closed"
                );
            }
        }
        place
    }
}

async fn startupz(State(probes): State<Probes>) -> Response {
    if *probes.started.borrow() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "waiting for the first configuration\n").into_response()
    }
}

async fn readyz(State(probes): State<Probes>, Extension(Peer(peer)): Extension<Peer>) -> Response {
    let snapshot = probes.snapshot.borrow().clone();
    let serves = |state: &ServiceState| matches!(state, ServiceState::Serving { .. });
    let failing = snapshot.services.values().filter(|service| !serves(&service.state)).count();
    let mut obstacles = Vec::new();
    if !*probes.started.borrow() {
        obstacles.push("waiting for the first configuration");
    }
    if snapshot.draining {
        obstacles.push("draining");
    } else if !snapshot.fronts_bound {
        obstacles.push("a front port is not bound");
    } else if probes.every_service && failing > 0 {
        obstacles.push("a service does not serve");
    }
    let mut body = if obstacles.is_empty() { "ok\n".into() } else { obstacles.join("\n") + "\n" };
    let detailed = peer.ip().is_loopback();
    if detailed {
        body.push_str(&problems(&snapshot));
    } else if failing > 0 {
        let all = snapshot.services.len();
        let _ = writeln!(body, "services that do not serve: {failing} of {all}");
    }
    let refused = probes.refused_change.borrow().clone();
    if let Some(refused) = &refused {
        body.push_str("the newest configuration was refused, the one before it runs\n");
        if detailed {
            let _ = writeln!(body, "{refused}");
        }
    }
    if !detailed && (failing > 0 || refused.is_some()) {
        body.push_str("only clients on loopback are told more: kubectl port-forward\n");
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

/// A client gets what was read after it asked; clients that ask while it is read share the next
/// answer, so that many of them cost no more than two.
async fn exposition(State(shared): State<Arc<Exposition>>) -> Response {
    let asked = Instant::now();
    let mut last = shared.last.lock().await;
    let text = match last.take() {
        Some((began, text)) if began > asked => Ok((began, text)),
        _ => shared.read(),
    };
    match text {
        Ok((began, text)) => {
            *last = Some((began, text.clone()));
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
        }
        Err(error) => {
            tracing::error!(error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

impl Exposition {
    fn read(&self) -> Result<(Instant, Bytes), String> {
        let began = Instant::now();
        count_listeners(&self.metrics, &self.probes.snapshot.borrow());
        count_tasks(&self.metrics);
        let text = self.metrics.encode().map_err(|error| error.to_string())?;
        Ok((began, text.into()))
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
