//! Who asks a node for a port, and asks again.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pause::Pause;
use super::{Port, Session, State, words};
use crate::base::{Host, Reason};
use crate::connector::ConnectError;
use crate::connector::bind::RemoteListener;
use crate::engine::layout::RemoteBind;
use crate::metrics::ServiceMetrics;
use crate::route::{Bound, Route, RouteError};

/// Has a port, and has it again whenever it is lost, until `stop`. What it had then goes on.
pub(super) struct Binder {
    pub(super) port: Arc<Port>,
    pub(super) bind: RemoteBind,
    pub(super) route: Route,
    pub(super) metrics: ServiceMetrics,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Binder {
    /// `held`: the port is had already, until this is cancelled.
    pub(super) async fn run(self, held: Option<CancellationToken>) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = self.keep(held) => {}
        }
    }

    async fn keep(&self, mut held: Option<CancellationToken>) {
        let mut pause = Pause::default();
        loop {
            let began = Instant::now();
            let had = match held.take() {
                Some(held) => Some(held),
                None => match self.route.bind(&self.port.addr).await {
                    Ok(bound) => self.take(bound),
                    Err(error) => {
                        self.metrics.dial_failed(error.label());
                        let reason = reason(&error);
                        if reason == Reason::AddressInUse && self.port.is_in_its_own_way(&self.bind)
                        {
                            tracing::debug!(addr = %self.port.addr, "the way of before has the port");
                        } else {
                            self.port.failed(reason, words(&error));
                        }
                        None
                    }
                },
            };
            if let Some(over) = had {
                over.cancelled().await;
                pause.held_for(began.elapsed());
            }
            sleep(pause.next()).await;
        }
    }

    /// Takes streams from a node, instead of whoever brought them before, unless nobody wants them
    /// any more. What is returned is cancelled when the node brings no more.
    fn take(&self, bound: Bound) -> Option<CancellationToken> {
        let Bound { node, listener, carrying } = bound;
        let (stop, over) = (CancellationToken::new(), CancellationToken::new());
        let (local, port) = (address(&listener), self.port.clone());
        {
            let mut state = port.state.lock();
            // Whoever gives the port back cancels first, and then takes the session away.
            if self.stop.is_cancelled() {
                return None;
            }
            let session = Session {
                local,
                bind: self.bind.clone(),
                over: over.clone(),
                _stop: stop.clone().drop_guard(),
            };
            *state = State { session: Some(session), ..State::default() };
        }
        let (service, at) = (port.service(), listener.addr());
        tracing::info!(service, addr = %port.addr, node, local = %at, "listening at a node");
        port.changed.notify_one();
        self.tracker.spawn(carrying);
        let ended = over.clone();
        self.tracker.spawn(async move {
            let _over = ended.clone().drop_guard();
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = port.serve(listener, local) => port.lost(&ended, &node),
            }
        });
        Some(over)
    }
}

/// What the node says it listens on. A name, as a node may give for a port that the world sees under
/// one, is no address of its own.
fn address(listener: &RemoteListener) -> SocketAddr {
    let ip = match &listener.addr().host {
        Some(Host::Ip(ip)) => ip.to_canonical(),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, listener.addr().port)
}

fn reason(error: &RouteError) -> Reason {
    match error {
        RouteError::Bind { source: ConnectError::NotBound(_), .. } => Reason::AddressInUse,
        RouteError::Bind { source: ConnectError::BindForbidden, .. } => Reason::BindForbidden,
        _ => Reason::Pending,
    }
}
