//! What there shall be of Services and EndpointSlices: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::config::model::ExposeConfig;
use crate::control::claim::hex;
use crate::control::fleet::Member;
use crate::control::object::Key;
use crate::crd;

/// The label that names the instance: what is watched.
pub(in crate::control) const LABEL: &str = "adit.dev/expose";
/// Of Services, by which a change is told from what the API server and others add.
const DIGEST: &str = "adit.dev/digest";
/// Labels of EndpointSlices.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// So many addresses of a load balancer are said.
const MOST_PLACES: usize = 4;

/// An exposed service.
#[derive(Clone, Debug)]
pub(crate) struct Exposed {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// What its spec asks for.
    pub(crate) config: ExposeConfig,
    /// The port that was allocated for it, once its status says so.
    pub(crate) port: Option<u16>,
}

impl Exposed {
    fn transport(&self) -> String {
        if self.config.udp { "UDP" } else { "TCP" }.into()
    }
}

/// What one object shall have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Children {
    /// By name.
    pub(crate) services: BTreeMap<Arc<str>, Service>,
    /// With the name of the Service that each belongs to, by name.
    pub(crate) slices: BTreeMap<Arc<str>, (Arc<str>, EndpointSlice)>,
    /// Services that lead nowhere until there is a port again: those that are there stay.
    pub(crate) spared: BTreeSet<Arc<str>>,
}

impl Children {
    /// The children of an object. A service whose port no status says yet has none: nobody may bind
    /// it yet either.
    pub(crate) fn of(
        instance: &str,
        (key, uid): (&Key, &str),
        exposed: &[Exposed],
        members: &[Member],
    ) -> Self {
        let mut children = Self::default();
        for service in exposed {
            let name = &service.config.service;
            let Some(port) = service.port else {
                children.spared.insert(name.clone());
                continue;
            };
            let meta = || metadata(instance, (key, uid));
            let of_service = children.services.entry(name.clone()).or_insert_with(|| Service {
                metadata: ObjectMeta { name: Some(name.to_string()), ..meta() },
                spec: Some(ServiceSpec {
                    type_: Some(service.config.kind.as_str().into()),
                    external_traffic_policy: service.config.traffic.map(Into::into),
                    ip_family_policy: Some("PreferDualStack".into()),
                    ports: Some(Vec::new()),
                    ..ServiceSpec::default()
                }),
                ..Service::default()
            });
            add(of_service, service, port);
            for family in [Family::V4, Family::V6] {
                let endpoints = endpoints(uid, &service.name, port, family, members);
                if endpoints.is_empty() {
                    continue;
                }
                let slice = family.name(uid, name, &service.name);
                let mut metadata = ObjectMeta { name: Some(slice.clone()), ..meta() };
                if let Some(labels) = &mut metadata.labels {
                    labels.insert(SERVICE_NAME.into(), name.to_string());
                    labels.insert(MANAGED_BY.into(), "adit.dev".into());
                }
                let slice_of = EndpointSlice {
                    address_type: family.as_str().into(),
                    endpoints,
                    metadata,
                    ports: Some(vec![EndpointPort {
                        name: Some(service.name.to_string()),
                        port: Some(port.into()),
                        protocol: Some(service.transport()),
                        app_protocol: service.config.protocol.map(Into::into),
                    }]),
                };
                children.slices.insert(slice.into(), (name.clone(), slice_of));
            }
        }
        for service in children.services.values_mut() {
            let text = serde_json::to_string(service).unwrap_or_default();
            let digest = hex(&text).get(..16).unwrap_or_default().to_string();
            let annotations = service.metadata.annotations.get_or_insert_default();
            annotations.insert(DIGEST.into(), digest);
        }
        children
    }
}

fn add(service: &mut Service, exposed: &Exposed, port: u16) {
    let metadata = &mut service.metadata;
    metadata.labels.get_or_insert_default().extend(exposed.config.labels.clone());
    metadata.annotations.get_or_insert_default().extend(exposed.config.annotations.clone());
    if let Some(spec) = &mut service.spec {
        spec.ports.get_or_insert_default().push(ServicePort {
            name: Some(exposed.name.to_string()),
            port: exposed.config.port.into(),
            target_port: Some(IntOrString::Int(port.into())),
            protocol: Some(exposed.transport()),
            app_protocol: exposed.config.protocol.map(Into::into),
            node_port: None,
        });
    }
}

fn metadata(instance: &str, (key, uid): (&Key, &str)) -> ObjectMeta {
    let labels = [
        (LABEL.to_string(), instance.to_string()),
        ("app.kubernetes.io/managed-by".to_string(), "adit.dev".to_string()),
    ];
    ObjectMeta {
        namespace: Some(key.namespace.to_string()),
        labels: Some(labels.into()),
        owner_references: Some(vec![OwnerReference {
            api_version: format!("{}/{}", crd::GROUP, crd::VERSION),
            kind: crd::KIND.into(),
            name: key.name.to_string(),
            uid: uid.into(),
            controller: Some(true),
            block_owner_deletion: Some(false),
        }]),
        ..ObjectMeta::default()
    }
}

/// An address family: a slice has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    fn of(text: &str) -> Option<Self> {
        [Self::V4, Self::V6].into_iter().find(|family| family.as_str() == text)
    }

    fn has(self, addr: &IpAddr) -> bool {
        addr.is_ipv4() == (self == Self::V4)
    }

    /// Names that are joined can be joined in two ways; the digest tells them apart.
    fn name(self, uid: &str, service: &str, port: &str) -> String {
        let family = self.as_str().to_ascii_lowercase();
        let digest = hex(&format!("{uid}\n{service}\n{port}\n{family}"));
        format!("{service}-{port}-{family}-{}", digest.get(..8).unwrap_or_default())
    }
}

/// The Pods, each as one service does on it.
fn endpoints(
    uid: &str,
    service: &str,
    port: u16,
    family: Family,
    members: &[Member],
) -> Vec<Endpoint> {
    let endpoint = |member: &Member| {
        let addr = member.ips.iter().find(|ip| family.has(ip) && may_be_endpoint(ip))?;
        let entry = member.report.tunnels.get(uid);
        let bound = entry.and_then(|entry| entry.ports.get(service)) == Some(&port);
        let serving = member.ready && bound;
        Some(Endpoint {
            addresses: vec![addr.to_string()],
            conditions: Some(EndpointConditions {
                ready: Some(serving && !member.terminating),
                serving: Some(serving),
                terminating: Some(member.terminating),
            }),
            node_name: member.node.as_deref().map(Into::into),
            target_ref: Some(ObjectReference {
                kind: Some("Pod".into()),
                namespace: Some(member.namespace.to_string()),
                name: Some(member.pod.name.to_string()),
                uid: Some(member.pod.uid.to_string()),
                ..ObjectReference::default()
            }),
            ..Endpoint::default()
        })
    };
    members.iter().filter_map(endpoint).collect()
}

/// What the API server refuses as an endpoint would take all others of the slice with it.
fn may_be_endpoint(ip: &IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || link_local)
}

/// The slice with the endpoints that it should have now, for an object whose spec says nothing that
/// counts: it is invalid, and what it was before is not known here.
pub(super) fn renewed(
    slice: &EndpointSlice,
    uid: &str,
    members: &[Member],
) -> Option<EndpointSlice> {
    let [port] = slice.ports.as_deref()? else { return None };
    let (name, number) = (port.name.as_deref()?, u16::try_from(port.port?).ok()?);
    let family = Family::of(&slice.address_type)?;
    let endpoints = endpoints(uid, name, number, family, members);
    Some(EndpointSlice { endpoints, ..slice.clone() })
}

/// The uid of the object whose child this is.
pub(super) fn owner(metadata: &ObjectMeta) -> Option<&str> {
    let owners = metadata.owner_references.as_ref()?;
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    let ours = owner.kind == crd::KIND && owner.api_version.starts_with(crd::GROUP);
    ours.then_some(owner.uid.as_str())
}

/// Where a Service of type LoadBalancer is reached, as its load balancer says: type and value of each.
pub(super) fn balancer(service: &Service) -> Vec<(&'static str, String)> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let places = status.and_then(|status| status.ingress.as_ref()).into_iter().flatten();
    let named = places.filter_map(|place| {
        let ip = place.ip.clone().map(|ip| ("IPAddress", ip));
        ip.or_else(|| place.hostname.clone().map(|name| ("Hostname", name)))
    });
    named.take(MOST_PLACES).collect()
}

/// Whether it was a child of this instance whose object was deleted without it
/// (`kubectl delete --cascade=orphan`): it has the label and no controller. The object of the name that
/// has one takes it over, as controllers do.
pub(super) fn is_orphan(metadata: &ObjectMeta, instance: &str) -> bool {
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(LABEL));
    let mut owners = metadata.owner_references.iter().flatten();
    label.is_some_and(|label| label == instance)
        && !owners.any(|owner| owner.controller == Some(true))
}

/// The name of the Service that a slice belongs to.
pub(super) fn service_of(slice: &EndpointSlice) -> Option<&str> {
    slice.metadata.labels.as_ref()?.get(SERVICE_NAME).map(String::as_str)
}

/// Whether what is stored of a Service is what it shall be, whatever others added.
pub(super) fn service_is(stored: &Service, wanted: &Service) -> bool {
    let (Some(spec), Some(wanted_spec)) = (&stored.spec, &wanted.spec) else { return false };
    let has = |port: &ServicePort| {
        let same = |other: &ServicePort| {
            (&other.name, other.port, &other.target_port, &other.protocol, &other.app_protocol)
                == (&port.name, port.port, &port.target_port, &port.protocol, &port.app_protocol)
        };
        spec.ports.iter().flatten().any(same)
    };
    metadata_is(&stored.metadata, &wanted.metadata)
        && spec.type_ == wanted_spec.type_
        && (wanted_spec.external_traffic_policy.is_none()
            || spec.external_traffic_policy == wanted_spec.external_traffic_policy)
        && wanted_spec.ports.iter().flatten().all(has)
}

/// The same for an EndpointSlice.
pub(super) fn slice_is(stored: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    metadata_is(&stored.metadata, &wanted.metadata)
        && stored.endpoints == wanted.endpoints
        && stored.ports == wanted.ports
}

fn metadata_is(stored: &ObjectMeta, wanted: &ObjectMeta) -> bool {
    type Texts = Option<BTreeMap<String, String>>;
    let within = |stored: &Texts, wanted: &Texts| {
        let mut pairs = wanted.iter().flatten();
        pairs.all(|(key, value)| stored.as_ref().and_then(|map| map.get(key)) == Some(value))
    };
    within(&stored.labels, &wanted.labels)
        && within(&stored.annotations, &wanted.annotations)
        && owner(stored) == owner(wanted)
}

#[cfg(test)]
mod tests;
