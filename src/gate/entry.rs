//! A stream from its beginning to the moment at which it is a connection.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::sources::Held as Place;
use super::{Refused, Seat, Tenant};

/// Streams of one session that a handler has in hand before their request is finished. More of them
/// wait in the session, and no other session's for them.
pub const OF_SESSION: usize = 256;

/// The same of all sessions and other connections of a namespace, and sessions of which no stream has
/// had a finished request.
pub const OF_NAMESPACE: usize = 4096;

/// A stream that came in. Until its request is finished it has no place within the limits of its class.
#[derive(Default)]
pub struct Entry {
    tenant: Option<Arc<Tenant>>,
    berth: Option<Arc<Berth>>,
    /// Among those of its session, and of its namespace, without a finished request.
    of_session: Option<OwnedSemaphorePermit>,
    waiting: Option<Place>,
    held: Option<Held>,
}

/// A stream's place within the limits of its class.
enum Held {
    Session { _place: Taken },
    Own { _place: Seat },
}

/// A session on its way to its place, which one of its streams at a time may have.
pub struct Berth {
    tenant: Arc<Tenant>,
    state: Mutex<State>,
    gone: CancellationToken,
}

enum State {
    /// No stream of it has had a finished request.
    Waiting { _place: Place },
    /// It holds its place as long as it lives.
    Seated { _seat: Seat, taken: bool },
}

/// The session's place in the hands of a stream.
struct Taken(Arc<Berth>);

impl Entry {
    /// A stream of a tunnel without limits.
    pub fn free() -> Self {
        Self::default()
    }

    /// A stream of a client, and whether another one had to give way for it.
    pub fn new(tenant: Arc<Tenant>, client: IpAddr) -> (Self, bool) {
        let (place, displaced) = tenant.unrequested().renew(client);
        (Self { tenant: Some(tenant), waiting: Some(place), ..Self::default() }, displaced)
    }

    /// The same in a session.
    #[must_use]
    pub fn of(self, berth: Option<Arc<Berth>>, of_session: Option<OwnedSemaphorePermit>) -> Self {
        Self { berth, of_session, ..self }
    }

    /// Takes its place: its request is finished, and its client has proved who it is where the service
    /// asks for that.
    ///
    /// # Errors
    /// Which limit of the class is reached.
    pub fn requested(&mut self) -> Result<(), Refused> {
        self.of_session = None;
        if self.held.is_none() {
            let taken = self.berth.as_ref().map(Berth::take).transpose()?.flatten();
            self.held = match (taken, &self.tenant) {
                (Some(taken), _) => Some(Held::Session { _place: taken }),
                (None, Some(tenant)) => Some(Held::Own { _place: tenant.enter()? }),
                (None, None) => None,
            };
        }
        self.waiting = None;
        Ok(())
    }

    /// Returns when it must give way to others. It never does once it has its place.
    pub fn displaced(&self) -> impl Future<Output = ()> + Send + use<> {
        let gone = self.waiting.as_ref().map(Place::gone);
        async move {
            match gone {
                Some(gone) => gone.cancelled().await,
                None => std::future::pending().await,
            }
        }
    }
}

impl Berth {
    /// A session of a client, and whether another one had to give way for it.
    pub fn new(tenant: Arc<Tenant>, client: IpAddr) -> (Arc<Self>, bool) {
        let (place, displaced) = tenant.unrequested().renew(client);
        let gone = place.gone();
        let state = Mutex::new(State::Waiting { _place: place });
        (Arc::new(Self { tenant, state, gone }), displaced)
    }

    /// A session of a service that asks its clients nothing: it has its place from its beginning.
    ///
    /// # Errors
    /// Which limit of the class is reached.
    pub fn seated(tenant: Arc<Tenant>) -> Result<Arc<Self>, Refused> {
        let seat = tenant.enter()?;
        let state = Mutex::new(State::Seated { _seat: seat, taken: false });
        Ok(Arc::new(Self { tenant, state, gone: CancellationToken::new() }))
    }

    /// The session's place for a stream whose request is finished, unless another stream has it.
    fn take(self: &Arc<Self>) -> Result<Option<Taken>, Refused> {
        let mut state = self.state.lock();
        match &mut *state {
            State::Seated { taken, .. } => {
                Ok((!std::mem::replace(taken, true)).then(|| Taken(self.clone())))
            }
            State::Waiting { .. } => {
                *state = State::Seated { _seat: self.tenant.enter()?, taken: true };
                Ok(Some(Taken(self.clone())))
            }
        }
    }

    /// Whether no stream of it has had a finished request.
    pub fn is_waiting(&self) -> bool {
        matches!(*self.state.lock(), State::Waiting { .. })
    }

    /// Cancelled when it must give way to others.
    pub fn gone(&self) -> &CancellationToken {
        &self.gone
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let State::Seated { taken, .. } = &mut *self.0.state.lock() {
            *taken = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Terms;
    use crate::gate::Namespace;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn tenant(most: u32) -> Arc<Tenant> {
        let terms = Terms {
            connections_of_tunnel: most,
            connections_of_namespace: most,
            ..Terms::default()
        };
        Arc::new(Tenant::new(Arc::new(terms), Arc::<Namespace>::default()))
    }

    fn stream(tenant: &Arc<Tenant>, berth: &Arc<Berth>) -> Entry {
        Entry::new(tenant.clone(), CLIENT).0.of(Some(berth.clone()), None)
    }

    #[test]
    fn streams_and_sessions_without_a_request_take_no_place() {
        let tenant = tenant(1);
        let idle: Vec<_> = (0..2000)
            .map(|_| (Berth::new(tenant.clone(), CLIENT), Entry::new(tenant.clone(), CLIENT)))
            .collect();
        let mut rightful = Entry::new(tenant.clone(), CLIENT).0;
        assert_eq!(rightful.requested(), Ok(()));
        assert_eq!(rightful.requested(), Ok(()), "once");
        let mut next = Entry::new(tenant, CLIENT).0;
        assert_eq!(next.requested(), Err(Refused::OfTunnel));
        drop(rightful);
        assert_eq!(next.requested(), Ok(()));
        drop(idle);
    }

    #[test]
    fn a_session_and_its_first_stream_are_one_connection() {
        let tenant = tenant(2);
        let (berth, _) = Berth::new(tenant.clone(), CLIENT);
        let mut streams = [(); 3].map(|()| stream(&tenant, &berth));
        assert!(berth.is_waiting());
        assert_eq!(streams[0].requested(), Ok(()));
        assert!(!berth.is_waiting());
        assert_eq!(streams[1].requested(), Ok(()), "a second one has its own");
        assert_eq!(streams[2].requested(), Err(Refused::OfTunnel));
        drop(streams);
        let mut again = stream(&tenant, &berth);
        assert_eq!(again.requested(), Ok(()));
        let mut other = Entry::new(tenant.clone(), CLIENT).0;
        assert_eq!(other.requested(), Ok(()), "the session's place is its first stream's");
        drop((again, other, berth));
        assert!(tenant.enter().is_ok() && Berth::seated(tenant).is_ok());
    }
}
