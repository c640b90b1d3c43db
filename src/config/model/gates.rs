//! Who may come, where to, how fast.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::Patterns;
use crate::base::{Network, Secret};

/// What stands before a service's handler. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gates {
    /// `admission(s)`: every one must admit the client.
    pub admissions: Vec<Arc<Admission>>,
    /// `bypass(es)`: a target that they match is refused.
    pub bypasses: Vec<Arc<Bypass>>,
    /// `limiter`: bytes per second. `$` of the service, `$$` of each connection.
    pub traffic: Option<Arc<Limits<Rate>>>,
    /// `climiter`: open connections. `$` of the service, `$$` of each client address.
    pub connections: Option<Arc<Limits<u32>>>,
    /// `rlimiter`: requests per second. `$` of the service, `$$` of each client address.
    pub requests: Option<Arc<Limits<f64>>>,
}

/// User names and passwords that are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(pub BTreeMap<String, Secret<String>>);

/// `admissions[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// `name`, for logs.
    pub name: String,
    /// `whitelist`: only who matches is admitted, instead of who does not.
    pub whitelist: bool,
    /// `matchers`.
    pub nets: Vec<IpNet>,
}

/// `bypasses[]`: a target that it matches is passed by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bypass {
    /// `name`, for logs.
    pub name: String,
    /// `whitelist`: who does not match is passed by.
    pub whitelist: bool,
    /// `network`: only of this network.
    pub network: Option<Network>,
    /// `matchers`; none never passes by.
    pub patterns: Patterns,
}

/// Limits by GOST's keys. A client that an address or CIDR names has that limit (the longest prefix
/// wins) instead of `$$`; `$` counts besides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits<V> {
    /// `$`.
    pub service: Option<V>,
    /// `$$`.
    pub each: Option<V>,
    /// Addresses and CIDRs.
    pub nets: Vec<(IpNet, V)>,
}

/// Bytes per second; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// From the client.
    pub up: Option<u64>,
    /// To the client.
    pub down: Option<u64>,
    /// What may pass at once, the rate's own second by default.
    pub burst: Option<u64>,
}
