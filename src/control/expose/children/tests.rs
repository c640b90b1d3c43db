use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::config::model::ServiceType;
use crate::control::report::{Entry, Pod, Report, Tunnels};

fn key() -> Key {
    Key { namespace: "team".into(), name: "edge".into() }
}

fn tcp(name: &str, service: &str, port: u16, target: Option<u16>) -> Exposed {
    let config = ExposeConfig {
        service: service.into(),
        traffic: None,
        kind: ServiceType::ClusterIp,
        port,
        udp: false,
        protocol: None,
        annotations: BTreeMap::new(),
        labels: BTreeMap::new(),
    };
    Exposed { name: name.into(), config, port: target }
}

/// A Pod whose report says that services of `u` are bound.
fn member(
    name: &str,
    ips: &[&str],
    ready: bool,
    terminating: bool,
    bound: &[(&str, u16)],
) -> Member {
    let ports = bound.iter().map(|(name, port)| (Arc::from(*name), *port)).collect();
    let entry = Entry { generation: 1, ports, ..Entry::default() };
    let tunnels = Tunnels::from([("u".into(), entry)]);
    let pod = Pod { name: name.into(), uid: format!("{name}-uid").into() };
    Member {
        report: Arc::new(Report::new(Some(pod.clone()), None, Arc::new(tunnels))),
        pod,
        node: Some("n1".into()),
        namespace: "system".into(),
        ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        ready,
        terminating,
    }
}

fn children(exposed: &[Exposed], members: &[Member]) -> Children {
    Children::of("adit", (&key(), "u"), exposed, members)
}

#[test]
fn a_service_leads_to_the_port_that_was_allocated_and_belongs_to_the_object() {
    let children = children(&[tcp("db", "edge-db", 5432, Some(20017))], &[]);
    let service = serde_json::to_value(&children.services["edge-db"]).unwrap();
    assert_eq!(
        service["metadata"]["ownerReferences"],
        json!([{"apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel", "name": "edge", "uid": "u",
            "controller": true, "blockOwnerDeletion": false}])
    );
    assert_eq!(service["metadata"]["labels"]["adit.dev/expose"], "adit");
    assert_eq!(service["metadata"]["namespace"], "team");
    assert_eq!(
        service["spec"],
        json!({"type": "ClusterIP", "ipFamilyPolicy": "PreferDualStack", "ports": [
            {"name": "db", "port": 5432, "protocol": "TCP", "targetPort": 20017}]})
    );
    assert!(children.slices.is_empty(), "nobody is there");
}

#[test]
fn what_no_status_says_has_no_children() {
    let one = member("one", &["198.18.0.2"], true, false, &[("db", 20017)]);
    let children = children(&[tcp("db", "edge-db", 5432, None)], &[one]);
    assert!(children.services.is_empty() && children.slices.is_empty());
    assert!(children.spared.contains("edge-db"), "one that is there keeps its address");
}

#[test]
fn endpoints_are_ready_where_the_pod_is_and_its_report_has_the_port() {
    let bound = [("db", 20017)];
    let members = [
        member("a-good", &["198.18.0.2", "fd00::2"], true, false, &bound),
        member("b-taken", &["198.18.0.3"], true, false, &[]),
        member("c-elsewhere", &["198.18.0.4"], true, false, &[("db", 20018)]),
        member("d-unready", &["198.18.0.5"], false, false, &bound),
        member("e-draining", &["198.18.0.6"], true, true, &bound),
        member("f-nowhere", &["127.0.0.1", "fe80::1"], true, false, &bound),
    ];
    let children = children(&[tcp("db", "edge-db", 5432, Some(20017))], &members);
    let slices: Vec<_> = children
        .slices
        .values()
        .map(|(service, slice)| {
            assert_eq!(&**service, "edge-db");
            slice
        })
        .collect();
    let of = |family: &str| *slices.iter().find(|slice| slice.address_type == family).unwrap();
    assert_eq!(slices.len(), 2);
    let conditions = |slice: &EndpointSlice| -> Vec<_> {
        let endpoint = |endpoint: &Endpoint| {
            let is = endpoint.conditions.clone().unwrap();
            let pod = endpoint.target_ref.clone().unwrap().name.unwrap();
            (pod, [is.ready, is.serving, is.terminating].map(Option::unwrap))
        };
        slice.endpoints.iter().map(endpoint).collect()
    };
    assert_eq!(
        conditions(of("IPv4")),
        [
            ("a-good".into(), [true, true, false]),
            ("b-taken".into(), [false, false, false]),
            ("c-elsewhere".into(), [false, false, false]),
            ("d-unready".into(), [false, false, false]),
            ("e-draining".into(), [false, true, true]),
        ]
    );
    assert_eq!(conditions(of("IPv6")), [("a-good".into(), [true, true, false])]);
    let labels = of("IPv6").metadata.labels.clone().unwrap();
    assert_eq!(labels["kubernetes.io/service-name"], "edge-db");
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "adit.dev");
    let port = &of("IPv4").ports.as_ref().unwrap()[0];
    assert_eq!((port.name.as_deref(), port.port), (Some("db"), Some(20017)));
}

#[test]
fn services_of_one_name_are_ports_of_one_service_each_with_its_own_slices() {
    let mut exposures = [
        tcp("in", "all", 80, Some(20001)),
        tcp("tls", "all", 443, Some(20002)),
        tcp("dns", "all", 53, Some(20003)),
    ];
    exposures[0].config.protocol = Some("kubernetes.io/ws");
    exposures[1].config.protocol = Some("kubernetes.io/wss");
    exposures[2].config.udp = true;
    let one = member("one", &["198.18.0.2"], true, false, &[("in", 20001)]);
    let children = children(&exposures, &[one]);
    assert_eq!(children.services.len(), 1);
    let spec = children.services["all"].spec.clone().unwrap();
    let ports: Vec<_> = spec
        .ports
        .unwrap()
        .into_iter()
        .map(|p| (p.name.unwrap(), p.protocol.unwrap(), p.app_protocol.unwrap_or_default()))
        .collect();
    let text = |a: &str, b: &str, c: &str| (a.to_string(), b.to_string(), c.to_string());
    assert_eq!(
        ports,
        [
            text("in", "TCP", "kubernetes.io/ws"),
            text("tls", "TCP", "kubernetes.io/wss"),
            text("dns", "UDP", ""),
        ]
    );
    assert_eq!(children.slices.len(), 3);
}

#[test]
fn what_others_add_is_no_difference_and_what_they_change_is() {
    let wanted = children(&[tcp("db", "edge-db", 5432, Some(20017))], &[]);
    let wanted = &wanted.services["edge-db"];
    let mut stored = wanted.clone();
    stored.metadata.labels.as_mut().unwrap().insert("team".into(), "a".into());
    stored.spec.as_mut().unwrap().cluster_ip = Some("10.0.0.9".into());
    assert!(service_is(&stored, wanted));
    let port =
        |service: &mut Service| service.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].clone();
    let mut edited = stored.clone();
    let other = ServicePort { target_port: Some(IntOrString::Int(1)), ..port(&mut edited) };
    edited.spec.as_mut().unwrap().ports = Some(vec![other]);
    assert!(!service_is(&edited, wanted));
    // A port that is not wanted any more is told by the digest.
    let two = [tcp("db", "edge-db", 5432, Some(20017)), tcp("x", "edge-db", 1, Some(20018))];
    assert!(!service_is(&children(&two, &[]).services["edge-db"], wanted));
}

#[test]
fn slices_of_an_invalid_object_follow_the_pods() {
    let exposures = [tcp("db", "edge-db", 5432, Some(20017))];
    let one = |bound| member("one", &["198.18.0.2"], true, false, bound);
    let children = children(&exposures, &[one(&[("db", 20017)])]);
    let (_, slice) = children.slices.values().next().unwrap();
    assert_eq!(renewed(slice, "u", &[one(&[("db", 20017)])]).as_ref(), Some(slice));
    let later = renewed(slice, "u", &[one(&[])]).unwrap();
    assert_eq!(later.endpoints[0].conditions.as_ref().unwrap().ready, Some(false));
}

#[test]
fn endpoints_name_their_node_and_the_service_its_policy_for_clients_from_outside() {
    let mut exposed = tcp("db", "edge-db", 5432, Some(20017));
    exposed.config.kind = crate::config::model::ServiceType::LoadBalancer;
    exposed.config.traffic = Some("Local");
    let one = member("one", &["198.18.0.2"], true, false, &[("db", 20017)]);
    let children = children(&[exposed], &[one]);
    let wanted = &children.services["edge-db"];
    assert_eq!(wanted.spec.as_ref().unwrap().external_traffic_policy.as_deref(), Some("Local"));
    let (_, slice) = children.slices.values().next().unwrap();
    assert_eq!(slice.endpoints[0].node_name.as_deref(), Some("n1"), "Local needs it");
    let mut edited = wanted.clone();
    edited.spec.as_mut().unwrap().external_traffic_policy = Some("Cluster".into());
    assert!(!service_is(&edited, wanted));
}

#[test]
fn a_load_balancer_says_where_it_is() {
    let service = json!({"status": {"loadBalancer": {"ingress": [
        {"ip": "203.0.113.7"}, {"hostname": "lb.example"}, {}]}}});
    let service: Service = serde_json::from_value(service).unwrap();
    let wanted = [("IPAddress", "203.0.113.7".to_string()), ("Hostname", "lb.example".to_string())];
    assert_eq!(balancer(&service), wanted);
}
