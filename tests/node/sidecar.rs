//! adit as a native sidecar, in a Deployment and in a Job.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::cluster::Node;
use crate::readme;

/// Runs a command in the container of the app.
pub const IN_THE_APP: &str = "kubectl exec --stdin deploy/app --container=app --";
const SIDECAR: &str = ".status.initContainerStatuses[0]";

pub fn an_app_reaches_a_service_through_its_sidecar(node: &Node) {
    readme::run(node, "examples/sidecar.yaml");
    node.sh("kubectl rollout status deploy/app --timeout=60s");
    let logs = "kubectl logs deploy/app -c app";
    node.until_prints(logs, "hello from the cluster", Duration::from_secs(30));
}

/// Waits until a request of the app itself has this answer.
pub fn until_the_app_gets(node: &Node, wanted: &str) {
    let line = format!("{IN_THE_APP} wget -qO- http://127.0.0.1:8081/");
    // The kubelet mounts a changed ConfigMap when it next looks after the pod.
    node.until_prints(&line, wanted, Duration::from_secs(60));
}

pub fn an_edit_of_the_config_map_takes_effect_and_an_open_tunnel_lives(node: &Node) {
    edit(node, "hello:80", "other:80");
    until_the_app_gets(node, "hello from other-");
    let mut open = Open::tunnel(node);
    let answer = open.asks();
    edit(node, "other:80", "hello:80");
    until_the_app_gets(node, "hello from the cluster");
    assert_eq!(open.asks(), answer, "the open tunnel was cut, or led elsewhere");
    assert_eq!(restarts(node), "0", "the edit was taken over by a restart");
}

/// What `kubectl edit configmap` does, without a person.
fn edit(node: &Node, from: &str, to: &str) {
    let editor = format!("KUBE_EDITOR='sed -i s/{from}/{to}/'");
    node.sh(&format!("{editor} kubectl edit configmap app-adit"));
}

/// How often the sidecar was restarted.
pub fn restarts(node: &Node) -> String {
    let path = format!("jsonpath='{{.items[0]{SIDECAR}.restartCount}}'");
    node.sh(&format!("kubectl get pods --selector=app=app --output={path}"))
}

pub fn a_job_with_a_sidecar_completes(node: &Node) {
    node.sh("kubectl apply -f deploy/examples/job-sidecar.yaml");
    node.sh("kubectl wait --for=condition=Complete job/fetch --timeout=60s");
    assert_eq!(node.sh("kubectl logs job/fetch -c app"), "hello from the cluster\n");
}

/// A connection from the app's container through the tunnel, which stays open between requests.
struct Open {
    client: Child,
    requests: ChildStdin,
    lines: Receiver<String>,
}

impl Open {
    fn tunnel(node: &Node) -> Self {
        let line = format!("exec {IN_THE_APP} nc 127.0.0.1 8081");
        println!("      $ {line}");
        let mut command = node.command("sh", &["-euc", &line]);
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(client.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            answers.lines().map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        Self { requests: client.stdin.take().unwrap(), client, lines }
    }

    /// The first line of the body that a request over the open connection brings.
    fn asks(&mut self) -> String {
        self.requests.write_all(b"GET / HTTP/1.1\r\nHost: other\r\n\r\n").unwrap();
        self.requests.flush().unwrap();
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(20));
            let line = line.expect("an answer through the open tunnel");
            if line.starts_with("hello from ") {
                return line;
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}
