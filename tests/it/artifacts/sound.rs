//! What has to hold for every set of objects that we let people install.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodSpec, Service};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;

use super::render::{kind, name, of_kind, typed};

/// The PodSecurity profile `restricted`, plus what it leaves open and we do not.
pub fn assert_restricted(pod: &PodSpec) {
    let security = pod.security_context.clone().unwrap();
    assert_eq!(security.run_as_non_root, Some(true));
    assert!(security.run_as_user.is_some_and(|user| user > 0), "a name cannot be proven non-root");
    assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
    assert!(!pod.host_network.unwrap_or(false) && !pod.host_pid.unwrap_or(false));
    for volume in pod.volumes.iter().flatten() {
        assert!(volume.host_path.is_none(), "{} is on the host", volume.name);
    }
    for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
        assert_container_is_restricted(container);
    }
}

fn assert_container_is_restricted(container: &Container) {
    let security = container.security_context.clone().unwrap();
    assert_eq!(security.allow_privilege_escalation, Some(false), "{}", container.name);
    assert_eq!(security.read_only_root_filesystem, Some(true), "{}", container.name);
    let capabilities = security.capabilities.unwrap();
    assert_eq!(capabilities.drop, Some(vec!["ALL".to_string()]), "{}", container.name);
    assert!(capabilities.add.is_none(), "{}", container.name);
    let resources = container.resources.clone().unwrap();
    let limits = resources.limits.unwrap();
    assert!(limits.contains_key("memory"), "{} has no memory limit", container.name);
    assert!(!limits.contains_key("cpu"), "{}: a CPU limit stalls tunnels", container.name);
    assert!(resources.requests.is_some(), "{} requests nothing", container.name);
}

pub fn assert_selectors_match(objects: &[Value], deployment: &Deployment) {
    let spec = deployment.spec.as_ref().unwrap();
    let labels = spec.template.metadata.as_ref().unwrap().labels.clone().unwrap();
    let ports = spec.template.spec.as_ref().unwrap().containers[0].ports.clone().unwrap();
    let selector = spec.selector.match_labels.clone().unwrap();
    assert!(selector.iter().all(|(key, value)| labels.get(key) == Some(value)));
    for service in of_kind(objects, "Service") {
        let service: Service = typed(service);
        let spec = service.spec.unwrap();
        assert_eq!(spec.selector.unwrap(), selector);
        for port in spec.ports.unwrap() {
            let target = serde_json::to_value(port.target_port.unwrap()).unwrap();
            assert!(
                ports.iter().any(|port| port.name.as_deref() == target.as_str()),
                "no container port {target}"
            );
        }
    }
}

pub fn assert_names_are_unique(objects: &[Value]) {
    let mut names: Vec<_> = objects
        .iter()
        .map(|object| {
            let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
            (kind(object), namespace, name(object))
        })
        .collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        assert_ne!(pair[0], pair[1]);
    }
    for service in of_kind(objects, "Service") {
        assert!(name(service).len() <= 63, "{} is no DNS label", name(service));
    }
}

pub fn assert_roles_are_narrow(objects: &[Value]) {
    for role in of_kind(objects, "ClusterRole").into_iter().chain(of_kind(objects, "Role")) {
        let tenants = name(role).ends_with(":view") || name(role).ends_with(":edit");
        let rules: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone()).unwrap();
        for rule in rules {
            let parts = [Some(rule.verbs), rule.api_groups, rule.resources, rule.non_resource_urls];
            for part in parts.iter().flatten().flatten() {
                assert!(!part.contains('*'), "{} has a wildcard", name(role));
                assert!(!tenants || part != "wstunnels/status", "status is the controller's word");
            }
        }
    }
}
