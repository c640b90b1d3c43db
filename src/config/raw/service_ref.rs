//! Services instead of addresses.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A port of a Service of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceRef {
    /// The Service's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// One of its ports, by number or name.
    #[schemars(schema_with = "int_or_string")]
    pub port: PortRef,
}

/// A port by number or name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum PortRef {
    /// Its number.
    Number(i64),
    /// Its name.
    Name(String),
}

impl Default for PortRef {
    fn default() -> Self {
        Self::Name(String::new())
    }
}

impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// As the ports of Kubernetes' own types.
fn int_or_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true})
}
