//! TLS.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretRef;

/// TLS of a listener or a dialer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Tls {
    /// The file of the certificate and those above it, PEM (files only).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_file: String,
    /// The file of the key, PEM (files only).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key_file: String,
    /// The file of the CAs, PEM (files only): of clients on a listener, of the server on a dialer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca_file: String,
    /// A Secret of type kubernetes.io/tls instead of certFile and keyFile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Listeners: the CAs of clients in a Secret, instead of caFile. Clients then need a certificate.
    #[serde(rename = "clientCARef", skip_serializing_if = "Option::is_none")]
    pub client_ca_ref: Option<SecretKeyRef>,
    /// Dialers: the CAs of the server in a Secret, instead of caFile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<SecretKeyRef>,
    /// Dialers: verify the server's certificate and name. As in GOST, the default is no.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secure: bool,
    /// Dialers: the server's name, in the handshake and to verify; the host of the address by default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    /// Versions, cipher suites, protocols.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<TlsOptions>,
    /// Listeners: no handshake without a server name, or with one that is not in serverNames.
    #[serde(rename = "rejectUnknownSNI", skip_serializing_if = "std::ops::Not::not")]
    pub reject_unknown_sni: bool,
    /// Listeners: the names for rejectUnknownSNI; empty is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub server_names: Vec<String>,
}

/// Versions, cipher suites, protocols.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsOptions {
    /// VersionTLS12 (default) or VersionTLS13.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub min_version: String,
    /// VersionTLS12 or VersionTLS13 (default).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub max_version: String,
    /// Cipher suites of TLS 1.2 by Go's names; empty is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cipher_suites: Vec<String>,
    /// Application protocols in order of preference; none by default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
}

/// A key of a Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The key; ca.crt by default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
}
