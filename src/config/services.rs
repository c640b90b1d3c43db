//! Services of the cluster that a configuration refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::raw::PortRef;

/// What is known of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// Its ports.
    Known(Vec<ServicePort>),
    /// There is none of the name.
    Missing,
    /// It is of type ExternalName: another name for this one, and no endpoints.
    External(String),
    /// Nobody knows yet: why.
    Unread(String),
}

/// A port of a Service, and who is behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, empty for an only one.
    pub name: String,
    /// Its number.
    pub number: u16,
    /// Datagrams: its protocol is UDP.
    pub udp: bool,
    /// The endpoints that are ready.
    pub ready: BTreeSet<SocketAddr>,
}

impl ServicePort {
    /// Whether it is the port that is meant.
    pub fn is(&self, port: &PortRef) -> bool {
        match port {
            PortRef::Number(number) => i64::from(self.number) == *number,
            PortRef::Name(name) => self.name == *name || self.number.to_string() == *name,
        }
    }
}

/// Services by namespace and name; what is not in it is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services(pub BTreeMap<(String, String), ServiceState>);

impl Services {
    /// What is known of the Service of that name.
    pub fn find(&self, namespace: &str, name: &str) -> &ServiceState {
        self.0.get(&(namespace.to_string(), name.to_string())).unwrap_or(&ServiceState::Missing)
    }
}
