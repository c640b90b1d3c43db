//! The front, opened to clients outside of the cluster.

use std::time::Duration;

use crate::cluster::{Node, SYSTEM};
use crate::support::process::Process;

const UPGRADE: &str = "helm upgrade adit charts/adit --namespace adit-system --wait \
                       --set front.service.type=NodePort";

/// A web server with long connections, beside the one of the examples.
const OTHER: &str = "
apiVersion: v1
kind: Service
metadata: {name: other}
spec:
  selector: {app: other}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other}
spec:
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: other}}
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: app
        image: localhost/app:test
        imagePullPolicy: Never
        args: [serve]
        readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
";

pub fn the_chart_refuses_a_node_port_until_open_proxies_are_allowed(node: &Node) {
    let said = node.try_sh(UPGRADE).expect_err("the front was opened");
    assert!(said.contains("front.service.type: NodePort"), "{said}");
    assert!(said.contains("set front.allowOpenProxies=true"), "{said}");
    let kind = node.sh(&format!("kubectl -n {SYSTEM} get service adit -o jsonpath={{.spec.type}}"));
    assert_eq!(kind, "ClusterIP");
}

pub fn a_gost_outside_reaches_a_pod_through_the_node_port(node: &Node) {
    node.sh(&format!("{UPGRADE} --set front.allowOpenProxies=true"));
    node.sh("kubectl apply -f deploy/examples/hello.yaml");
    node.apply(OTHER);
    node.sh("kubectl rollout status deploy/hello --timeout=60s");
    node.sh("kubectl rollout status deploy/other --timeout=60s");
    let gost = Gost::to_the_node_port(node);
    // Names as a pod of the tunnel's namespace writes them: they are resolved at the far end.
    assert_eq!(gost.gets(node, "http://hello/"), "hello from the cluster\n");
    assert!(gost.gets(node, "http://other.team.svc/").starts_with("hello from other-"));
    let bytes = node.sh(&format!("app get 'http://other/bytes?n=33554432' {PROXY} | wc -c"));
    assert_eq!(bytes.trim(), "33554432");
}

const PROXY: &str = "http://127.0.0.1:1080";

/// A gost on the host beside the cluster, with an HTTP proxy that goes through the tunnel.
pub struct Gost(Process);

impl Gost {
    pub fn to_the_node_port(node: &Node) -> Self {
        let path = "{.spec.ports[0].nodePort}";
        let port = node.sh(&format!("kubectl -n {SYSTEM} get service adit -o jsonpath='{path}'"));
        let front = format!("ws://{}:{port}?path=/quickstart", node.env("NODE_ADDRESS"));
        println!("      $ gost -L {PROXY} -F '{front}' &");
        Self(Process::spawn(&mut node.command("gost", &["-L", PROXY, "-F", &front])))
    }

    /// The body that a URL has through the tunnel.
    pub fn gets(&self, node: &Node, url: &str) -> String {
        let line = format!("app get -within 30s {url} {PROXY}");
        println!("      $ {line}");
        node.try_sh(&line).unwrap_or_else(|said| panic!("{said}\ngost:\n{}", self.0.printed()))
    }

    /// Until the tunnel serves again.
    pub fn until_gets(&self, node: &Node, url: &str, wanted: &str) {
        node.until_prints(&format!("app get {url} {PROXY}"), wanted, Duration::from_secs(30));
    }
}
