//! How a listener is made known in the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A Service that leads to a listener. No part of the listener's own configuration: a change of it
/// disturbs nothing that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExposeConfig {
    /// The Service's name, in the tunnel's namespace.
    pub service: Arc<str>,
    /// Its type.
    pub kind: ServiceType,
    /// `externalTrafficPolicy`, if one is asked for.
    pub traffic: Option<&'static str>,
    /// Its port that leads here.
    pub port: u16,
    /// Datagrams.
    pub udp: bool,
    /// `appProtocol` of its port (KEP-3726).
    pub protocol: Option<&'static str>,
    /// What its author wants on it.
    pub annotations: BTreeMap<String, String>,
    /// What its author wants on it.
    pub labels: BTreeMap<String, String>,
}

/// `type` of a Service, of those that lead to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceType {
    /// Inside of the cluster.
    ClusterIp,
    /// At a port of every node.
    NodePort,
    /// Behind a load balancer.
    LoadBalancer,
}

impl ServiceType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::ClusterIp, Self::NodePort, Self::LoadBalancer];

    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}
