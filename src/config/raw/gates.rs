//! Who may come, where to, how fast; how names become addresses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FileRef;

/// Who may come: clients whose address matches are refused, or with `whitelist` the others.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Admission {
    /// The name that services refer to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Only who matches is admitted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whitelist: bool,
    /// GOST's older name of `whitelist`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reverse: bool,
    /// Addresses and CIDRs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<String>,
    /// A file with more matchers, one a line (files only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileRef>,
    /// Accepted as in GOST; the file is read again whenever it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
}

/// Targets that match are passed by, or with `whitelist` the others.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Bypass {
    /// The name that services, hops and nodes refer to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Who does not match is passed by.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whitelist: bool,
    /// GOST's older name of `whitelist`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reverse: bool,
    /// tcp or udp: only targets of that network.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// Addresses, CIDRs, ranges "a-b", names, ".name" for all below it too, names with * and ?; ":port" or ":from-to" behind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<String>,
    /// A file with more matchers, one a line (files only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileRef>,
    /// Accepted as in GOST; the file is read again whenever it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
}

/// Addresses by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Hosts {
    /// The name that services, hops and nodes refer to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The names and their addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mappings: Vec<Mapping>,
    /// A file with more, written as /etc/hosts (files only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileRef>,
    /// Accepted as in GOST; the file is read again whenever it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
}

/// An address and its names.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Mapping {
    /// The address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// The name; ".name" is it and all below it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// More names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// Name servers, asked in their order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Resolver {
    /// The name that services, hops and nodes refer to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The name servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<Nameserver>,
}

/// A name server.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Nameserver {
    /// "udp://IP:53" or "tcp://IP:53".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
    /// ipv4 (default) or ipv6: whose addresses come first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefer: String,
    /// ipv4 or ipv6: no others.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub only: String,
    /// How long an answer is kept instead of what it says; negative is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// How long to wait for an answer; 5s by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// Limits by key: "$" of the service, "$$" of each connection or client, an address or a CIDR.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limiter {
    /// The name that services refer to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The limits: "$ 100MB 10MB" (limiters), "$$ 50" (climiters), "10.0.0.0/8 2.5" (rlimiters).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// A file with more limits, one a line (files only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileRef>,
    /// Accepted as in GOST; the file is read again whenever it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
}
