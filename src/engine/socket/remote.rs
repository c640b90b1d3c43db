//! A port that the last node of a chain has for us.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{Standing, Surroundings};
use crate::base::{ListenAddr, Reason, ServiceKey};
use crate::connector::bind::RemoteListener;
use crate::engine::layout::{Content, RemoteBind, SocketId};
use crate::engine::service::{Service, Services};
use crate::io::{Accept, Inbound};
use crate::route::Route;

mod binder;
mod pause;

use binder::Binder;

/// A port of another machine, had again whenever it is lost. Dropping it gives the port back: nobody
/// new is taken, streams that came in live on, and the node hears of it with the end of the last one.
pub(in crate::engine) struct RemotePort {
    port: Arc<Port>,
    tracker: TaskTracker,
    /// How it is had, and who sees to that.
    binder: Option<(RemoteBind, DropGuard)>,
}

struct Port {
    addr: ListenAddr,
    /// For the log.
    key: Option<ServiceKey>,
    service: ArcSwapOption<Service>,
    state: Mutex<State>,
    /// Somebody should look at the state.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// Who brings streams now.
    session: Option<Session>,
    /// Why nobody does, or why it is still the one of before a change.
    failure: Option<(Reason, String)>,
    /// What the service had at another address, until there is a session.
    before: Option<RemotePort>,
}

/// A port that a node has. Dropping it takes nobody new.
struct Session {
    local: SocketAddr,
    bind: RemoteBind,
    over: CancellationToken,
    _stop: DropGuard,
}

impl RemotePort {
    /// Nothing is asked of anybody before the first [`route`](Self::route).
    pub(super) fn new(id: &SocketId, around: &Surroundings) -> Self {
        let port = Port {
            addr: id.addr.clone(),
            key: id.owner.clone(),
            service: ArcSwapOption::empty(),
            state: Mutex::default(),
            changed: around.changed.clone(),
        };
        Self { port: Arc::new(port), tracker: around.tracker.clone(), binder: None }
    }

    /// How it stands: the address that the node gave, if its way is the one that is wanted.
    pub(super) fn standing(&self) -> Standing {
        let state = self.port.state.lock();
        match (&state.session, &state.failure) {
            (_, Some(failure)) => Err(failure.clone()),
            (Some(session), None) => Ok(session.local),
            (None, None) => Err((Reason::Pending, "no node listens for it yet".into())),
        }
    }

    /// Whether streams come, be it by the way or at the address of before a change.
    pub(super) fn is_bound(&self) -> bool {
        let state = self.port.state.lock();
        state.session.is_some() || state.before.as_ref().is_some_and(Self::is_bound)
    }

    /// Keeps what the service had at another address until this one is had. It is not asked for again.
    pub(super) fn follow(&mut self, mut before: Self) {
        before.binder = None;
        let mut state = self.port.state.lock();
        if state.session.is_none() {
            state.before = Some(before);
        }
    }

    /// Gives back the port at this address if it is kept until this one is had.
    pub(super) fn reclaim(&mut self, addr: &ListenAddr) -> Option<Self> {
        let mut state = self.port.state.lock();
        match state.before.take_if(|before| before.port.addr == *addr) {
            Some(before) => Some(before),
            None => state.before.as_mut()?.reclaim(addr),
        }
    }

    /// Sends new streams to a service, and has the port by its way. A port that is had by another one
    /// is kept until the new way has it too: a mistake in a chain costs nothing that runs.
    pub(super) fn route(&mut self, content: &Content, services: &Services) {
        let Content::Remote(key, bind) = content else { return };
        let Some(service) = services.get(key) else { return };
        self.port.service.store(Some(service));
        if self.binder.as_ref().is_some_and(|(had, _)| had == bind) {
            return;
        }
        let context = services.route_context(key);
        let (metrics, stop) = (context.metrics.clone(), CancellationToken::new());
        match Route::through(&bind.chain, &bind.names, bind.within, context) {
            Ok(route) => {
                let (port, tracker) = (self.port.clone(), self.tracker.clone());
                let held = port.had_by(bind);
                let (bind, stop) = (bind.clone(), stop.clone());
                let binder = Binder { port, bind, route, metrics, tracker, stop };
                self.tracker.spawn(binder.run(held));
            }
            // Found when the service was prepared.
            Err(error) => self.port.failed(Reason::Invalid, words(&error)),
        }
        self.binder = Some((bind.clone(), stop.drop_guard()));
    }
}

impl Drop for RemotePort {
    fn drop(&mut self) {
        self.binder = None;
        *self.port.state.lock() = State::default();
    }
}

impl Port {
    /// Whether the port is had by this way, and until when. Then what was to replace it does not
    /// matter any more.
    fn had_by(&self, bind: &RemoteBind) -> Option<CancellationToken> {
        let mut state = self.state.lock();
        let session = state.session.as_ref().filter(|session| session.bind == *bind)?;
        let over = session.over.clone();
        state.failure = None;
        Some(over)
    }

    /// Whether it is taken at a node because it is had there by the way of before a change: of other
    /// credentials, say. Streams come, so nothing has failed; the new way is gone when that one ends.
    fn is_in_its_own_way(&self, bind: &RemoteBind) -> bool {
        let mut state = self.state.lock();
        let own = state.session.as_ref().is_some_and(|session| same_node(&session.bind, bind));
        if own && state.failure.take().is_some() {
            self.changed.notify_one();
        }
        own
    }

    /// Hands streams to the service until the session is over.
    async fn serve(&self, mut listener: RemoteListener, local: SocketAddr) {
        while let Some((io, peer)) = listener.accept().await {
            let service = self.service.load_full();
            if let Some(service) = service.filter(|service| service.admits(peer)) {
                service.accept(Inbound { io, peer, local });
            }
        }
    }

    /// The session to the node is over.
    fn lost(&self, over: &CancellationToken, node: &str) {
        let mut state = self.state.lock();
        // One that was replaced is nobody's loss.
        if state.session.take_if(|session| session.over == *over).is_none() {
            return;
        }
        state.failure.get_or_insert_with(|| {
            (Reason::Pending, format!("node {node}: the connection that listened has ended"))
        });
        drop(state);
        let service = self.service();
        tracing::warn!(service, addr = %self.addr, node, "the node listens no longer, asking again");
        self.changed.notify_one();
    }

    fn service(&self) -> String {
        self.key.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    fn failed(&self, reason: Reason, message: String) {
        let failure = Some((reason, message));
        let mut state = self.state.lock();
        if state.failure == failure {
            return;
        }
        if let Some((_, error)) = &failure {
            let service = self.service();
            tracing::warn!(service, addr = %self.addr, error, "no node listens, trying again");
        }
        state.failure = failure;
        drop(state);
        self.changed.notify_one();
    }
}

/// Whether two ways may end at the same node.
fn same_node(a: &RemoteBind, b: &RemoteBind) -> bool {
    let (Some(a), Some(b)) = (a.chain.hops.last(), b.chain.hops.last()) else { return false };
    a.nodes.iter().any(|a| b.nodes.iter().any(|b| a.addr == b.addr))
}

/// An error with its causes.
fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
