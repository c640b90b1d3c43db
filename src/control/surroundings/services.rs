//! Services that lead to addresses that no tunnel may connect to.
//!
//! A Service's address is anybody's to connect to; where that leads is said by its EndpointSlices,
//! which can name any address. So a Service is judged by its endpoints. What its address is comes from
//! `clusterIPs`, `externalIPs` and `status.loadBalancer`; a headless one has none, and its endpoints
//! are judged when they are dialled.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client};

use crate::control::object::Key;
use crate::control::services::{SERVICE_NAME, take};
use crate::control::watch::{Change, Kind, Whole};

/// A Service and its addresses.
#[derive(Clone, Debug)]
pub(in crate::control) struct ServiceAddresses {
    key: Key,
    addresses: Vec<IpAddr>,
}

/// An EndpointSlice: the Service that it is of, and where that leads.
#[derive(Clone, Debug)]
pub(in crate::control) struct ServiceEndpoints {
    key: Key,
    service: Key,
    addresses: Vec<IpAddr>,
    /// Empty: every port.
    ports: Vec<u16>,
}

/// The Services of a namespace, or of all.
pub(super) fn services(
    client: Client,
    namespace: Option<&str>,
) -> Kind<Whole<Service>, ServiceAddresses> {
    Kind::new("services", Whole(api(client, namespace)), ServiceAddresses::read)
}

/// The EndpointSlices of a namespace, or of all.
pub(super) fn slices(
    client: Client,
    namespace: Option<&str>,
) -> Kind<Whole<EndpointSlice>, ServiceEndpoints> {
    Kind::new("endpointslices", Whole(api(client, namespace)), ServiceEndpoints::read)
}

fn api<K>(client: Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

impl ServiceAddresses {
    fn read(service: &Service) -> Self {
        let spec = service.spec.as_ref();
        let own = spec.and_then(|spec| spec.cluster_ips.as_ref()).into_iter().flatten();
        let external = spec.and_then(|spec| spec.external_ips.as_ref()).into_iter().flatten();
        let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
        let addresses = own.chain(external).chain(ingress.filter_map(|one| one.ip.as_ref()));
        // "None" is no address.
        let addresses = addresses.filter_map(|address| address.parse().ok()).collect();
        Self { key: Key::of(service), addresses }
    }
}

impl ServiceEndpoints {
    fn read(slice: &EndpointSlice) -> Self {
        let key = Key::of(slice);
        let labels = slice.metadata.labels.as_ref();
        let service = labels.and_then(|labels| labels.get(SERVICE_NAME));
        let service = service.map(String::as_str).unwrap_or_default().into();
        let addresses = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        let ports = slice.ports.iter().flatten();
        Self {
            service: Key { namespace: key.namespace.clone(), name: service },
            key,
            addresses: addresses.filter_map(|address| address.parse().ok()).collect(),
            ports: ports.filter_map(|port| u16::try_from(port.port?).ok()).collect(),
        }
    }

    /// Whether it leads where no tunnel may: to the API server, or to one of our own Pods or their
    /// hosts, unless a tunnel listens on that port.
    fn is_denied(&self, own: &[IpAddr], api_server: &[IpAddr], tunnels: &BTreeSet<u16>) -> bool {
        let leads_to = |places: &[IpAddr]| self.addresses.iter().any(|ip| places.contains(ip));
        let of_tunnels =
            !self.ports.is_empty() && self.ports.iter().all(|port| tunnels.contains(port));
        leads_to(api_server) || leads_to(own) && !of_tunnels
    }
}

/// What the watches tell of both.
#[derive(Debug)]
pub(super) enum News {
    /// Of Services.
    Service(Change<ServiceAddresses>),
    /// Of EndpointSlices.
    Slice(Change<ServiceEndpoints>),
}

/// All Services that can be listed, and what is behind them.
#[derive(Debug)]
pub(super) struct DeniedServices {
    scopes: Vec<Option<String>>,
    services: BTreeMap<Key, ServiceAddresses>,
    behind: BTreeMap<Key, ServiceEndpoints>,
    listed: [BTreeSet<usize>; 2],
}

impl DeniedServices {
    /// Nothing yet. `scopes` are those of the watches: a namespace each, or `None` for all.
    pub(super) fn new(scopes: Vec<Option<String>>) -> Self {
        let (services, behind, listed) = Default::default();
        Self { scopes, services, behind, listed }
    }

    /// Takes in what a watch tells.
    pub(super) fn change(&mut self, news: News) {
        let [services, slices] = &mut self.listed;
        let scopes = &self.scopes;
        match news {
            News::Service(change) => {
                take(&mut self.services, services, scopes, change, |service| service.key.clone());
            }
            News::Slice(change) => {
                take(&mut self.behind, slices, scopes, change, |slice| slice.key.clone());
            }
        }
    }

    /// The addresses of Services that lead to the API server, or to one of our own Pods or their hosts
    /// on a port on which no tunnel listens.
    pub(super) fn addresses(
        &self,
        own: &[IpAddr],
        api_server: &[IpAddr],
        tunnels: &BTreeSet<u16>,
    ) -> BTreeSet<IpAddr> {
        let denied = self.behind.values().filter(|one| one.is_denied(own, api_server, tunnels));
        let services = denied.filter_map(|slice| self.services.get(&slice.service));
        services.flat_map(|service| &service.addresses).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn known(services: &[Value], slices: &[Value]) -> DeniedServices {
        let mut known = DeniedServices::new(vec![None]);
        let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
        let objects = services.iter().map(|value| ServiceAddresses::read(&read(value))).collect();
        known.change(News::Service(Change::Listed { scope: 0, objects }));
        let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
        let objects = slices.iter().map(|value| ServiceEndpoints::read(&read(value))).collect();
        known.change(News::Slice(Change::Listed { scope: 0, objects }));
        known
    }

    fn service(name: &str, ip: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "a"}, "spec": {"clusterIPs": [ip]}})
    }

    fn slice(of: &str, address: &str, ports: Value) -> Value {
        json!({
            "metadata": {"name": format!("{of}-{address}"), "namespace": "a", "labels": {SERVICE_NAME: of}},
            "addressType": "IPv4", "endpoints": [{"addresses": ["10.9.9.9", address]}], "ports": ports,
        })
    }

    #[test]
    fn a_service_is_judged_by_its_endpoints() {
        let port = |number: u16| json!([{"port": number}]);
        let (api_server, host, pod) = ("172.18.0.2", "172.18.0.9", "10.7.0.1");
        for (address, ports, denied) in [
            (api_server, port(6443), true),
            (api_server, port(8080), true),
            (host, port(10250), true),
            (host, json!(null), true),
            (pod, port(9180), true),
            (pod, json!([{"port": 8080}, {"port": 9180}]), true),
            (pod, port(8080), false),
            ("10.7.0.2", port(9180), false),
        ] {
            let known = known(&[service("x", "10.96.0.7")], &[slice("x", address, ports.clone())]);
            let ip = |text: &str| text.parse::<IpAddr>().unwrap();
            let found =
                known.addresses(&[ip(host), ip(pod)], &[ip(api_server)], &[8080, 8443].into());
            let expected = if denied { vec![ip("10.96.0.7")] } else { vec![] };
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{address} {ports}");
        }
    }

    #[test]
    fn every_address_of_a_service_counts_and_a_headless_one_has_none() {
        let service = json!({
            "metadata": {"name": "x", "namespace": "a"},
            "spec": {"clusterIPs": ["10.96.0.7", "fd00:96::7"], "externalIPs": ["192.0.2.7"]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}, {"hostname": "x.example"}]}},
        });
        let headless =
            json!({"metadata": {"name": "y", "namespace": "a"}, "spec": {"clusterIPs": ["None"]}});
        let slices = ["x", "y", "gone"].map(|of| slice(of, "172.18.0.2", json!([{"port": 6443}])));
        let found = known(&[service, headless], &slices).addresses(
            &[],
            &["172.18.0.2".parse().unwrap()],
            &BTreeSet::new(),
        );
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.96.0.7", "192.0.2.7", "192.0.2.8", "fd00:96::7"]);
    }
}
