//! The configuration as a user writes it: GOST's names and nesting.
//!
//! One set of types for files and for `WsTunnel.spec`; the CRD's schema is generated from them.
//! They hold what this version understands: a field that is not here is refused by name.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A free-form `metadata` map. Which keys count depends on the type beside it.
pub type Metadata = BTreeMap<String, serde_json::Value>;

/// Any map: the API server would otherwise prune what the schema does not name.
fn open_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// The spec of a `WsTunnel`: GOST's lists, and what only a cluster needs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TunnelSpec {
    /// The class that serves the tunnel. Set once, then immutable; unset is the default class.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub class_name: String,
    /// Stop listening, keep the object.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// What happens to open tunnels when a service goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// The services and what they refer to.
    #[serde(flatten)]
    pub config: Config,
}

/// What happens to open tunnels when a service is deleted, suspended or removed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Drain {
    /// How long they may go on, for example 60s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// The root of a GOST file, and the tunnel part of `WsTunnel.spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// What listens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// Ways to targets through other proxies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<Chain>,
    /// Named hops, referred to by a chain's hop of that name without nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<Hop>,
    /// Named lists of users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authers: Vec<Auther>,
}

/// A service: a listener, and a handler for what it accepts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Unique among the services beside it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where to listen: ":8080" or "host:8080".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
    /// Host headers to serve (ws listeners only): names, or "*.name" for one more label. Empty serves any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// What to do with what the listener accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<Handler>,
    /// How connections arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<Listener>,
    /// Where handlers tcp and forward send what they get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarder: Option<Forwarder>,
    /// Options of the service.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "open_map")]
    pub metadata: Metadata,
}

/// What is done with a connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Handler {
    /// auto (default), http, tcp or forward.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The chain to dial through, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub chain: String,
    /// The auther to ask, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auther: String,
    /// The authers to ask, by name: any may accept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authers: Vec<String>,
    /// A single user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Dial attempts after the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<i32>,
    /// Options of the handler's type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "open_map")]
    pub metadata: Metadata,
}

/// How connections arrive.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Listener {
    /// tcp (default) or ws.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Options of the listener's type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "open_map")]
    pub metadata: Metadata,
}

/// Where handlers tcp and forward send what they get.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Forwarder {
    /// The target: exactly one in this version.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<ForwardNode>,
}

/// A target of a forwarder.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardNode {
    /// A label for logs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// "host:port".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
}

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
    /// The node: exactly one in this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<Node>>,
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
    /// What to say to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<Connector>,
    /// How bytes get there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialer: Option<Dialer>,
    /// Options of the node.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "open_map")]
    pub metadata: Metadata,
}

/// What is said to a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Connector {
    /// http (default).
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
    /// tcp (default) or ws.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Options of the dialer's type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "open_map")]
    pub metadata: Metadata,
}

/// A named list of users.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Auther {
    /// The name that handlers refer to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub auths: Vec<Auth>,
    /// A Secret of the same namespace with more users: its keys are the names, its values the passwords.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

/// A Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretRef {
    /// The Secret's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// A user name and password.
#[derive(Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Auth {
    /// The user name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// The password; an empty one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A Secret of type kubernetes.io/basic-auth instead of username and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("username", &self.username)
            .field("secret_ref", &self.secret_ref)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Adds another configuration's lists behind these, as GOST does with several sources.
    pub fn extend(&mut self, other: Self) {
        self.services.extend(other.services);
        self.chains.extend(other.chains);
        self.hops.extend(other.hops);
        self.authers.extend(other.authers);
    }
}
