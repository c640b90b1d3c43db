//! What a file says of the process. It is no part of a `WsTunnel`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Auth;

/// `log`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Log {
    /// Where lines go: stderr (default), or none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// trace, debug, info (default), warn, error or fatal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub level: String,
    /// text or json.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub format: String,
}

/// `metrics`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    /// Where to listen; none by default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
    /// /metrics; no other is had.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Refused: there is no password for metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Refused too.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auther: String,
}
