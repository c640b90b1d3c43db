//! The chart under many values: what renders is sound, what is wrong is refused by name.

mod values;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::render::{
    assert_known_to_the_api, copy, documents, helm, kind, name, of_kind, read, render,
    render_tests, the, try_render, typed,
};
use super::sound::{
    assert_names_are_unique, assert_restricted, assert_roles_are_narrow, assert_selectors_match,
};
use values::{BAD, CERTIFICATES, GOOD, OPEN};

#[test]
fn charts_pass_helm_lint() {
    let output = helm(&["lint", "--strict", "charts/adit", "charts/adit-crds"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_good_value_set_renders_sound_objects() {
    for values in GOOD {
        println!("{values:?}");
        let objects = render(values);
        for object in &objects {
            assert_known_to_the_api(object);
        }
        assert_names_are_unique(&objects);
        assert_roles_are_narrow(&objects);
        let deployment: Deployment = typed(the(&objects, "Deployment"));
        assert_selectors_match(&objects, &deployment);
        assert_restricted(&deployment.spec.unwrap().template.spec.unwrap());
    }
}

#[test]
fn what_helm_test_makes_is_sound_narrow_and_no_replica() {
    for values in GOOD {
        println!("{values:?}");
        let objects = render_tests(values);
        assert_eq!(objects.len(), 4, "an account, a role, its binding, a pod");
        for object in &objects {
            assert_known_to_the_api(object);
            let policy = object.pointer("/metadata/annotations/helm.sh~1hook-delete-policy");
            assert_eq!(policy, Some(&json!("before-hook-creation,hook-succeeded")));
        }
        assert_roles_are_narrow(&objects);
        let rules = &the(&objects, "Role")["rules"];
        let rule = json!([{"apiGroups": ["adit.dev"], "resources": ["wstunnels"],
            "verbs": ["create", "get", "delete"]}]);
        assert_eq!(*rules, rule);
        let pod: Pod = typed(the(&objects, "Pod"));
        assert_restricted(pod.spec.as_ref().unwrap());
        let deployment: Deployment = typed(the(&render(values), "Deployment"));
        let selector = deployment.spec.unwrap().selector.match_labels.unwrap();
        let labels = pod.metadata.labels.unwrap();
        assert!(selector.iter().any(|(key, value)| labels.get(key) != Some(value)), "{labels:?}");
        // The account and its rights are there before the pod.
        let weight =
            |object: &Value| object["metadata"]["annotations"]["helm.sh/hook-weight"].clone();
        assert!(objects.iter().all(|o| (kind(o) == "Pod") == (weight(o) == json!("1"))));
    }
    assert_eq!(render_tests(&["--set", "tests.enabled=false"]), Vec::<Value>::new());
}

#[test]
fn helm_test_works_in_a_namespace_that_is_watched_through_the_front_service() {
    for (values, namespace, front) in [
        (&[][..], "tunnels", "ws://edge-adit.tunnels.svc:80"),
        (
            &["--set", "watch.namespaces={a,b}", "--set", "front.service.ports.http=8000"],
            "a",
            "ws://edge-adit.tunnels.svc:8000",
        ),
    ] {
        let objects = render_tests(values);
        let pod: Pod = typed(the(&objects, "Pod"));
        assert_eq!(pod.metadata.namespace.as_deref(), Some("tunnels"));
        let args = pod.spec.unwrap().containers[0].args.clone().unwrap();
        let namespaced = format!("--namespace={namespace}");
        let (named, front) = ("--name=adit-selftest-edge-adit", format!("--front={front}"));
        assert_eq!(args, ["selftest", named, &namespaced, &front]);
        for granted in ["Role", "RoleBinding"] {
            assert_eq!(the(&objects, granted)["metadata"]["namespace"], json!(namespace));
        }
        let objects = render(values);
        let services = of_kind(&objects, "Service");
        assert!(services.iter().any(|service| name(service) == "edge-adit"));
    }
}

#[test]
fn helm_test_names_a_class_where_none_is_the_default() {
    let classes = r#"classes=[{"name": "gold", "namespaces": {"all": true}}]"#;
    let objects = render_tests(&["--set-json", classes]);
    let pod: Pod = typed(the(&objects, "Pod"));
    let args = pod.spec.unwrap().containers[0].args.clone().unwrap();
    assert!(args.contains(&"--class-name=gold".to_string()), "{args:?}");
}

#[test]
fn every_bad_value_set_is_refused_with_its_name() {
    for (values, named) in BAD {
        match try_render("charts/adit", values) {
            Ok(_) => panic!("{values:?} rendered"),
            Err(message) => assert!(message.contains(named), "{values:?}: {message}"),
        }
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let message = try_render(
        "charts/adit",
        &[
            "--set",
            "serviceAccount.create=false",
            "--set",
            "terminationGracePeriodSeconds=1",
            "--set-json",
            OPEN,
            "--set",
            "front.service.type=NodePort",
        ],
    )
    .unwrap_err();
    for part in ["serviceAccount.name", "terminationGracePeriodSeconds", "front.service.type"] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

#[test]
fn the_schema_names_the_values_that_exist() {
    for chart in ["charts/adit", "charts/adit-crds"] {
        let values = documents(&read(&format!("{chart}/values.yaml"))).remove(0);
        let schema: Value =
            serde_json::from_str(&read(&format!("{chart}/values.schema.json"))).unwrap();
        assert_same_keys(&schema, &values, chart);
    }
}

#[test]
fn the_grace_period_holds_delay_and_drain() {
    for (values, seconds) in [
        (&[][..], 80),
        (&["--set", "drain.shutdownDelaySeconds=0", "--set", "drain.timeoutSeconds=0"], 10),
        (&["--set", "terminationGracePeriodSeconds=80"], 80),
    ] {
        let pod = pod_of_chart(values);
        assert_eq!(pod.termination_grace_period_seconds, Some(seconds), "{values:?}");
        let liveness = pod.containers[0].liveness_probe.clone().unwrap();
        assert!(liveness.termination_grace_period_seconds.unwrap() <= 10, "a hung process waits");
    }
}

#[test]
fn values_become_flags() {
    let args = |values: &[&str]| pod_of_chart(values).containers[0].args.clone().unwrap();
    assert!(args(&[]).contains(&"--instance=edge".to_string()), "the release is the instance");
    assert!(!args(&[]).iter().any(|arg| arg.starts_with("--namespace")), "empty means all");
    let args = args(&[
        "--set",
        "watch.namespaces={a,b}",
        "--set",
        "egress.deny={10.0.0.1/32}",
        "--set",
        "drain.timeoutSeconds=5",
    ]);
    for flag in
        ["--namespace=a", "--namespace=b", "--deny-egress=10.0.0.1/32", "--drain-timeout=5s"]
    {
        assert!(args.contains(&flag.to_string()), "{flag} is not in {args:?}");
    }
}

#[test]
fn the_classes_of_the_values_are_a_class_file_and_the_shipped_one_is_the_built_in() {
    use adit::control::policy::{Policy, Reserved};
    let reserved = Reserved { fronts: &[8080, 8443], admin: Some(9180) };
    let classes = |values: &[&str]| {
        let objects = render(values);
        let map = the(&objects, "ConfigMap")["data"]["classes.yaml"].as_str().unwrap().to_string();
        Policy::read([("classes.yaml", &*map)], reserved).unwrap()
    };
    assert_eq!(classes(&[]), Policy::built_in());
    let labelled = r#"classes=[{"name":"a","namespaces":{"matchLabels":{"t":"y"}}}]"#;
    assert!(classes(&["--set-json", labelled]).needs_labels());
    let rules = |values: &[&str]| serde_json::to_string(&of_kind(&render(values), "ClusterRole"));
    assert!(rules(&["--set-json", labelled]).unwrap().contains("namespaces"));
    assert!(!rules(&[]).unwrap().contains("namespaces"));
}

#[test]
fn watched_namespaces_need_no_cluster_wide_right() {
    let objects = render(&["--set", "watch.namespaces={a,b}", "--set", "rbac.aggregate=false"]);
    assert!(of_kind(&objects, "ClusterRole").is_empty());
    assert!(of_kind(&objects, "ClusterRoleBinding").is_empty());
    for wanted in ["Role", "RoleBinding"] {
        let namespaces: Vec<_> = of_kind(&objects, wanted)
            .iter()
            .map(|object| object.pointer("/metadata/namespace").cloned().unwrap())
            .collect();
        // Its own namespace is for the Lease and the reports.
        assert_eq!(namespaces, [json!("tunnels"), json!("a"), json!("b")]);
    }
}

#[test]
fn named_secrets_are_all_that_the_roles_grant_and_the_controller_asks_for() {
    let values = ["--set", "watch.namespaces={a,b}", "--set", "rbac.secretNames={edge-tls,users}"];
    let objects = render(&values);
    let rules: Vec<PolicyRule> = of_kind(&objects, "Role")
        .into_iter()
        .flat_map(|role| typed::<Role>(role).rules.unwrap())
        .filter(|rule| rule.resources.iter().flatten().any(|of| of == "secrets"))
        .collect();
    assert_eq!(rules.len(), 2, "one in each namespace");
    for rule in rules {
        assert_eq!(rule.resource_names.unwrap(), ["edge-tls", "users"]);
        assert_eq!(rule.verbs, ["get", "list", "watch"]);
    }
    let args = pod_of_chart(&values).containers[0].args.clone().unwrap();
    for flag in ["--secret-name=edge-tls", "--secret-name=users"] {
        assert!(args.contains(&flag.to_string()), "{flag} is not in {args:?}");
    }
    assert!(!read("deploy/rbac.yaml").contains("resourceNames"), "by default they are not named");
}

#[test]
fn a_certificate_of_a_class_is_granted_by_name_where_nothing_else_grants_it() {
    let secrets = |values: &[&str]| -> Vec<PolicyRule> {
        let objects = render(&[&["--set-json", CERTIFICATES], values].concat());
        let own = of_kind(&objects, "Role");
        let own = own.into_iter().filter(|role| role["metadata"]["namespace"] == "tunnels");
        let rules = own.flat_map(|role| typed::<Role>(role).rules.unwrap());
        rules.filter(|rule| rule.resources.iter().flatten().any(|of| of == "secrets")).collect()
    };
    let rules = secrets(&["--set", "watch.namespaces={a}"]);
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].resource_names.as_deref(), Some(&["front-tls".to_string()][..]));
    assert_eq!(rules[0].verbs, ["get", "list", "watch"]);
    assert!(secrets(&[]).is_empty(), "the ClusterRole has it");
}

#[test]
fn what_replicas_share_is_granted_in_the_own_namespace_only() {
    for values in [&[][..], &["--set", "watch.namespaces={a,tunnels}"]] {
        let objects = render(values);
        let shared = ["leases", "configmaps", "pods"];
        let grants = |role: &Value, resource: &str| {
            let rules = role["rules"].as_array().unwrap();
            rules
                .iter()
                .any(|rule| rule["resources"].as_array().unwrap().contains(&json!(resource)))
        };
        let roles = of_kind(&objects, "Role").into_iter().chain(of_kind(&objects, "ClusterRole"));
        for role in roles {
            let own = role["metadata"]["name"] == "edge-adit" && role["kind"] == "Role";
            for resource in shared {
                assert_eq!(grants(role, resource), own, "{resource} in {role}");
            }
            assert!(!own || role["metadata"]["namespace"] == "tunnels");
        }
    }
}

#[test]
fn several_replicas_are_kept_apart_and_are_not_evicted_together() {
    let objects = render(&[]);
    let deployment: Deployment = typed(the(&objects, "Deployment"));
    let spec = deployment.spec.unwrap();
    assert_eq!(spec.replicas, Some(2));
    let pod = spec.template.spec.unwrap();
    let spread = pod.topology_spread_constraints.unwrap().remove(0);
    assert_eq!(spread.topology_key, "kubernetes.io/hostname");
    assert_eq!(spread.when_unsatisfiable, "ScheduleAnyway");
    let selector = spec.selector.match_labels;
    assert_eq!(spread.label_selector.unwrap().match_labels, selector);
    let budget: PodDisruptionBudget = typed(the(&objects, "PodDisruptionBudget"));
    let budget = budget.spec.unwrap();
    assert_eq!(budget.selector.unwrap().match_labels, selector);
    assert_eq!(budget.max_unavailable, Some(IntOrString::Int(1)));
    for alone in [&["--set", "replicaCount=1"][..], &["--set", "pdb.enabled=false"]] {
        assert!(of_kind(&render(alone), "PodDisruptionBudget").is_empty(), "{alone:?}");
    }
}

#[test]
fn the_admission_policies_ask_the_controllers_account_alone_and_each_is_bound() {
    use k8s_openapi::api::admissionregistration::v1 as admission;
    for (values, account) in [
        (&[][..], "system:serviceaccount:tunnels:edge-adit"),
        (
            &["--set", "serviceAccount.create=false,serviceAccount.name=mine"],
            "system:serviceaccount:tunnels:mine",
        ),
    ] {
        let objects = render(values);
        let policies = of_kind(&objects, "ValidatingAdmissionPolicy");
        assert_eq!(policies.len(), 3);
        let bound: Vec<_> = of_kind(&objects, "ValidatingAdmissionPolicyBinding")
            .into_iter()
            .map(|binding| {
                typed::<admission::ValidatingAdmissionPolicyBinding>(binding).spec.unwrap()
            })
            .collect();
        for policy in policies {
            let spec: admission::ValidatingAdmissionPolicy = typed(policy);
            let spec = spec.spec.unwrap();
            assert_eq!(spec.failure_policy.as_deref(), Some("Fail"));
            let conditions = spec.match_conditions.unwrap();
            let asks = format!("request.userInfo.username == \"{account}\"");
            assert_eq!(conditions.iter().map(|c| &*c.expression).collect::<Vec<_>>(), [asks]);
            let binding = bound.iter().find(|b| b.policy_name.as_deref() == Some(name(policy)));
            let actions = binding.unwrap().validation_actions.clone().unwrap();
            assert_eq!(actions, ["Deny"], "{}", name(policy));
        }
    }
    let off = render(&["--set", "admissionPolicy.enabled=false"]);
    assert!(of_kind(&off, "ValidatingAdmissionPolicy").is_empty());
    let plain = documents(&read("deploy/install.yaml"));
    assert_eq!(of_kind(&plain, "ValidatingAdmissionPolicy").len(), 3);
}

/// What a NetworkPolicy lets in: ports, and from where.
fn ingress(values: &[&str]) -> Vec<(Value, Option<Value>)> {
    let on = [&["--set", "networkPolicy.enabled=true"], values].concat();
    let objects = render(&on);
    let rules = the(&objects, "NetworkPolicy")["spec"]["ingress"].as_array().unwrap().clone();
    rules.into_iter().map(|rule| (rule["ports"].clone(), rule.get("from").cloned())).collect()
}

#[test]
fn the_network_policy_opens_front_and_allocated_ports_and_the_admin_port_to_whom_it_names() {
    assert!(of_kind(&render(&[]), "NetworkPolicy").is_empty(), "off by default");
    let front = json!([{"port": "http", "protocol": "TCP"}, {"port": "https", "protocol": "TCP"}]);
    let range = |from: u16, to: u16| {
        ["TCP", "UDP"].map(|kind| json!({"port": from, "endPort": to, "protocol": kind}))
    };
    let everywhere = Some(json!([{"namespaceSelector": {}}]));
    let rules = ingress(&[]);
    assert_eq!(rules, [(front.clone(), None), (json!(range(20000, 29999)), everywhere.clone())]);
    let monitoring = json!([{"namespaceSelector": {"matchLabels": {"a": "b"}}}]);
    let office = json!({"ipBlock": {"cidr": "192.0.2.0/24"}});
    let rules = ingress(&[
        "--set-json",
        &format!("networkPolicy.metrics.from={monitoring}"),
        "--set-json",
        &format!("networkPolicy.front.from=[{office}]"),
        "--set-json",
        r#"classes=[{"name":"a","namespaces":{"all":true},"ports":{"allocate":"30000-30009"}},{"name":"b","namespaces":{"all":true},"ports":{"bind":"1-9","allocate":31000}}]"#,
    ]);
    let from = rules[0].1.as_ref().unwrap().as_array().unwrap();
    assert_eq!((&rules[0].0, &from[0], from.len()), (&front, &office, 2));
    let labels = &from[1]["podSelector"]["matchLabels"];
    assert_eq!(labels["app.kubernetes.io/component"], "test", "helm test goes through the front");
    assert_eq!(rules[1], (json!([{"port": "admin", "protocol": "TCP"}]), Some(monitoring)));
    let ranges = [range(30000, 30009), range(31000, 31000)].concat();
    assert_eq!(rules[2], (json!(ranges), everywhere));
    let egress = r#"networkPolicy.egress=[{"to":[{"ipBlock":{"cidr":"10.0.0.0/8"}}]}]"#;
    for (more, types) in
        [(&[][..], json!(["Ingress"])), (&["--set-json", egress], json!(["Ingress", "Egress"]))]
    {
        let objects = render(&[&["--set", "networkPolicy.enabled=true"], more].concat());
        assert_eq!(the(&objects, "NetworkPolicy")["spec"]["policyTypes"], types);
    }
}

#[test]
fn a_digest_wins_over_the_tag_and_a_global_registry_over_the_own() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let image = |values: &[&str]| pod_of_chart(values).containers[0].image.clone().unwrap();
    assert_eq!(image(&["--set", "image.tag=x"]), "ghcr.io/adit-dev/adit:x");
    assert_eq!(
        image(&[
            "--set",
            "image.tag=x",
            "--set",
            &format!("image.digest={digest}"),
            "--set",
            "global.imageRegistry=reg.example/mirror"
        ]),
        format!("reg.example/mirror/adit-dev/adit@{digest}")
    );
}

#[test]
fn works_as_a_subchart() {
    let parent = tempfile::tempdir().unwrap();
    let charts = parent.path().join("charts");
    std::fs::create_dir(&charts).unwrap();
    copy("charts/adit", charts.join("adit"));
    copy("charts/adit-crds", charts.join("adit-crds"));
    let version = env!("CARGO_PKG_VERSION");
    let dependency =
        |name| format!("- {{name: {name}, version: {version}, condition: {name}.enabled}}\n");
    std::fs::write(
        parent.path().join("Chart.yaml"),
        format!(
            "apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies:\n{}{}",
            dependency("adit"),
            dependency("adit-crds")
        ),
    )
    .unwrap();
    let parent = parent.path().to_str().unwrap();
    let on = [
        "--set",
        "global.imageRegistry=reg.example",
        "--set",
        "global.other.key=1",
        "--set",
        "adit.enabled=true",
        "--set",
        "adit.crds.install=false",
        "--set",
        "adit-crds.enabled=true",
    ];
    let objects = try_render(parent, &on).unwrap_or_else(|e| panic!("{e}"));
    let deployment: Deployment = typed(the(&objects, "Deployment"));
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    assert!(pod.containers[0].image.as_ref().unwrap().starts_with("reg.example/adit-dev/adit:"));
    assert_eq!(of_kind(&objects, "CustomResourceDefinition").len(), 1);
    let off = ["--set", "adit.enabled=false", "--set", "adit-crds.enabled=false"];
    assert!(try_render(parent, &off).unwrap_or_else(|e| panic!("{e}")).is_empty());
}

fn pod_of_chart(values: &[&str]) -> PodSpec {
    let deployment: Deployment = typed(the(&render(values), "Deployment"));
    deployment.spec.unwrap().template.spec.unwrap()
}

/// The schema and values.yaml list the same keys, as deep as the schema closes its objects.
fn assert_same_keys(schema: &Value, values: &Value, path: &str) {
    let (Some(known), Some(values)) =
        (schema.get("properties").and_then(Value::as_object), values.as_object())
    else {
        return;
    };
    for key in values.keys() {
        assert!(known.contains_key(key), "{path}.{key} is not in the schema");
    }
    for (key, schema) in known {
        match values.get(key) {
            Some(value) => assert_same_keys(schema, value, &format!("{path}.{key}")),
            // A parent chart sets these; here they would only pretend to do something.
            None => assert!(
                ["enabled", "global"].contains(&key.as_str()),
                "{path}.{key} has no default"
            ),
        }
    }
}
