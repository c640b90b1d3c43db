//! A `WsTunnel` as the API server stores it, decoded as far as it can be.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::Value;

use super::status::Status;
use crate::base::Origin;
use crate::config::files::wants_default_certificate;
use crate::config::raw::TunnelSpec;

/// A `WsTunnel`.
///
/// Objects are read as dynamic ones and decoded here, so that one that does not fit the types
/// stays a value of its own, with its status, and never stops the watch.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// Namespace and name.
    pub(crate) key: Key,
    /// Distinguishes an object from one of the same name before it.
    pub(crate) uid: Arc<str>,
    /// Grows with every change of the spec.
    pub(crate) generation: i64,
    /// Changes with every write.
    pub(crate) resource_version: String,
    /// When it was made.
    pub(crate) created: Option<Timestamp>,
    /// It is being deleted and only waits for somebody's finalizer.
    pub(crate) deleting: bool,
    /// `spec.className`.
    pub(crate) class: Option<String>,
    /// The decoded spec, or why it does not decode.
    pub(crate) spec: Result<Arc<TunnelSpec>, String>,
    /// What its status says.
    pub(crate) status: Status,
}

/// Namespace and name, in the order of lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The namespace.
    pub(crate) namespace: Arc<str>,
    /// The name.
    pub(crate) name: Arc<str>,
}

impl Key {
    /// Of any object; the namespace of those that are in none is empty.
    pub(crate) fn of(object: &impl kube::Resource) -> Self {
        let meta = object.meta();
        Self {
            namespace: meta.namespace.as_deref().unwrap_or_default().into(),
            name: meta.name.as_deref().unwrap_or_default().into(),
        }
    }

    /// The origin of the object's services.
    pub(crate) fn origin(&self) -> Origin {
        Origin::Tunnel { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Object {
    /// Takes an object apart. Nothing fails: what does not decode is said in `spec`.
    pub(crate) fn read(object: &DynamicObject) -> Self {
        let spec = object.data.get("spec").unwrap_or(&Value::Null);
        // Read apart from the rest: an object of another class is not ours to find fault with.
        let class = spec.get("className").and_then(Value::as_str).filter(|name| !name.is_empty());
        Self {
            key: Key::of(object),
            uid: object.uid().unwrap_or_default().into(),
            generation: object.metadata.generation.unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
            created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
            deleting: object.metadata.deletion_timestamp.is_some(),
            class: class.map(Into::into),
            spec: TunnelSpec::deserialize(spec).map(Arc::new).map_err(|error| error.to_string()),
            status: object.data.get("status").map(Status::read).unwrap_or_default(),
        }
    }
}

impl Object {
    /// The Secrets that its spec names, unless it is going.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = Key> {
        let names = self.stays().into_iter().flat_map(|spec| spec.config.secrets());
        names.map(|name| self.beside(name))
    }

    /// The Services that its spec names, likewise.
    pub(crate) fn services(&self) -> impl Iterator<Item = Key> {
        let names = self.stays().into_iter().flat_map(|spec| spec.config.service_refs());
        names.map(|name| self.beside(name))
    }

    /// Whether a listener of its spec has nothing else to show than its class's certificate,
    /// likewise.
    pub(crate) fn shows_default(&self) -> bool {
        self.stays().is_some_and(|spec| wants_default_certificate(&spec.config))
    }

    fn beside(&self, name: &str) -> Key {
        Key { namespace: self.key.namespace.clone(), name: name.into() }
    }

    fn stays(&self) -> Option<&TunnelSpec> {
        self.spec.as_ref().ok().map(|spec| &**spec).filter(|_| !self.deleting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(spec: Value) -> Object {
        let object = json!({
            "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": spec,
        });
        Object::read(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn an_object_is_taken_apart() {
        let object = read(json!({"suspend": true, "drain": {"timeout": "5s"}, "className": "adit",
            "services": [{"name": "s", "addr": ":80"}]}));
        assert_eq!(object.key.to_string(), "n/a");
        assert_eq!((object.generation, object.class.as_deref()), (3, Some("adit")));
        let spec = object.spec.unwrap();
        assert!(spec.suspend);
        assert_eq!(spec.drain.as_ref().unwrap().timeout.as_deref(), Some("5s"));
        assert_eq!(spec.config.services.len(), 1);
    }

    #[test]
    fn what_does_not_decode_is_still_an_object() {
        let object = read(json!({"className": "adit", "services": "none"}));
        assert_eq!(object.class.as_deref(), Some("adit"));
        assert!(object.spec.unwrap_err().contains("expected a sequence"));
    }
}
