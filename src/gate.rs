//! Who may come, where to, and how fast: what stands before a service's handler.
//!
//! Floor 3. The rules are configuration ([`crate::config::model::Gates`]); what they count lives
//! here, as long as the service, whatever becomes of its handler. A refused client hears nothing,
//! as in GOST: its connection is closed.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::model::{Admission, Gates};

mod bucket;
pub mod bypass;
mod connections;
mod entry;
mod limited;
mod limits;
pub mod passwords;
mod requests;
mod screened;
pub mod sources;
mod tenant;
mod traffic;

pub use connections::Place;
pub use entry::{Berth, Entry, OF_NAMESPACE, OF_SESSION};
pub use limited::Limited;
pub use passwords::Passwords;
pub use screened::Screened;
pub use sources::source;
pub use tenant::{Namespace, Seat, Tenant};
pub use traffic::Meter;

use connections::Connections;
use requests::Requests;
use traffic::Traffic;

/// Why a client was refused: with `bypass`, the closed sets of `adit_refused_total{reason}` and
/// `adit_limiter_rejections_total{kind}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// An admission does not let it in.
    Admission,
    /// Too many connections are open.
    Connections,
    /// Too many requests in the last moments.
    Requests,
    /// The class gives a tunnel no more connections.
    OfTunnel,
    /// The class gives a namespace no more connections.
    OfNamespace,
}

impl Refused {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::OfTunnel => "tunnel_connections",
            Self::OfNamespace => "namespace_connections",
        }
    }

    /// Whether another moment, or fewer others, would have let it in.
    pub fn is_of_limit(self) -> bool {
        match self {
            Self::Admission => false,
            Self::Connections | Self::Requests | Self::OfTunnel | Self::OfNamespace => true,
        }
    }
}

/// The gates of one service, with what they count.
#[derive(Clone, Default)]
pub struct Gate {
    config: Gates,
    connections: Arc<Connections>,
    requests: Option<Arc<Requests>>,
    traffic: Option<Arc<Traffic>>,
}

impl Gate {
    /// The gates of a service that starts.
    pub fn new(config: &Gates) -> Self {
        Self::default().with(config)
    }

    /// The gates after a change of configuration: limits that are the same go on counting, and
    /// open connections count whatever their limit is now.
    #[must_use]
    pub fn with(&self, config: &Gates) -> Self {
        let requests = match (&self.requests, &config.requests) {
            (Some(old), new) if self.config.requests == *new => Some(old.clone()),
            (_, new) => new.as_ref().map(|limits| Arc::new(Requests::new(limits.clone()))),
        };
        let traffic = match (&self.traffic, &config.traffic) {
            (Some(old), new) if self.config.traffic == *new => Some(old.clone()),
            (_, new) => new.as_ref().map(|limits| Arc::new(Traffic::new(limits.clone()))),
        };
        Self { config: config.clone(), connections: self.connections.clone(), requests, traffic }
    }

    /// Whether every admission admits this client.
    ///
    /// # Errors
    /// [`Refused::Admission`].
    pub fn admits(&self, client: IpAddr) -> Result<(), Refused> {
        let admitted = |admission: &Arc<Admission>| admits(admission, client);
        if self.config.admissions.iter().all(admitted) { Ok(()) } else { Err(Refused::Admission) }
    }

    /// A place for a connection of this client; dropping it gives it back.
    ///
    /// # Errors
    /// [`Refused::Admission`], or [`Refused::Connections`] if there is none.
    pub fn enter(&self, client: IpAddr) -> Result<Option<Place>, Refused> {
        self.admits(client)?;
        match &self.config.connections {
            Some(limits) => match Connections::enter(&self.connections, limits, client) {
                Some(place) => Ok(Some(place)),
                None => Err(Refused::Connections),
            },
            None => Ok(None),
        }
    }

    /// Whether this client may make one more request now.
    ///
    /// # Errors
    /// [`Refused::Requests`].
    pub fn request(&self, client: IpAddr) -> Result<(), Refused> {
        match &self.requests {
            Some(requests) if !requests.allow(client) => Err(Refused::Requests),
            _ => Ok(()),
        }
    }

    /// What a connection of this client may carry; `None` is any. All streams of one connection
    /// share it.
    pub fn meter(&self, client: IpAddr) -> Option<Meter> {
        self.traffic.as_ref().and_then(|traffic| traffic.meter(client))
    }
}

fn admits(admission: &Admission, client: IpAddr) -> bool {
    let client = client.to_canonical();
    let matched = admission.nets.iter().any(|net| net.contains(&client));
    matched == admission.whitelist
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(whitelist: bool, net: &str) -> Arc<Admission> {
        let nets = vec![net.parse().unwrap()];
        Arc::new(Admission { name: "a".into(), whitelist, nets })
    }

    #[test]
    fn every_admission_must_admit() {
        let admissions = vec![admission(true, "10.0.0.0/8"), admission(false, "10.1.0.0/16")];
        let gate = Gate::new(&Gates { admissions, ..Default::default() });
        assert_eq!(gate.admits([10, 2, 0, 1].into()), Ok(()));
        assert_eq!(gate.admits("::ffff:10.2.0.1".parse().unwrap()), Ok(()));
        assert_eq!(gate.admits([10, 1, 0, 1].into()), Err(Refused::Admission));
        assert_eq!(gate.admits([11, 0, 0, 1].into()), Err(Refused::Admission));
        assert_eq!(Gate::default().admits([1, 1, 1, 1].into()), Ok(()));
    }
}
