//! Several replicas of one installation, each a process on a host of its own with a Pod object.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use serde_json::{Value, json};

use super::controller::{knock, metric};
use crate::support::cluster::{Cluster, OPEN_CLASSES};
use crate::support::http;
use crate::support::lan::{Host, Lan};
use crate::support::process::Process;
use crate::support::wait::eventually;

/// The namespace of deploy/rbac.yaml.
const SYSTEM: &str = "adit-system";

/// The replicas.
pub struct Fleet<'a> {
    cluster: &'a Cluster,
    instance: String,
    kubeconfig: PathBuf,
    /// What every replica is told.
    flags: Vec<String>,
    // Processes end before their hosts, and hosts before their network.
    pub replicas: Vec<Replica>,
    pub lan: Lan,
}

/// One of them.
pub struct Replica {
    /// Its Pod's name.
    pub pod: String,
    pub process: Process,
    pub host: Host,
}

impl<'a> Fleet<'a> {
    /// Starts `count` replicas for some namespaces and waits until all are ready.
    pub fn start(cluster: &'a Cluster, namespaces: &[&str], count: usize) -> Self {
        Self::with(cluster, namespaces, count, &["--shutdown-delay=1s", "--drain-timeout=5s"])
    }

    /// The same, with flags.
    pub fn with(cluster: &'a Cluster, namespaces: &[&str], count: usize, flags: &[&str]) -> Self {
        let lan = Lan::new();
        let kubeconfig = cluster.controller_kubeconfig_at(lan.forward(cluster.port()));
        let instance = namespaces[0].to_string();
        let mut flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        flags.push(format!("--namespace={}", namespaces.join(",")));
        if !flags.iter().any(|flag| flag.starts_with("--classes")) {
            flags.push(OPEN_CLASSES.into());
        }
        let mut fleet = Self { cluster, instance, kubeconfig, flags, replicas: vec![], lan };
        for number in 0..count {
            let (pod, host) = (format!("{}-pod-{number}", fleet.instance), fleet.lan.host());
            make_pod(cluster, &pod, host.addr);
            let process = Process::spawn(&mut fleet.command(&pod, &host));
            fleet.replicas.push(Replica { pod, process, host });
        }
        for replica in &fleet.replicas {
            fleet.is_ready(replica);
        }
        fleet
    }

    fn command(&self, pod: &str, host: &Host) -> std::process::Command {
        let mut command = host.command(env!("CARGO_BIN_EXE_adit"));
        command.args([
            "controller",
            &format!("--kubeconfig={}", self.kubeconfig.display()),
            &format!("--instance={}", self.instance),
            &format!("--pod-name={pod}"),
            &format!("--pod-namespace={SYSTEM}"),
            &format!("--pod-ip={}", host.addr),
            "--log-format=text",
        ]);
        command.args(&self.flags);
        command
    }

    /// Starts a replica that has ended again, and waits until it is ready.
    pub fn start_again(&mut self, number: usize) {
        self.spawn(number);
        self.is_ready(&self.replicas[number]);
    }

    /// Kills every process and starts it again, as after a fault of all nodes.
    pub fn restart(&mut self) {
        for number in 0..self.replicas.len() {
            self.replicas[number].process.signal("KILL");
            self.spawn(number);
        }
    }

    fn spawn(&mut self, number: usize) {
        let replica = &self.replicas[number];
        let process = Process::spawn(&mut self.command(&replica.pod, &replica.host));
        self.replicas[number].process = process;
    }

    fn is_ready(&self, replica: &Replica) {
        eventually("the replica is ready", Duration::from_secs(20), || {
            http::get(replica.admin(), "/readyz").is_ok_and(|response| response.status == 200)
        });
        self.pod_is_ready(replica, true);
    }

    /// The test itself, as replicas see it: where they reach the API server.
    pub fn gateway(&self) -> IpAddr {
        self.lan.gateway()
    }

    /// What the kubelet says of a replica.
    pub fn pod_is_ready(&self, replica: &Replica, ready: bool) {
        pod_is_ready(self.cluster, &replica.pod, ready);
    }

    /// Removes a replica's Pod object.
    pub fn pod_is_gone(&self, replica: &Replica) {
        let args = ["delete", "pod", &replica.pod, "-n", SYSTEM, "--grace-period=0", "--force"];
        self.cluster.kubectl(&args).unwrap();
    }

    /// Waits until exactly one of these replicas leads; which.
    pub fn leader(&self, among: &[usize], within: Duration) -> usize {
        let mut leaders = Vec::new();
        eventually("exactly one replica leads", within, || {
            let leads = |number: &&usize| self.replicas[**number].metric("adit_leader", &[]) == 1.0;
            leaders = among.iter().filter(leads).copied().collect();
            leaders.len() == 1
        });
        leaders[0]
    }

    /// What is stored of the Lease.
    pub fn lease(&self) -> Value {
        let name = format!("{}-leader", self.instance);
        let lease = self.cluster.kubectl(&["get", "lease", &name, "-n", SYSTEM, "-o", "json"]);
        serde_json::from_str(&lease.unwrap()).unwrap()
    }

    /// Deletes the Lease.
    pub fn delete_lease(&self) {
        let name = format!("{}-leader", self.instance);
        self.cluster.kubectl(&["delete", "lease", &name, "-n", SYSTEM]).unwrap();
    }

    /// The reports, by name.
    pub fn reports(&self) -> BTreeMap<String, DynamicObject> {
        let kind = ApiResource {
            group: String::new(),
            version: "v1".into(),
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            plural: "configmaps".into(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.cluster.client(), SYSTEM, &kind);
        let labels = format!("adit.dev/report={}", self.instance);
        let reports = self.cluster.block_on(api.list(&ListParams::default().labels(&labels)));
        let named = |map: DynamicObject| (map.metadata.name.clone().unwrap(), map);
        reports.unwrap().items.into_iter().map(named).collect()
    }
}

impl Replica {
    /// Where it serves.
    pub fn front(&self) -> SocketAddr {
        (self.host.addr, 8080).into()
    }

    /// Where its probes are.
    pub fn admin(&self) -> SocketAddr {
        (self.host.addr, 9180).into()
    }

    /// A metric of its own.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        metric(self.admin(), name, labels)
    }

    /// The status that it answers an upgrade with.
    pub fn knock(&self, host: &str, path: &str) -> u16 {
        knock(self.front(), host, path)
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        for replica in &self.replicas {
            let args = ["delete", "pod", &replica.pod, "-n", SYSTEM, "--ignore-not-found"];
            let _ = self.cluster.kubectl(&[&args[..], &["--grace-period=0", "--force"]].concat());
        }
    }
}

/// What the kubelet says of a Pod of the controller.
pub fn pod_is_ready(cluster: &Cluster, pod: &str, ready: bool) {
    let status = json!({"status": {"conditions": [
        {"type": "Ready", "status": if ready { "True" } else { "False" }},
    ]}});
    let patch = status.to_string();
    let args = ["patch", "pod", pod, "-n", SYSTEM, "--subresource=status"];
    cluster.kubectl(&[&args[..], &["--type=merge", "-p", &patch]].concat()).unwrap();
}

/// A Pod of the controller's ServiceAccount that no kubelet runs.
pub fn make_pod(cluster: &Cluster, name: &str, addr: IpAddr) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {
            "serviceAccountName": "adit",
            "automountServiceAccountToken": false,
            "securityContext":
                {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "adit", "image": "adit",
                "securityContext":
                    {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    cluster.apply(&pod.to_string()).unwrap();
    let status = json!({"status": {
        "phase": "Running", "podIP": addr, "podIPs": [{"ip": addr}],
        "conditions": [{"type": "Ready", "status": "False"}],
    }});
    let patch = status.to_string();
    let args = ["patch", "pod", name, "-n", SYSTEM, "--subresource=status", "--type=merge", "-p"];
    cluster.kubectl(&[&args[..], &[&patch]].concat()).unwrap();
}
