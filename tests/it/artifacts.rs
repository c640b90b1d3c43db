//! What is installed from the tree without being run by the other tests: the charts, the manifests
//! rendered from them, the examples, the image's build line.

mod chart;
mod envelope;
mod render;
mod sound;

use std::collections::BTreeMap;
use std::process::Command;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use render::{
    assert_known_to_the_api, documents, kind, name, of_kind, read, repository, the, try_render,
    typed,
};
use sound::{assert_restricted, assert_roles_are_narrow};

pub use render::helm_template;

const CRD: &str = "wstunnels.adit.dev.yaml";

#[test]
fn uninstalling_either_chart_keeps_the_crd() {
    let generated = documents(&read(&format!("crds/{CRD}"))).remove(0);
    for chart in ["charts/adit", "charts/adit-crds"] {
        let objects = try_render(chart, &[]).unwrap_or_else(|e| panic!("{e}"));
        let crd = the(&objects, "CustomResourceDefinition");
        let keep = crd.pointer("/metadata/annotations/helm.sh~1resource-policy");
        assert_eq!(keep, Some(&json!("keep")), "{chart}");
        assert_eq!(crd["spec"], generated["spec"], "{chart} installs another schema");
        // kubectl apply keeps the object in an annotation, and all annotations have 256 KiB.
        assert!(crd.to_string().len() < 200 * 1024, "too big for kubectl apply");
    }
}

#[test]
fn generated_files_are_what_would_be_generated_now() {
    let out = tempfile::tempdir().unwrap();
    let status = Command::new(repository().join("deploy/render"))
        .arg(out.path())
        .env("HELM", crate::support::tools::path("helm"))
        .env("ADIT", env!("CARGO_BIN_EXE_adit"))
        .status()
        .unwrap();
    assert!(status.success());
    for path in [
        format!("crds/{CRD}"),
        format!("charts/adit/files/{CRD}"),
        format!("charts/adit-crds/files/{CRD}"),
        "deploy/install.yaml".to_string(),
        "deploy/rbac.yaml".to_string(),
    ] {
        let now = std::fs::read_to_string(out.path().join(&path)).unwrap();
        assert!(now == read(&path), "{path} is out of date: HELM=.. ADIT=.. deploy/render");
    }
}

#[test]
fn the_plain_manifests_install_into_a_restricted_namespace() {
    let install = documents(&read("deploy/install.yaml"));
    let namespace = the(&install, "Namespace");
    assert_eq!(
        namespace.pointer("/metadata/labels/pod-security.kubernetes.io~1enforce"),
        Some(&json!("restricted"))
    );
    assert_eq!(kind(&install[0]), "Namespace", "it has to exist before what is in it");
    for object in install.iter().chain(&documents(&read("deploy/rbac.yaml"))) {
        assert_known_to_the_api(object);
        if let Some(inside) = object.pointer("/metadata/namespace") {
            assert_eq!(inside, &namespace["metadata"]["name"], "{}", name(object));
        }
    }
    assert_roles_are_narrow(&install);
    let rights = |objects: &[Value]| -> BTreeMap<String, Value> {
        let roles = of_kind(objects, "ClusterRole").into_iter();
        roles.map(|role| (name(role).to_string(), role["rules"].clone())).collect()
    };
    assert_eq!(rights(&install), rights(&documents(&read("deploy/rbac.yaml"))));
}

#[test]
fn the_examples_run_restricted_and_name_this_version() {
    let own = format!("ghcr.io/adit-dev/adit:{}", env!("CARGO_PKG_VERSION"));
    for file in ["hello", "sidecar", "job-sidecar"] {
        let objects = documents(&read(&format!("deploy/examples/{file}.yaml")));
        for object in &objects {
            assert_known_to_the_api(object);
            let pod = match kind(object) {
                "Deployment" => typed::<Deployment>(object).spec.unwrap().template.spec.unwrap(),
                "Job" => typed::<Job>(object).spec.unwrap().template.spec.unwrap(),
                _ => continue,
            };
            assert_restricted(&pod);
            for sidecar in pod.init_containers.iter().flatten() {
                assert_eq!(sidecar.image.as_ref(), Some(&own), "{file}");
                assert_eq!(sidecar.restart_policy.as_deref(), Some("Always"), "{file}");
                for mount in sidecar.volume_mounts.iter().flatten() {
                    assert!(mount.sub_path.is_none(), "{file}: subPath freezes the file");
                }
            }
        }
    }
    let tunnel = documents(&read("deploy/examples/quickstart.yaml")).remove(0);
    assert_eq!((kind(&tunnel), name(&tunnel)), ("WsTunnel", "quickstart"));
}

#[test]
fn charts_have_the_version_of_the_package() {
    for chart in ["charts/adit/Chart.yaml", "charts/adit-crds/Chart.yaml"] {
        let chart = documents(&read(chart)).remove(0);
        assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn both_ways_to_the_image_build_alike() {
    let line = "RUSTFLAGS=-C target-feature=+crt-static \
                cargo build --release --locked --target x86_64-unknown-linux-gnu";
    for file in ["Dockerfile", "deploy/image.sh"] {
        let text =
            read(file).replace("$target", "x86_64-unknown-linux-gnu").replace(['"', '\\'], "");
        let words: Vec<_> = text.split_whitespace().collect();
        assert!(words.join(" ").contains(line), "{file} builds in another way");
        assert!(text.contains("65532:65532"), "{file} has another user");
    }
}
