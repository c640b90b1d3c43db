//! The front, opened to clients outside of the cluster.

use std::time::Duration;

use crate::cluster::{Node, SYSTEM, TENANT};
use crate::sidecar;
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

/// A class whose tunnels need no users.
const OPEN: &str = r#"--set-json 'classes=[{"name":"adit","default":true,"namespaces":{"all":true},"requireAuth":false}]'"#;

pub fn the_chart_refuses_a_node_port_beside_a_class_of_open_proxies(node: &Node) {
    let said = node.try_sh(&format!("{UPGRADE} {OPEN}")).expect_err("the front was opened");
    assert!(said.contains("front.service.type: NodePort"), "{said}");
    assert!(said.contains("set front.allowOpenProxies=true"), "{said}");
    let kind = node.sh(&format!("kubectl -n {SYSTEM} get service adit -o jsonpath={{.spec.type}}"));
    assert_eq!(kind, "ClusterIP");
}

pub fn a_gost_outside_reaches_a_pod_through_the_node_port(node: &Node) {
    node.sh(UPGRADE);
    node.sh("kubectl apply -f deploy/examples/hello.yaml");
    node.apply(OTHER);
    node.sh("kubectl rollout status deploy/hello --timeout=60s");
    node.sh("kubectl rollout status deploy/other --timeout=60s");
    let gost = Gost::to_the_node_port(node, QUICKSTART, "/quickstart");
    // Names as a pod of the tunnel's namespace writes them: they are resolved at the far end.
    assert_eq!(gost.gets(node, "http://hello/"), "hello from the cluster\n");
    assert!(gost.gets(node, "http://other.team.svc/").starts_with("hello from other-"));
    let bytes = node.sh(&format!("app get 'http://other/bytes?n={BYTES}' {PROXY} | wc -c"));
    assert_eq!(bytes.trim(), BYTES.to_string());
}

/// A tunnel that a Service of its own leads to.
const EXPOSED: &str = "
apiVersion: adit.dev/v1alpha1
kind: WsTunnel
metadata: {name: lend}
spec:
  services:
  - name: web
    addr: ':8000'
    handler: {type: tcp}
    listener: {type: tcp}
    forwarder: {nodes: [{name: hello, serviceRef: {name: hello, port: http}}]}
    expose: {}
";

pub fn an_exposed_service_is_reached_by_name_and_goes_with_its_tunnel(node: &Node) {
    node.apply(EXPOSED);
    node.sh("kubectl wait --for=condition=Ready wst/lend --timeout=20s");
    let get = format!("{} wget -qO- http://lend-web:8000/", sidecar::IN_THE_APP);
    node.until_prints(&get, "hello from the cluster", Duration::from_secs(20));
    node.sh("kubectl delete wst lend --timeout=10s");
    let left =
        "left=$(kubectl get services,endpointslices -l adit.dev/expose -o name); echo $left end";
    node.until_prints(&format!("{left}; test -z \"$left\""), "end", Duration::from_secs(60));
}

pub fn what_helm_says_after_an_installation_works(node: &Node) {
    let notes = node.sh(&format!("helm get notes adit --namespace {SYSTEM}"));
    let from = notes.find("kubectl apply -f - <<EOF").expect("a tunnel to begin with");
    let wait = "kubectl wait --for=condition=Ready wst/hello";
    let to = from + notes[from..].find(wait).expect("a line that waits for it");
    node.sh(&notes[from..to + wait.len()]);
    let gost = Gost::to_the_node_port(node, "me:change-me@", "/hello");
    assert_eq!(gost.gets(node, "http://hello/"), "hello from the cluster\n");
    drop(gost);
    let stranger = Gost::to_the_node_port(node, "", "/hello");
    let said = stranger.try_get(node, "http://hello/").expect_err("let in without a password");
    assert!(!said.contains("hello from the cluster"), "{said}");
    node.sh("kubectl delete wst hello --timeout=10s");
}

pub fn the_metrics_service_tells_what_went_through(node: &Node) {
    let get = |host: &str| {
        node.sh(&format!("{} wget -qO- http://{host}:9180/metrics", sidecar::IN_THE_APP))
    };
    assert!(get(&format!("adit-metrics.{SYSTEM}.svc")).contains("adit_build_info"));
    // Each replica tells what went through itself.
    let (only, path) = ("app.kubernetes.io/component=controller", "{.items[*].status.podIP}");
    let pods = node.sh(&format!("kubectl -n {SYSTEM} get pods -l {only} -o jsonpath='{path}'"));
    let replicas: Vec<_> = pods.split_whitespace().map(get).collect();
    assert_eq!(replicas.len(), 2, "{pods}");
    let quickstart = format!(r#"namespace="{TENANT}",service="web",tunnel="quickstart""#);
    let value = |series: String| -> f64 {
        let lines = replicas.iter().flat_map(|metrics| metrics.lines());
        let samples = lines.filter_map(|line| line.rsplit_once(' '));
        let values = samples.filter(|(name, _)| *name == series);
        let values: Vec<f64> = values.map(|(_, value)| value.parse().unwrap()).collect();
        assert_eq!(values.len(), 2, "{series} in:\n{replicas:?}");
        values.iter().sum()
    };
    assert!(value(format!("adit_listener_bound{{{quickstart}}}")) == 2.0);
    let down = value(format!(r#"adit_bytes_total{{direction="down",{quickstart}}}"#));
    assert!(down >= f64::from(BYTES), "{down} bytes went down");
    // The chart's rights are enough: the API server refused nothing.
    for metrics in replicas {
        assert!(!metrics.contains("\nadit_kube_denied_total{"), "{metrics}");
    }
}

/// Longer than any buffer on the way.
const BYTES: u32 = 32 << 20;
const PROXY: &str = "http://127.0.0.1:1080";

/// The user of the quickstart.
pub const QUICKSTART: &str = "me:change-me@";

/// A gost on the host beside the cluster, with an HTTP proxy that goes through the tunnel.
pub struct Gost(Process);

impl Gost {
    /// `user` ends with an `@`, or is empty.
    pub fn to_the_node_port(node: &Node, user: &str, tunnel: &str) -> Self {
        let path = "{.spec.ports[0].nodePort}";
        let port = node.sh(&format!("kubectl -n {SYSTEM} get service adit -o jsonpath='{path}'"));
        let front = format!("ws://{user}{}:{port}?path={tunnel}", node.env("NODE_ADDRESS"));
        println!("      $ gost -L {PROXY} -F '{front}' &");
        Self(Process::spawn(&mut node.command("gost", &["-L", PROXY, "-F", &front])))
    }

    /// The body that a URL has through the tunnel.
    pub fn gets(&self, node: &Node, url: &str) -> String {
        let line = format!("app get -within 30s {url} {PROXY}");
        println!("      $ {line}");
        node.try_sh(&line).unwrap_or_else(|said| panic!("{said}\ngost:\n{}", self.0.printed()))
    }

    /// The same without another try; what was said instead.
    fn try_get(&self, node: &Node, url: &str) -> Result<String, String> {
        self.0.prints("listening on");
        node.try_sh(&format!("app get {url} {PROXY}"))
    }

    /// Until the tunnel serves again.
    pub fn until_gets(&self, node: &Node, url: &str, wanted: &str) {
        node.until_prints(&format!("app get {url} {PROXY}"), wanted, Duration::from_secs(30));
    }
}
