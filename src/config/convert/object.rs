//! Objects as documents.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::base::Secret;
use crate::config::raw;
use crate::config::read::TUNNEL_API;

/// The objects that a configuration becomes, as documents to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    /// What it refers to: to be made first.
    pub secrets: Vec<SecretObject>,
    /// The rest.
    pub tunnel: TunnelObject,
}

/// A `WsTunnel`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TunnelObject {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    /// What it says.
    pub spec: raw::TunnelSpec,
}

/// A `Secret`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretObject {
    api_version: &'static str,
    kind: &'static str,
    pub(super) metadata: Metadata,
    #[serde(rename = "type")]
    kind_of_secret: &'static str,
    #[serde(serialize_with = "exposed")]
    string_data: BTreeMap<String, Secret<String>>,
}

/// Name, namespace and labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metadata {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'static str, &'static str>,
}

impl TunnelObject {
    /// The object of that name; without a namespace it is the one that kubectl is in.
    pub(super) fn new(name: &str, namespace: Option<&str>, spec: raw::TunnelSpec) -> Self {
        let metadata = Metadata {
            name: name.into(),
            namespace: namespace.map(Into::into),
            labels: BTreeMap::new(),
        };
        Self { api_version: TUNNEL_API, kind: "WsTunnel", metadata, spec }
    }
}

/// What a Secret is for: its type, and labels that let a controller use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// A user name and password that clients show.
    Accepted,
    /// A user name and password that is sent to a node.
    Sent,
    /// Passwords by user name.
    Users,
}

impl Use {
    fn kind_of_secret(self) -> &'static str {
        match self {
            Self::Accepted | Self::Sent => "kubernetes.io/basic-auth",
            Self::Users => "Opaque",
        }
    }

    /// What is not of a type of its own needs to say what it is for, and what leaves the cluster that
    /// it may.
    pub(super) fn label(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Accepted => None,
            Self::Sent => Some(("adit.dev/share", "true")),
            Self::Users => Some(("adit.dev/usage", "auther")),
        }
    }
}

impl SecretObject {
    pub(super) fn new(
        name: String,
        namespace: Option<&str>,
        purpose: Use,
        string_data: BTreeMap<String, Secret<String>>,
    ) -> Self {
        let labels = purpose.label().into_iter().collect();
        let metadata = Metadata { name, namespace: namespace.map(Into::into), labels };
        Self {
            api_version: "v1",
            kind: "Secret",
            metadata,
            kind_of_secret: purpose.kind_of_secret(),
            string_data,
        }
    }

    /// Whether another one would hold the same for the same use.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.kind_of_secret == other.kind_of_secret
            && self.string_data == other.string_data
            && self.metadata.labels == other.metadata.labels
    }
}

/// The document is the one place where these passwords are printed: it is what was asked for.
fn exposed<S: Serializer>(
    data: &BTreeMap<String, Secret<String>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(data.len()))?;
    for (key, value) in data {
        map.serialize_entry(key, value.expose())?;
    }
    map.end()
}
