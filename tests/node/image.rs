//! The image that `deploy/image.sh` has made, and the images of the workloads.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::cluster::{Node, script};
use crate::support::tools;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/adit-image.tar");
const MAKE: &str = "make it with deploy/image.sh";

/// Fails before the node is brought up when there is no image, or one of older sources.
pub fn assert_is_there() {
    let made = fs::metadata(IMAGE).unwrap_or_else(|e| panic!("{IMAGE}: {e}: {MAKE}"));
    let made = made.modified().unwrap();
    for source in ["src", "Cargo.toml", "Cargo.lock"] {
        let changed = newest(&Path::new(ROOT).join(source));
        assert!(changed <= made, "{IMAGE} is older than {source}: {MAKE}");
    }
}

fn newest(path: &Path) -> SystemTime {
    if !path.is_dir() {
        return fs::metadata(path).unwrap().modified().unwrap();
    }
    let entries = fs::read_dir(path).unwrap().map(|entry| newest(&entry.unwrap().path()));
    entries.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

pub fn the_image_holds_one_program_and_runs_it_as_a_number(node: &Node) {
    let layout = node.state().join("adit-image");
    fs::create_dir(&layout).unwrap();
    tar(&["-xf", IMAGE, "-C", layout.to_str().unwrap()]);
    let json = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blob = |descriptor: &Value| {
        layout.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"))
    };
    let manifest = json(&blob(&json(&layout.join("index.json"))["manifests"][0]));
    let config = json(&blob(&manifest["config"]));
    assert_eq!(config["config"]["User"], json!("65532:65532"), "a name cannot be proven non-root");
    assert_eq!(config["config"]["Entrypoint"], json!(["/adit"]));
    // From scratch: nothing below it.
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    let listed = tar(&["-tzf", blob(&manifest["layers"][0]).to_str().unwrap()]);
    let files: Vec<_> = listed.lines().filter(|name| !name.ends_with('/')).collect();
    assert_eq!(files, ["adit", "etc/ssl/certs/ca-certificates.crt"]);

    node.script("load-image", &[IMAGE]);
    let busybox = ["httpd", "nc", "sh", "sleep", "wget"];
    load(node, "docker.io/library/busybox:1.37", Path::new("/bin/busybox"), &busybox);
    load(node, "localhost/app:test", &tools::path("app"), &[]);
}

/// Gives the node an image of one static binary; `names` are links to it.
fn load(node: &Node, image: &str, binary: &Path, names: &[&str]) {
    let archive = node.state().join("workload.tar");
    let mut command = Command::new(script("image"));
    let status = command.arg(image).arg(&archive).arg(binary).args(names).status().unwrap();
    assert!(status.success(), "no image of {}", binary.display());
    node.script("load-image", &[archive.to_str().unwrap()]);
}

fn tar(args: &[&str]) -> String {
    let output = Command::new("tar").args(args).output().unwrap();
    assert!(output.status.success(), "tar {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
