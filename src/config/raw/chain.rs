//! Ways to targets through other proxies.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Auth, Metadata, ServiceRef, Tls, open_map};

/// Hops that lead to a target, each dialled through the one before it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Chain {
    /// The name that handlers refer to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The hops in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<Hop>,
}

/// One step of a chain.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Hop {
    /// A label; without nodes, the name of an entry of the top-level `hops`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The nodes, one of which is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<Node>>,
    /// How one of the nodes is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Targets that skip this hop and all after it: a bypass, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bypass: String,
    /// Targets that skip this hop and all after it: bypasses, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bypasses: Vec<String>,
    /// The resolver for the nodes' addresses, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resolver: String,
    /// The hosts for the nodes' addresses, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hosts: String,
    /// Options of the hop.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "open_map")]
    pub metadata: Metadata,
}

/// A proxy to go through.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Node {
    /// A label for logs and metrics.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// "host:port".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
    /// A Service of the same namespace instead of addr; each of its ready endpoints is such a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_ref: Option<ServiceRef>,
    /// What to say to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<Connector>,
    /// How bytes get there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialer: Option<Dialer>,
    /// Targets for which the node is no candidate: a bypass, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bypass: String,
    /// Targets for which the node is no candidate: bypasses, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bypasses: Vec<String>,
    /// The resolver for the node's address, by name; the hop's by default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resolver: String,
    /// The hosts for the node's address, by name; the hop's by default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hosts: String,
    /// Options of the node.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "open_map")]
    pub metadata: Metadata,
}

/// What is said to a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Connector {
    /// http (default), socks4, socks5, relay, forward, tcp or direct.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Credentials that are sent to the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Options of the connector's type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "open_map")]
    pub metadata: Metadata,
}

/// How bytes get to a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Dialer {
    /// tcp (default), tls, ws, wss, mws or mwss.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// What dialers tls, wss and mwss expect and show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Options of the dialer's type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "open_map")]
    pub metadata: Metadata,
}

/// How one of several nodes is chosen.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// round (default), random, fifo or hash.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub strategy: String,
    /// Failures in a row after which a node is left alone; 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_fails: Option<i32>,
    /// For how long, for example 30s; 10s by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_timeout: Option<String>,
}
