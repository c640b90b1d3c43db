//! `services[].expose`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Service of the tunnel's namespace that leads to a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Expose {
    /// The Service's type: ClusterIP (default).
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The Service's port; by default that of addr.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// The Service's name; by default the tunnel's, a hyphen and the service's. Services with one name
    /// are ports of one Service.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// externalTrafficPolicy of a NodePort or LoadBalancer: Cluster (default), or Local, which keeps
    /// clients' addresses and serves on nodes with a Pod of the controller alone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_traffic_policy: String,
    /// Annotations of the Service, as far as the class allows them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the Service, as far as the class allows them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}
