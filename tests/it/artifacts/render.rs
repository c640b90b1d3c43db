//! Runs Helm on the charts and reads what comes out as the types of the Kubernetes API.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use k8s_openapi::api::{admissionregistration, apps, batch, core, networking, policy, rbac};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use serde_json::Value;

use crate::support::tools;

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn helm(args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(tools::path("helm"))
        .args(args)
        .current_dir(repository())
        // The caller's plugins, repositories and cluster are none of the charts' business.
        .env("HELM_CONFIG_HOME", home.path())
        .env("HELM_DATA_HOME", home.path())
        .env("HELM_CACHE_HOME", home.path())
        .env_remove("KUBECONFIG")
        .output()
        .unwrap()
}

/// Renders a chart as release `edge` in namespace `tunnels`; `Err` is what Helm complained about.
pub fn try_render(chart: &str, values: &[&str]) -> Result<Vec<Value>, String> {
    let values = [&["--skip-tests"], values].concat();
    try_template("edge", chart, "tunnels", &values).map(|text| documents(&text))
}

/// What `helm test` makes for release `edge` of the chart `adit`, in its order.
pub fn render_tests(values: &[&str]) -> Vec<Value> {
    let text = helm_template("edge", "tunnels", values);
    let is_test = |object: &Value| object.pointer("/metadata/annotations/helm.sh~1hook").is_some();
    documents(&text).into_iter().filter(is_test).collect()
}

/// The text of the chart `adit` as some release.
pub fn helm_template(release: &str, namespace: &str, values: &[&str]) -> String {
    try_template(release, "charts/adit", namespace, values).unwrap_or_else(|e| panic!("{e}"))
}

fn try_template(
    release: &str,
    chart: &str,
    namespace: &str,
    values: &[&str],
) -> Result<String, String> {
    // Some builds of Helm take a cluster that they cannot ask for a very old one.
    let mut args = vec!["template", release, chart, "--namespace", namespace];
    args.extend(["--kube-version", "1.36.3"]);
    args.extend(values);
    let output = helm(&args);
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    Ok(String::from_utf8(output.stdout).unwrap())
}

pub fn render(values: &[&str]) -> Vec<Value> {
    try_render("charts/adit", values).unwrap_or_else(|e| panic!("{values:?}: {e}"))
}

/// The documents of a YAML file, without the empty ones.
pub fn documents(yaml: &str) -> Vec<Value> {
    serde_yaml::from_multiple::<Value>(yaml)
        .unwrap_or_else(|e| panic!("{e}"))
        .into_iter()
        .filter(|document| !document.is_null())
        .collect()
}

pub fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or("")
}

pub fn of_kind<'a>(objects: &'a [Value], wanted: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| kind(object) == wanted).collect()
}

pub fn the<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    let found = of_kind(objects, wanted);
    assert_eq!(found.len(), 1, "expected one {wanted}");
    found[0]
}

/// Fails for a field that the API does not know: a server would drop it or refuse the object.
pub fn assert_known_to_the_api(object: &Value) {
    let version = object.get("apiVersion").and_then(Value::as_str).unwrap_or("");
    let back = match (version, kind(object)) {
        ("v1", "Pod") => back::<core::v1::Pod>(object),
        ("v1", "ConfigMap") => back::<core::v1::ConfigMap>(object),
        ("v1", "Namespace") => back::<core::v1::Namespace>(object),
        ("v1", "Service") => back::<core::v1::Service>(object),
        ("v1", "ServiceAccount") => back::<core::v1::ServiceAccount>(object),
        ("apps/v1", "Deployment") => back::<apps::v1::Deployment>(object),
        ("batch/v1", "Job") => back::<batch::v1::Job>(object),
        ("networking.k8s.io/v1", "Ingress") => back::<networking::v1::Ingress>(object),
        ("networking.k8s.io/v1", "NetworkPolicy") => back::<networking::v1::NetworkPolicy>(object),
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy") => {
            back::<admissionregistration::v1::ValidatingAdmissionPolicy>(object)
        }
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding") => {
            back::<admissionregistration::v1::ValidatingAdmissionPolicyBinding>(object)
        }
        ("policy/v1", "PodDisruptionBudget") => back::<policy::v1::PodDisruptionBudget>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => back::<rbac::v1::ClusterRole>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => {
            back::<rbac::v1::ClusterRoleBinding>(object)
        }
        ("rbac.authorization.k8s.io/v1", "Role") => back::<rbac::v1::Role>(object),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => back::<rbac::v1::RoleBinding>(object),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => {
            back::<apiextensions::CustomResourceDefinition>(object)
        }
        (version, kind) => panic!("no type for {version} {kind}: add it here"),
    };
    if let Some(path) = lost(object, &back) {
        panic!("{} {}: the API does not know {path}", kind(object), name(object));
    }
}

pub fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("")
}

pub fn typed<T: serde::de::DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone())
        .unwrap_or_else(|e| panic!("{} {}: {e}", kind(object), name(object)))
}

fn back<T: serde::de::DeserializeOwned + serde::Serialize>(object: &Value) -> Value {
    serde_json::to_value(typed::<T>(object)).unwrap()
}

/// The first path of `before` that is not in `after`. Typed fields skip what is empty.
fn lost(before: &Value, after: &Value) -> Option<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().find_map(|(key, value)| {
            let path = match after.get(key) {
                Some(found) => lost(value, found)?,
                None if is_empty(value) => return None,
                None => String::new(),
            };
            Some(format!(".{key}{path}"))
        }),
        (Value::Array(before), Value::Array(after)) => before
            .iter()
            .zip(after)
            .enumerate()
            .find_map(|(i, (before, after))| Some(format!("[{i}]{}", lost(before, after)?))),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Copies a chart, to render it from within another.
pub fn copy(from: &str, to: PathBuf) {
    let status =
        Command::new("cp").arg("-r").arg(repository().join(from)).arg(to).status().unwrap();
    assert!(status.success());
}
