//! Secrets that a configuration refers to, held in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::Secret;

/// What a Secret holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretData {
    /// Its `type`: what its keys mean. Empty in a file that does not say it: Opaque.
    pub kind: String,
    /// Its keys and their bytes.
    pub values: BTreeMap<String, Secret<Vec<u8>>>,
    /// Its owner lets it be sent to other hosts (label `adit.dev/share`).
    pub shared: bool,
}

/// What is known of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretState {
    /// What it holds.
    Known(Arc<SecretData>),
    /// There is none of the name.
    Missing,
    /// Whether there is one must not be asked: why, and whom to ask.
    Withheld(String),
    /// It is there and cannot be used: why, and what to do.
    Refused(String),
    /// Nobody could read it yet: why.
    Unread(String),
}

/// Secrets by namespace and name; what is not in it is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(pub BTreeMap<(String, String), SecretState>);

impl Secrets {
    /// What is known of the Secret of that name.
    pub fn find(&self, namespace: &str, name: &str) -> &SecretState {
        self.0.get(&(namespace.to_string(), name.to_string())).unwrap_or(&SecretState::Missing)
    }
}

/// Who has what TLS needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A Secret of the object's namespace, by its name.
    Secret(String),
    /// A class, by its name. Where it has it from is not the object's business.
    Class(String),
}

/// The default certificate of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassCertificate<'a> {
    /// The name of the class.
    pub class: &'a str,
    /// What is known of the Secret that the class names.
    pub state: &'a SecretState,
}

/// What an object's Secrets and its class held when they were last used.
pub type Kept = BTreeMap<Holder, Arc<SecretData>>;
