//! The name of a service within the process.

use std::fmt;
use std::sync::Arc;

/// Where a service was declared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Files and the command line: one shared origin.
    Files,
    /// A `WsTunnel` object of the API server or of a file.
    Tunnel {
        /// The object's namespace.
        namespace: Arc<str>,
        /// The object's name.
        name: Arc<str>,
    },
}

impl Origin {
    /// The origin of a `WsTunnel`.
    pub fn tunnel(namespace: &str, name: &str) -> Self {
        Self::Tunnel { namespace: namespace.into(), name: name.into() }
    }

    /// The namespace, empty for files: the value of the `namespace` metric label.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Files => "",
            Self::Tunnel { namespace, .. } => namespace,
        }
    }

    /// The object's name, empty for files: the value of the `tunnel` metric label.
    pub fn tunnel_name(&self) -> &str {
        match self {
            Self::Files => "",
            Self::Tunnel { name, .. } => name,
        }
    }
}

/// A service: its origin, and its name there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// Where it was declared.
    pub origin: Origin,
    /// `services[].name`.
    pub name: Arc<str>,
}

impl ServiceKey {
    /// A service of an origin.
    pub fn new(origin: Origin, name: &str) -> Self {
        Self { origin, name: name.into() }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Files => f.write_str(&self.name),
            Origin::Tunnel { namespace, name } => write!(f, "{namespace}/{name}/{}", self.name),
        }
    }
}
