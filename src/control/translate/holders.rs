//! Which installation holds an object: the one that `status.controller` names.
//!
//! Two installations of a cluster may have classes of one name, or a default each. Who wrote an
//! object's status first serves it, and no other one does until the holder gives it up, or is gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::control::object::Object;
use crate::control::policy::{Class, Policy};

/// An installation as the objects of one namespace name it: it may follow some namespaces only.
pub(crate) type Place = (String, Arc<str>);

/// What is known of holders.
#[derive(Clone, Debug)]
pub(crate) struct Holders {
    /// This installation, `NAMESPACE/INSTANCE`.
    pub(crate) own: Arc<str>,
    /// Those that do not answer.
    pub(crate) gone: BTreeSet<Place>,
}

impl Holders {
    /// Nothing is known of others.
    pub(super) fn new(release: &str, instance: &str) -> Self {
        Self { own: format!("{release}/{instance}").into(), gone: BTreeSet::new() }
    }

    /// The other installation that an object names as its holder.
    pub(crate) fn other<'a>(&self, object: &'a Object) -> Option<&'a str> {
        let named = object.status.controller.as_deref();
        named.filter(|named| !named.is_empty() && **named != *self.own)
    }

    /// Whether another installation holds an object.
    pub(crate) fn have(&self, object: &Object) -> bool {
        let place = |other: &str| (other.to_string(), object.key.namespace.clone());
        self.other(object).is_some_and(|other| !self.gone.contains(&place(other)))
    }

    /// Whether this installation does.
    pub(crate) fn is_own(&self, object: &Object) -> bool {
        object.status.controller.as_deref() == Some(&*self.own)
    }

    /// The class of an object, unless another installation holds it.
    pub(super) fn class<'a>(&self, policy: &'a Policy, object: &Object) -> Option<&'a Arc<Class>> {
        policy.class(object.class.as_deref()).filter(|_| !self.have(object))
    }
}
