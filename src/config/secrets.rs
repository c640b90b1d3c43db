//! Secrets that a configuration refers to, held in memory.

use std::collections::BTreeMap;

use crate::base::Secret;

/// The content of a `kind: Secret` document: its keys and their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretData(pub BTreeMap<String, Secret<Vec<u8>>>);

/// Secrets by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(pub BTreeMap<(String, String), SecretData>);

impl Secrets {
    /// The Secret of that name, if it is there.
    pub fn find(&self, namespace: &str, name: &str) -> Option<&SecretData> {
        self.0.get(&(namespace.to_string(), name.to_string()))
    }
}
