//! A process that hangs is restarted.

use std::time::Duration;

use crate::cluster::{Node, SYSTEM, TENANT};
use crate::front::{Gost, QUICKSTART};
use crate::sidecar;

/// Namespace, selector, and where the pod's status has the container.
const PROCESSES: [(&str, &str, &str); 2] = [
    (SYSTEM, "app.kubernetes.io/name=adit", "containerStatuses"),
    (TENANT, "app=app", "initContainerStatuses"),
];

/// Three failed probes ten seconds apart, five seconds of grace, and the start. The pods' own grace
/// periods (80 s and 30 s) would not fit.
const RESTART: Duration = Duration::from_secs(65);

pub fn stopped_processes_are_restarted_without_the_grace_of_a_drain(node: &Node) {
    let gost = Gost::to_the_node_port(node, QUICKSTART, "/quickstart");
    assert_eq!(gost.gets(node, "http://hello/"), "hello from the cluster\n");
    // Both at once: the time is the kubelet's.
    for process in PROCESSES {
        assert_eq!(node.sh(&status(process, "{.restartCount} {.ready}")), "0 true");
        let container = node.sh(&status(process, "{.containerID}"));
        let pid = pid(node, container.trim_start_matches("containerd://"));
        println!("      $ kill -s STOP {pid}  # in {}", process.0);
        node.script("inside", &["kill", "-s", "STOP", &pid]);
    }
    for process in PROCESSES {
        node.until_prints(&status(process, "{.restartCount} {.ready}"), "1 true", RESTART);
    }
    gost.until_gets(node, "http://hello/", "hello from the cluster");
    sidecar::until_the_app_gets(node, "hello from the cluster");
}

/// The line that prints fields of the container's status.
fn status((namespace, selector, list): (&str, &str, &str), fields: &str) -> String {
    let fields = fields.replace("{.", &format!("{{.items[0].status.{list}[0]."));
    format!("kubectl -n {namespace} get pods -l {selector} -o jsonpath='{fields}'")
}

/// The process of a container, as the node numbers it.
fn pid(node: &Node, container: &str) -> String {
    let socket = "/run/containerd/containerd.sock";
    let ctr = [node.env("CTR"), "--address", socket, "--namespace", "k8s.io", "tasks", "list"];
    let tasks = node.script("inside", &ctr);
    let words = tasks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut pids = words.filter(|words| words.first() == Some(&container)).map(|words| words[1]);
    pids.next().unwrap_or_else(|| panic!("no task {container} in:\n{tasks}")).to_string()
}
