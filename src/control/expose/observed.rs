//! What there is of our Services and EndpointSlices.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client, Resource};

use super::children::LABEL;
use crate::control::object::Key;
use crate::control::watch::{Change, Kind, Whole};

/// What happened to a child.
#[derive(Debug)]
pub(in crate::control) enum ChildNews {
    /// A Service of ours.
    Service(Change<Box<Service>>),
    /// An EndpointSlice of ours.
    Slice(Change<SliceView>),
}

/// An EndpointSlice.
pub(in crate::control) type SliceView = Box<EndpointSlice>;

/// Our Services in a namespace, or in all.
pub(in crate::control) fn watched_services(
    client: Client,
    namespace: Option<&str>,
    instance: &str,
) -> Kind<Whole<Service>, Box<Service>> {
    let api = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    Kind::new("services", Whole(api), |service: &Service| {
        let mut service = Box::new(service.clone());
        service.metadata.managed_fields = None;
        service
    })
    .labelled(format!("{LABEL}={instance}"))
}

/// Our EndpointSlices in a namespace, or in all.
pub(in crate::control) fn watched_slices(
    client: Client,
    namespace: Option<&str>,
    instance: &str,
) -> Kind<Whole<EndpointSlice>, SliceView> {
    let api = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    Kind::new("endpointslices", Whole(api), |slice: &EndpointSlice| {
        let mut slice = Box::new(slice.clone());
        slice.metadata.managed_fields = None;
        slice
    })
    .labelled(format!("{LABEL}={instance}"))
}

/// Children of one kind, in all scopes.
#[derive(Debug)]
pub(super) struct Observed<K> {
    objects: BTreeMap<Key, K>,
    listed: Vec<bool>,
    scopes: Vec<Option<String>>,
    /// The uids of those that the watch said are gone, while answers to writes are on their way.
    gone: BTreeSet<String>,
}

impl<K: Resource> Observed<Box<K>> {
    /// Nothing was listed.
    pub(super) fn new(scopes: Vec<Option<String>>) -> Self {
        let listed = vec![false; scopes.len()];
        Self { objects: BTreeMap::new(), listed, scopes, gone: BTreeSet::new() }
    }

    /// Takes a change in.
    pub(super) fn change(&mut self, change: Change<Box<K>>) {
        match change {
            Change::Listed { scope, objects } => {
                match self.scopes.get(scope) {
                    Some(Some(namespace)) => {
                        self.objects.retain(|key, _| *key.namespace != **namespace);
                    }
                    _ => self.objects.clear(),
                }
                self.objects.extend(objects.into_iter().map(|object| (Key::of(&*object), object)));
                if let Some(listed) = self.listed.get_mut(scope) {
                    *listed = true;
                }
            }
            Change::Applied(object) => self.put(*object),
            Change::Deleted(key) => {
                let gone = self.objects.remove(&key);
                self.gone.extend(gone.and_then(|object| object.meta().uid.clone()));
            }
        }
    }

    /// An answer to a write: the object was this. The watch may have said since that it is gone.
    pub(super) fn answered(&mut self, object: Box<K>) {
        let gone = object.meta().uid.as_ref().is_some_and(|uid| self.gone.contains(uid));
        if !gone {
            self.put(object);
        }
    }

    /// No write is under way, so no answer can be older than what the watch says.
    pub(super) fn no_answer_is_due(&mut self) {
        self.gone.clear();
    }

    /// The object is now this, unless a newer one is known: an answer may overtake the watch.
    fn put(&mut self, object: Box<K>) {
        let key = Key::of(&*object);
        let older = self.objects.get(&key).is_some_and(|known| {
            known.meta().uid == object.meta().uid && version(&**known) > version(&*object)
        });
        if !older {
            self.objects.insert(key, object);
        }
    }

    /// It is gone.
    pub(super) fn remove(&mut self, key: &Key) {
        self.objects.remove(key);
    }

    /// One of them.
    pub(super) fn get(&self, key: &Key) -> Option<&K> {
        self.objects.get(key).map(|object| &**object)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &K)> {
        self.objects.iter().map(|(key, object)| (key, &**object))
    }

    /// Whether every scope was listed.
    pub(super) fn complete(&self) -> bool {
        self.listed.iter().all(|listed| *listed)
    }
}

fn version(object: &impl Resource) -> u128 {
    let version = object.meta().resource_version.as_deref();
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(uid: &str, version: &str) -> Box<Service> {
        let object = serde_json::json!({"metadata": {"namespace": "n", "name": "s", "uid": uid,
            "resourceVersion": version}});
        Box::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn an_answer_that_comes_after_the_end_of_an_object_brings_no_ghost_back() {
        let mut observed = Observed::new(vec![None]);
        let key = Key { namespace: "n".into(), name: "s".into() };
        observed.change(Change::Applied(Box::new(service("u", "2"))));
        observed.change(Change::Deleted(key.clone()));
        observed.answered(service("u", "2"));
        assert!(observed.get(&key).is_none());
        observed.answered(service("v", "4"));
        assert!(observed.get(&key).is_some(), "another one of the name is none");
        observed.no_answer_is_due();
        assert!(observed.gone.is_empty());
    }
}
