//! The Services that objects refer to, and who is ready behind them.
//!
//! Nothing is watched before some object has a `serviceRef`: Services and EndpointSlices change
//! more often than anything else in a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client};

use super::object::Key;
use super::watch::{Change, Kind, Whole};
use crate::config::services::{ServicePort, ServiceState, Services};

/// The label of a slice that says whose it is.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What is kept of a Service.
#[derive(Clone, Debug)]
pub(super) struct Front {
    key: Key,
    /// Names, numbers, and whether they are for datagrams.
    ports: Vec<(String, u16, bool)>,
    /// The name that it stands for, of type ExternalName.
    external: Option<String>,
}

/// What is kept of an EndpointSlice.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    key: Key,
    service: Arc<str>,
    ports: Vec<(String, u16)>,
    ready: Vec<IpAddr>,
}

/// The Services of a namespace, or of all.
pub(super) fn services(client: Client, namespace: Option<&str>) -> Kind<Whole<Service>, Front> {
    let api = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    Kind::new("services", Whole(api), Front::read)
}

/// The EndpointSlices of a namespace, or of all.
pub(super) fn slices(client: Client, namespace: Option<&str>) -> Kind<Whole<EndpointSlice>, Slice> {
    let api = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    Kind::new("endpointslices", Whole(api), Slice::read)
}

impl Front {
    fn read(service: &Service) -> Self {
        let spec = service.spec.as_ref();
        // A name outside of the cluster has no endpoints that anybody knows.
        let outside = spec.filter(|spec| spec.type_.as_deref() == Some("ExternalName"));
        let external = outside.map(|spec| spec.external_name.clone().unwrap_or_default());
        let spec = spec.filter(|_| external.is_none());
        let ports = spec.and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
        let ports = ports.filter_map(|port| {
            let udp = port.protocol.as_deref() == Some("UDP");
            Some((port.name.clone().unwrap_or_default(), u16::try_from(port.port).ok()?, udp))
        });
        Self { key: Key::of(service), ports: ports.collect(), external }
    }
}

impl Slice {
    fn read(slice: &EndpointSlice) -> Self {
        let labels = slice.metadata.labels.as_ref();
        let service = labels.and_then(|labels| labels.get(SERVICE_NAME));
        let ports = slice.ports.iter().flatten().filter_map(|port| {
            Some((port.name.clone().unwrap_or_default(), u16::try_from(port.port?).ok()?))
        });
        // Nobody said that it is not ready: API conventions of EndpointSlice.
        let ready = slice.endpoints.iter().filter(|endpoint| {
            endpoint.conditions.as_ref().is_none_or(|c| c.ready.unwrap_or(true))
        });
        let addresses = ready.flat_map(|endpoint| &endpoint.addresses);
        Self {
            key: Key::of(slice),
            service: service.map(String::as_str).unwrap_or_default().into(),
            ports: ports.collect(),
            // Those of type FQDN are no addresses.
            ready: addresses.filter_map(|address| address.parse().ok()).collect(),
        }
    }
}

/// Services and slices as the watches tell.
#[derive(Debug)]
pub(super) struct Directory {
    scopes: Vec<Option<String>>,
    fronts: BTreeMap<Key, Front>,
    slices: BTreeMap<Key, Slice>,
    /// Which scopes were listed, of each.
    listed: [BTreeSet<usize>; 2],
}

impl Directory {
    /// Nothing yet. `scopes` are those of the watches: a namespace each, or `None` for all.
    pub(super) fn new(scopes: Vec<Option<String>>) -> Self {
        let (fronts, slices, listed) = Default::default();
        Self { scopes, fronts, slices, listed }
    }

    /// Whether everything was listed.
    pub(super) fn settled(&self) -> bool {
        self.listed.iter().all(|listed| listed.len() == self.scopes.len())
    }

    /// Takes in what is told of Services.
    pub(super) fn services(&mut self, change: Change<Front>) {
        let scopes = &self.scopes;
        take(&mut self.fronts, &mut self.listed[0], scopes, change, |front| front.key.clone());
    }

    /// Takes in what is told of EndpointSlices.
    pub(super) fn slices(&mut self, change: Change<Slice>) {
        let scopes = &self.scopes;
        take(&mut self.slices, &mut self.listed[1], scopes, change, |slice| slice.key.clone());
    }

    /// What is known of these Services.
    pub(super) fn known(&self, wanted: &BTreeSet<Key>) -> Services {
        let mut behind: BTreeMap<Key, Vec<&Slice>> = BTreeMap::new();
        for slice in self.slices.values() {
            let key = Key { namespace: slice.key.namespace.clone(), name: slice.service.clone() };
            if wanted.contains(&key) {
                behind.entry(key).or_default().push(slice);
            }
        }
        let state = |key: &Key| match self.fronts.get(key) {
            _ if !self.settled() => ServiceState::Unread(
                "the cluster's Services were not listed yet; the controller needs list and watch \
                 on services and endpointslices: see deploy/rbac.yaml"
                    .into(),
            ),
            Some(front) if !front.ports.is_empty() => {
                let slices = behind.get(key).map(Vec::as_slice).unwrap_or_default();
                let ports = front.ports.iter().map(|(name, number, udp)| ServicePort {
                    name: name.clone(),
                    number: *number,
                    udp: *udp,
                    ready: ready(slices, name),
                });
                ServiceState::Known(ports.collect())
            }
            Some(Front { external: Some(name), .. }) => ServiceState::External(name.clone()),
            _ => ServiceState::Missing,
        };
        let named = wanted
            .iter()
            .map(|key| ((key.namespace.to_string(), key.name.to_string()), state(key)));
        Services(named.collect())
    }
}

/// The ready endpoints of a port: slices have the Service's names, and ports of their own.
fn ready(slices: &[&Slice], name: &str) -> BTreeSet<SocketAddr> {
    let each = slices.iter().flat_map(|slice| {
        let ports = slice.ports.iter().filter(|(of, _)| of == name);
        ports.flat_map(|(_, port)| slice.ready.iter().map(|ip| SocketAddr::new(*ip, *port)))
    });
    each.collect()
}

/// Takes a change into what is known of the objects of all scopes.
pub(super) fn take<O>(
    all: &mut BTreeMap<Key, O>,
    listed: &mut BTreeSet<usize>,
    scopes: &[Option<String>],
    change: Change<O>,
    key: impl Fn(&O) -> Key,
) {
    match change {
        Change::Listed { scope, objects } => {
            match scopes.get(scope) {
                Some(Some(namespace)) => all.retain(|key, _| *key.namespace != **namespace),
                _ => all.clear(),
            }
            all.extend(objects.into_iter().map(|object| (key(&object), object)));
            listed.insert(scope);
        }
        Change::Applied(object) => {
            all.insert(key(&object), *object);
        }
        Change::Deleted(key) => {
            all.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn front(ports: Value) -> Front {
        let service =
            json!({"metadata": {"name": "db", "namespace": "a"}, "spec": {"ports": ports}});
        Front::read(&serde_json::from_value(service).unwrap())
    }

    fn slice(name: &str, port: u16, endpoints: Value) -> Slice {
        let slice = json!({
            "metadata": {"name": name, "namespace": "a", "labels": {SERVICE_NAME: "db"}},
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "sql", "port": port}],
        });
        Slice::read(&serde_json::from_value(slice).unwrap())
    }

    fn key() -> Key {
        Key { namespace: "a".into(), name: "db".into() }
    }

    fn state(directory: &Directory) -> ServiceState {
        directory.known(&[key()].into()).find("a", "db").clone()
    }

    #[test]
    fn the_ready_endpoints_of_a_port_are_those_of_all_slices() {
        let mut directory = Directory::new(vec![None]);
        assert!(matches!(state(&directory), ServiceState::Unread(_)));
        let ports = json!([{"name": "sql", "port": 5432}, {"name": "web", "port": 80}]);
        let endpoints = json!([
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": true}},
            {"addresses": ["10.0.0.3"], "conditions": {}},
        ]);
        directory.services(Change::Listed { scope: 0, objects: vec![front(ports)] });
        directory.slices(Change::Listed { scope: 0, objects: vec![slice("one", 6000, endpoints)] });
        let more = slice("two", 7000, json!([{"addresses": ["10.0.0.4"]}]));
        directory.slices(Change::Applied(Box::new(more)));
        let ServiceState::Known(ports) = state(&directory) else { panic!() };
        let ready: Vec<_> = ports[0].ready.iter().map(ToString::to_string).collect();
        assert_eq!(ready, ["10.0.0.1:6000", "10.0.0.3:6000", "10.0.0.4:7000"]);
        assert_eq!((ports[0].number, ports[1].number), (5432, 80));
        assert!(ports[1].ready.is_empty(), "no slice has it");
        directory.services(Change::Deleted(key()));
        assert_eq!(state(&directory), ServiceState::Missing);
    }

    #[test]
    fn a_name_outside_of_the_cluster_is_known_as_one() {
        let service = json!({"metadata": {"name": "db", "namespace": "a"},
            "spec": {"type": "ExternalName", "externalName": "x.example", "ports": [{"port": 1}]}});
        let front = Front::read(&serde_json::from_value(service).unwrap());
        let mut directory = Directory::new(vec![None]);
        directory.services(Change::Listed { scope: 0, objects: vec![front] });
        directory.slices(Change::Listed { scope: 0, objects: Vec::new() });
        assert_eq!(state(&directory), ServiceState::External("x.example".into()));
    }
}
