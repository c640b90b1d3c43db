//! Users, credentials, and where they are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// A file with more users, "name password" a line (files only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileRef>,
    /// Accepted as in GOST; the file is read again whenever it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
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
    /// A file instead of username and password, whose first line is "name password" (files only).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FileRef {
    /// Its path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// A Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretRef {
    /// The Secret's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("username", &self.username)
            .field("secret_ref", &self.secret_ref)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}
