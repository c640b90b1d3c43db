//! The configuration as a user writes it: GOST's names and nesting.
//!
//! One set of types for files and for `WsTunnel.spec`; the CRD's schema is generated from them.
//! They hold what this version understands: a field that is not here is refused by name.

mod auth;
mod chain;
mod expose;
mod gates;
mod references;
mod service_ref;
mod tls;
mod top;

pub use auth::{Auth, Auther, FileRef, SecretRef};
pub use chain::{Chain, Connector, Dialer, Hop, Node, Selector};
pub use expose::Expose;
pub use gates::{Admission, Bypass, Hosts, Limiter, Mapping, Nameserver, Resolver};
pub use service_ref::{PortRef, ServiceRef};
pub use tls::{SecretKeyRef, Tls, TlsOptions};
pub use top::{Log, Metrics};

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
    /// Who may come, by address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admissions: Vec<Admission>,
    /// Targets that are refused, or that a hop or node is not used for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bypasses: Vec<Bypass>,
    /// Addresses by name, asked before any name server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Hosts>,
    /// Name servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resolvers: Vec<Resolver>,
    /// Bytes per second.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limiters: Vec<Limiter>,
    /// Open connections.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub climiters: Vec<Limiter>,
    /// Requests per second.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rlimiters: Vec<Limiter>,
    /// The certificate of listeners that name none (files only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
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
    /// The admission to ask, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub admission: String,
    /// The admissions to ask, by name: every one has to admit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admissions: Vec<String>,
    /// The bypass whose targets are refused, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bypass: String,
    /// The bypasses whose targets are refused, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bypasses: Vec<String>,
    /// The resolver for names that are dialled, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resolver: String,
    /// The hosts for names that are dialled, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hosts: String,
    /// The limiter (bytes per second), by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub limiter: String,
    /// The climiter (open connections), by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub climiter: String,
    /// The rlimiter (requests per second), by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rlimiter: String,
    /// Host headers to serve (ws, wss, mws, mwss): names, or "*.name" for one more label. Empty serves any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// A Service that leads here (WsTunnel only). The listener gets a port of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose: Option<Expose>,
    /// What to do with what the listener accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<Handler>,
    /// How connections arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<Listener>,
    /// Where handlers forward, tcp, udp, rtcp and relay send what they get.
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
    /// auto (default), http, socks4, socks5, relay, forward, tcp, udp or rtcp.
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
    /// tcp (default), tls, ws, wss, mws, mwss, udp or rtcp.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The chain whose last node listens for listener rtcp, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub chain: String,
    /// What listeners tls, wss and mwss show and ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Options of the listener's type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "open_map")]
    pub metadata: Metadata,
}

/// Where handlers forward, tcp, udp, rtcp and relay send what they get.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Forwarder {
    /// How one of the targets is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// An entry of the top-level `hops` whose nodes are the targets, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hop: String,
    /// The targets.
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
    /// A Service of the same namespace instead of addr; its ready endpoints are the targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_ref: Option<ServiceRef>,
    /// Targets for which the node is no candidate: a bypass, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bypass: String,
    /// Targets for which the node is no candidate: bypasses, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bypasses: Vec<String>,
    /// Options of the node.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "open_map")]
    pub metadata: Metadata,
}

impl Config {
    /// Adds another configuration's lists behind these, as GOST does with several sources; its `tls`
    /// replaces this one's.
    pub fn extend(&mut self, other: Self) {
        self.services.extend(other.services);
        self.chains.extend(other.chains);
        self.hops.extend(other.hops);
        self.authers.extend(other.authers);
        self.admissions.extend(other.admissions);
        self.bypasses.extend(other.bypasses);
        self.hosts.extend(other.hosts);
        self.resolvers.extend(other.resolvers);
        self.limiters.extend(other.limiters);
        self.climiters.extend(other.climiters);
        self.rlimiters.extend(other.rlimiters);
        self.tls = other.tls.or(self.tls.take());
    }
}
