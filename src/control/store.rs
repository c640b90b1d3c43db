//! Every `WsTunnel` that the watches have shown: replaced as a whole by a list, then kept current.

use std::collections::BTreeMap;

use super::object::{Key, Object};
use super::watch::Change;

/// The objects of all scopes.
#[derive(Debug)]
pub(super) struct Store {
    objects: BTreeMap<Key, Object>,
    listed: Vec<bool>,
    scopes: Vec<Option<String>>,
}

impl Store {
    /// An empty store for these scopes: a namespace each, or `None` for all.
    pub(super) fn new(scopes: Vec<Option<String>>) -> Self {
        Self { objects: BTreeMap::new(), listed: vec![false; scopes.len()], scopes }
    }

    /// Whether a change may change what runs. A status does so by the ports that were allocated, and
    /// for who follows the `claims` that another replica writes there.
    pub(super) fn matters(&self, change: &Change<Object>, claims: bool) -> bool {
        let Change::Applied(new) = change else { return true };
        self.objects.get(&new.key).is_none_or(|old| {
            (&old.uid, old.generation, old.deleting) != (&new.uid, new.generation, new.deleting)
                || !old.status.same_ports(&new.status)
                || claims && !old.status.same_claims(&new.status)
        })
    }

    /// Takes a change in.
    pub(super) fn change(&mut self, change: Change<Object>) {
        match change {
            Change::Listed { scope, objects } => {
                if let Some(Some(namespace)) = self.scopes.get(scope) {
                    self.objects.retain(|key, _| *key.namespace != **namespace);
                } else {
                    self.objects.clear();
                }
                for object in objects {
                    self.objects.insert(object.key.clone(), object);
                }
                if let Some(listed) = self.listed.get_mut(scope) {
                    *listed = true;
                }
            }
            Change::Applied(object) => {
                self.objects.insert(object.key.clone(), *object);
            }
            Change::Deleted(key) => {
                self.objects.remove(&key);
            }
        }
    }

    /// Whether every scope was listed: until then what is here is a part, and must not be acted on.
    pub(super) fn complete(&self) -> bool {
        self.listed.iter().all(|listed| *listed)
    }

    /// The objects, by namespace and name.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Object> + Clone {
        self.objects.values()
    }

    /// One object.
    pub(super) fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }
}
