//! `services[].expose`.

use super::*;
use crate::config::model::ServiceType;

/// Lowers the spec of the tunnel `edge`.
fn tunnel(name: &str, services: &str) -> Result<Lowered, ConfigErrors> {
    let documents = read(&format!("services: [{services}]"))?;
    let spec = raw::TunnelSpec { config: documents.gost, ..raw::TunnelSpec::default() };
    let secrets = Secrets::default();
    lower_tunnel(&spec, &LowerContext::controller("a", &secrets, &[8080, 8443]).of_tunnel(name))
}

fn service(name: &str, expose: &str) -> String {
    format!("{{name: {name}, addr: ':5432', handler: {{type: http}}, expose: {expose}}}")
}

#[test]
fn name_and_port_have_defaults() {
    let lowered = tunnel("edge", &service("db", "{}")).unwrap();
    let expose = &lowered.exposures["db"];
    assert_eq!((&*expose.service, expose.port), ("edge-db", 5432));
    assert_eq!(expose.kind, ServiceType::ClusterIp);
    assert_eq!((expose.udp, expose.protocol), (false, None));
    let written = "{type: ClusterIP, name: pg, port: 1}";
    let lowered = tunnel("edge", &service("db", written)).unwrap();
    assert_eq!((&*lowered.exposures["db"].service, lowered.exposures["db"].port), ("pg", 1));
}

#[test]
fn a_name_that_no_service_can_have_is_refused_with_the_fix() {
    for name in ["1edge", "a.b", &"x".repeat(62)] {
        let errors = errors(tunnel(name, &service("db", "{}")));
        assert!(errors[0].starts_with("services[0].expose.name: "), "{errors:?}");
        assert!(errors[0].ends_with("set expose.name"), "{errors:?}");
        assert!(tunnel(name, &service("db", "{name: pg}")).is_ok());
    }
    let errors = errors(tunnel("edge", &service("db", "{name: Pg}")));
    assert!(errors[0].starts_with("services[0].expose.name: "), "{errors:?}");
}

#[test]
fn types_without_endpoints_and_ports_that_are_none_are_refused() {
    for expose in ["{type: ExternalName}", "{port: 0}", "{port: 65536}"] {
        let refused = tunnel("edge", &service("db", expose)).unwrap_err();
        assert_eq!(refused.reason(), Reason::Invalid, "{expose}");
    }
}

#[test]
fn services_of_one_name_are_ports_of_one_service() {
    let two = |second: &str| {
        tunnel("edge", &[service("a", "{name: x}"), service("b", second)].join(", "))
    };
    assert_eq!(two("{name: x, port: 1}").unwrap().exposures.len(), 2);
    assert!(two("{name: y}").is_ok());
    let errors = errors(two("{name: x}"));
    assert!(errors[0].starts_with("services[1].expose.port: "), "{errors:?}");
}

#[test]
fn an_exposed_listener_is_no_loopback_target() {
    let text = |expose: &str| {
        format!(
            "{{name: a, addr: ':5432', handler: {{type: http}}{expose}}}, \
             {{name: b, addr: ':5433', handler: {{type: tcp}}, \
               forwarder: {{nodes: [{{name: n, addr: ':5432'}}]}}}}"
        )
    };
    assert!(tunnel("edge", &text("")).is_ok());
    let refused = tunnel("edge", &text(", expose: {}")).unwrap_err();
    assert_eq!(refused.reason(), Reason::LoopbackTarget);
}

#[test]
fn without_a_cluster_a_warning_says_that_there_is_no_service() {
    let lowered = files(&format!("services: [{}]", service("db", "{}"))).unwrap();
    let warnings = warnings(&lowered);
    assert!(warnings.iter().any(|w| w.starts_with("services[0].expose: ")), "{warnings:?}");
}

#[test]
fn a_policy_for_clients_from_outside_needs_a_type_that_has_some() {
    let local = |rest: &str| service("db", &format!("{{externalTrafficPolicy: Local{rest}}}"));
    let lowered = tunnel("edge", &local(", type: LoadBalancer")).unwrap();
    assert_eq!(lowered.exposures["db"].traffic, Some("Local"));
    let refused = errors(tunnel("edge", &local("")));
    assert!(refused[0].starts_with("services[0].expose.externalTrafficPolicy: "), "{refused:?}");
    let unknown = service("db", "{type: NodePort, externalTrafficPolicy: local}");
    assert!(errors(tunnel("edge", &unknown))[0].contains("none of Cluster and Local"));
    let two = [
        service("a", "{name: x, type: NodePort, externalTrafficPolicy: Local}"),
        service("b", "{name: x, type: NodePort, port: 1}"),
    ];
    assert!(errors(tunnel("edge", &two.join(", ")))[0].contains("another policy"));
}
