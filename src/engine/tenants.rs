//! The tunnels that have terms, and what their connections add up to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::desired::Desired;
use crate::base::{Origin, ServiceKey};
use crate::config::model::Terms;
use crate::gate::{Namespace, Tenant};

/// By origin. One that is gone stays as long as a connection of it does.
#[derive(Default)]
pub(super) struct Tenants {
    tenants: HashMap<Origin, Arc<Tenant>>,
    namespaces: HashMap<String, Arc<Namespace>>,
}

impl Tenants {
    /// Takes over the terms of what shall run.
    pub(super) fn govern(&mut self, desired: &BTreeMap<ServiceKey, Desired>) {
        let mut wanted: HashMap<&Origin, &Arc<Terms>> = HashMap::new();
        for (key, service) in desired {
            wanted.extend(service.terms.as_ref().map(|terms| (&key.origin, terms)));
        }
        self.tenants
            .retain(|origin, tenant| wanted.contains_key(origin) || Arc::strong_count(tenant) > 1);
        for (origin, terms) in wanted {
            if let Some(tenant) = self.tenants.get(origin) {
                tenant.set_terms(terms.clone());
                continue;
            }
            let namespace = self.namespaces.entry(origin.namespace().into()).or_default().clone();
            let tenant = Arc::new(Tenant::new(terms.clone(), namespace));
            self.tenants.insert(origin.clone(), tenant);
        }
        self.namespaces.retain(|_, namespace| Arc::strong_count(namespace) > 1);
    }

    /// The tenant that an origin is; files are none.
    pub(super) fn get(&self, origin: &Origin) -> Option<Arc<Tenant>> {
        self.tenants.get(origin).cloned()
    }

    /// The terms of each, also of those that only drain.
    pub(super) fn terms(&self) -> HashMap<Origin, Arc<Terms>> {
        self.tenants.iter().map(|(origin, tenant)| (origin.clone(), tenant.terms())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::ServiceConfig;
    use crate::engine::tests::forward;

    fn desired(name: &str, most: u32) -> (ServiceKey, Desired) {
        let (_, config): (_, Arc<ServiceConfig>) = forward();
        let terms =
            Terms { connections_of_tunnel: most, connections_of_namespace: 10, ..Terms::default() };
        let desired = Desired {
            config,
            claim: Default::default(),
            drain: Default::default(),
            closed: false,
            terms: Some(Arc::new(terms)),
        };
        (ServiceKey::new(Origin::tunnel("a", name), "in"), desired)
    }

    #[test]
    fn two_classes_count_on_one_namespace() {
        let mut tenants = Tenants::default();
        let of = |name: &str, most: u32| {
            let (key, mut desired) = desired(name, 10);
            desired.terms = Some(Arc::new(Terms {
                connections_of_tunnel: 10,
                connections_of_namespace: most,
                ..Terms::default()
            }));
            (key, desired)
        };
        tenants.govern(&[of("small", 1), of("large", 2)].into());
        let enter = |name: &str| tenants.get(&Origin::tunnel("a", name)).unwrap().enter();
        let first = enter("large").unwrap();
        assert!(enter("small").is_err(), "its class allows one, and the namespace has one");
        let second = enter("large").unwrap();
        assert!(enter("large").is_err());
        drop((first, second));
        assert!(enter("small").is_ok());
    }

    #[test]
    fn a_tunnel_that_comes_back_still_counts_what_is_open() {
        let mut tenants = Tenants::default();
        let origin = Origin::tunnel("a", "t");
        tenants.govern(&[desired("t", 1)].into());
        let seat = tenants.get(&origin).unwrap().enter().unwrap();
        tenants.govern(&BTreeMap::new());
        assert!(tenants.terms().contains_key(&origin), "its rules hold while it drains");
        tenants.govern(&[desired("t", 1)].into());
        assert!(tenants.get(&origin).unwrap().enter().is_err());
        drop(seat);
        assert!(tenants.get(&origin).unwrap().enter().is_ok());
        tenants.govern(&BTreeMap::new());
        assert!(tenants.tenants.is_empty());
        tenants.govern(&BTreeMap::new());
        assert!(tenants.namespaces.is_empty());
    }
}
