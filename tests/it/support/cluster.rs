//! A real control plane: etcd and kube-apiserver on loopback, under the chart's roles.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::process::Process;
use super::wait::eventually;
use super::{ports, tools};

/// Starts the servers that it is told, each with its words up to `--`, says their pids, and ends
/// them and their folder when its input ends: also when the test process is killed.
const KEEPER: &str = r#"
dir=$1; shift
pids=()
while [ $# -gt 0 ]; do
    words=()
    while [ "$1" != -- ]; do words+=("$1"); shift; done
    shift
    "${words[@]}" </dev/null >>"$dir/$(basename "${words[0]}").log" 2>&1 &
    pids+=($!)
done
exec 2>/dev/null
echo "${pids[@]}"
read -r _
kill -9 "${pids[@]}"
wait
rm -rf "$dir"
"#;

/// The log of an API server that was started again.
const AGAIN: &str = "kube-apiserver-again.log";

/// Who asked for what: enough to compare with roles.
const AUDIT: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: [system:serviceaccounts]
- level: None
";

/// `--classes` for tunnels that everybody may use: the shipped class but for `requireAuth`.
pub const OPEN_CLASSES: &str =
    concat!("--classes=", env!("CARGO_MANIFEST_DIR"), "/tests/it/support/open-classes.yaml");

const ADMIN: &str = "admin-token-of-the-tests";

/// etcd and kube-apiserver. Dropping it ends both.
pub struct Cluster {
    keeper: Child,
    folder: PathBuf,
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    port: u16,
    etcd: u16,
    pids: Vec<u32>,
    collector: Option<Process>,
    runtime: tokio::runtime::Runtime,
    client: OnceLock<kube::Client>,
}

impl Cluster {
    /// The cluster that the tests of this process share, each in namespaces of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A cluster of one's own, to stop it.
    pub fn start() -> Self {
        Self::start_with(false)
    }

    /// A cluster of one's own, with an audit log and the garbage collector.
    pub fn audited_and_collected() -> Self {
        Self::start_with(true)
    }

    fn start_with(audit: bool) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let (etcd, peer, port) = (ports::free(), ports::free(), ports::free());
        write_keys(&folder, port);
        let mut words = etcd_words(&folder, etcd, peer);
        words.push("--".into());
        let mut apiserver = apiserver_words(&folder, etcd, port);
        if audit {
            std::fs::write(folder.join("audit.yaml"), AUDIT).unwrap();
            let file = |name: &str| folder.join(name).display().to_string();
            apiserver.push(format!("--audit-policy-file={}", file("audit.yaml")));
            apiserver.push(format!("--audit-log-path={}", file("audit.log")));
        }
        words.extend(apiserver);
        words.push("--".into());
        let (keeper, pids) = keep(&folder, &words);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let url = format!("https://127.0.0.1:{port}");
        let client = OnceLock::new();
        let collector = None;
        let mut cluster =
            Self { keeper, folder, url, port, etcd, pids, collector, runtime, client };
        cluster.is_up();
        // It gives up in 10 s without an API server.
        cluster.collector = audit.then(|| collects(&cluster.folder));
        cluster.prepare();
        cluster
    }

    /// Waits until the API server answers.
    pub fn is_up(&self) {
        eventually("the API server is ready", Duration::from_secs(60), || {
            let up = self.kubectl(&["get", "--raw", "/readyz"]).is_ok();
            let log = self.log();
            assert!(!log.contains("\nError: "), "kube-apiserver gave up:\n{log}");
            up
        });
    }

    /// What the API server that runs now has said.
    fn log(&self) -> String {
        let logs = [AGAIN, "kube-apiserver.log"].map(|name| self.folder.join(name));
        logs.iter().find_map(|log| std::fs::read_to_string(log).ok()).unwrap_or_default()
    }

    /// What ServiceAccounts have asked for so far, in the order of the answers.
    pub fn audited(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.folder.join("audit.log")).unwrap();
        // The last line may be half written.
        log.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The CRD, the chart's roles and account.
    fn prepare(&self) {
        self.apply(&adit::crd::yaml()).unwrap();
        let rbac = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/rbac.yaml");
        self.kubectl(&["apply", "-f", rbac]).unwrap();
        self.kubectl(&["wait", "--for=condition=Established", "crd/wstunnels.adit.dev"]).unwrap();
        self.kubectl(&["create", "namespace", "warm-up"]).unwrap();
        eventually("WsTunnels are served", Duration::from_secs(20), || {
            self.kubectl(&["get", "wstunnels", "-A"]).is_ok()
        });
    }

    /// Makes a namespace whose name begins with `name`, and that no other test has.
    pub fn namespace(&self, name: &str) -> String {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("{name}-{number}");
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let kind = ApiResource {
            group: String::new(),
            version: "v1".into(),
            api_version: "v1".into(),
            kind: "Namespace".into(),
            plural: "namespaces".into(),
        };
        let api: Api<DynamicObject> = Api::all_with(self.client(), &kind);
        let body = serde_json::from_value(body).unwrap();
        self.block_on(api.create(&PostParams::default(), &body)).unwrap();
        name
    }

    /// Runs kubectl as the cluster's admin; its output, or what it complained about.
    pub fn kubectl(&self, args: &[&str]) -> Result<String, String> {
        self.kubectl_with(args, "")
    }

    /// `kubectl apply -f -`, with strict validation as kubectl does it by default.
    pub fn apply(&self, yaml: &str) -> Result<String, String> {
        self.kubectl_with(&["apply", "-f", "-"], yaml)
    }

    /// kubectl with something on its standard input.
    pub fn kubectl_with(&self, args: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(tools::path("kubectl"))
            .env("KUBECONFIG", self.folder.join("admin.yaml"))
            // Discovery is cached in the home folder, by address: ports are used again.
            .env("KUBECACHEDIR", self.folder.join("kubectl"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout) + &text(&output.stderr))
        } else {
            Err(text(&output.stderr))
        }
    }

    /// An admin's client, for what is asked often.
    pub fn client(&self) -> kube::Client {
        let client = self.client.get_or_init(|| {
            self.block_on(async {
                let mut config = kube::Config::new(self.url.parse().unwrap());
                config.root_cert_file = Some(self.folder.join("ca.crt"));
                config.auth_info.token = Some(ADMIN.to_string().into());
                kube::Client::try_from(config).unwrap()
            })
        });
        client.clone()
    }

    /// Runs a future to its end.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _inside = self.runtime.enter();
        self.runtime.block_on(future)
    }

    /// The WsTunnels of a namespace.
    pub fn tunnels(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client(), namespace, &wstunnel())
    }

    /// Makes or changes a WsTunnel, as a client that reads no warnings.
    pub fn put(&self, namespace: &str, name: &str, spec: Value) -> DynamicObject {
        self.try_put(namespace, name, spec).unwrap()
    }

    /// The same, where the API server may refuse.
    pub fn try_put(
        &self,
        namespace: &str,
        name: &str,
        spec: Value,
    ) -> Result<DynamicObject, kube::Error> {
        let body = json!({
            "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel",
            "metadata": {"name": name}, "spec": spec,
        });
        let params = PatchParams::apply("tests").force();
        let api = self.tunnels(namespace);
        self.block_on(api.patch(name, &params, &Patch::Apply(&body)))
    }

    /// A WsTunnel as it is stored.
    pub fn tunnel(&self, namespace: &str, name: &str) -> Value {
        let object = self.block_on(self.tunnels(namespace).get(name)).unwrap();
        serde_json::to_value(object).unwrap()
    }

    /// `status/reason` of a condition, about the newest generation; empty if there is none.
    pub fn condition(&self, namespace: &str, name: &str, kind: &str) -> String {
        let object = self.tunnel(namespace, name);
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions
            .iter()
            .find(|c| c["type"] == kind)
            .filter(|c| c["observedGeneration"] == object["metadata"]["generation"])
            .map(|c| format!("{}/{}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap()))
            .unwrap_or_default()
    }

    /// A condition's message.
    pub fn message(&self, namespace: &str, name: &str, kind: &str) -> String {
        let object = self.tunnel(namespace, name);
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let condition = conditions.iter().find(|c| c["type"] == kind);
        condition.and_then(|c| c["message"].as_str()).unwrap_or_default().to_string()
    }

    /// Waits until a condition is as it should be.
    pub fn becomes(&self, namespace: &str, name: &str, kind: &str, wanted: &str) {
        let what = format!("{namespace}/{name} has {kind}={wanted}");
        eventually(&what, Duration::from_secs(15), || {
            self.condition(namespace, name, kind) == wanted
        });
    }

    /// A kubeconfig with a token of the chart's ServiceAccount, as a Pod would have it.
    pub fn controller_kubeconfig(&self) -> PathBuf {
        self.kubeconfig_of("adit-system", "adit")
    }

    /// The port of the API server, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The controller's kubeconfig for a process that reaches the API server at another address.
    pub fn controller_kubeconfig_at(&self, addr: std::net::SocketAddr) -> PathBuf {
        let path = self.controller_kubeconfig();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        let cluster = &mut config["clusters"][0]["cluster"];
        cluster["server"] = json!(format!("https://{addr}"));
        cluster["tls-server-name"] = json!("localhost");
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// A kubeconfig with a token of a ServiceAccount.
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let args = ["create", "token", account, "-n", namespace, "--duration=1h"];
        let token = self.kubectl(&args).unwrap();
        let path = self.folder.join(format!("controller-{}.yaml", ports::free()));
        std::fs::write(&path, kubeconfig(&self.folder, &self.url, token.trim())).unwrap();
        path
    }

    /// Sends a signal to the API server alone.
    pub fn signal_apiserver(&self, name: &str) {
        let pid = self.pids.last().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Starts an API server again after it was killed, on the same port and the same etcd.
    pub fn restart_apiserver(&mut self) -> Revived {
        let words = apiserver_words(&self.folder, self.etcd, self.port);
        // A kill is answered before the process has gone.
        eventually("the port is free again", Duration::from_secs(20), || {
            !ports::listens(self.port)
        });
        let log = std::fs::File::create(self.folder.join(AGAIN)).unwrap();
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.pids = vec![child.id()];
        let revived = Revived(child);
        self.is_up();
        revived
    }
}

/// An API server that was started again; ends with this value.
pub struct Revived(Child);

impl Drop for Revived {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines = log.lines().rev().take(30).collect::<Vec<_>>();
            eprintln!("--- kube-apiserver, newest first:\n{}", lines.join("\n"));
        }
        drop(self.collector.take());
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The resource.
pub fn wstunnel() -> ApiResource {
    ApiResource {
        group: "adit.dev".into(),
        version: "v1alpha1".into(),
        api_version: "adit.dev/v1alpha1".into(),
        kind: "WsTunnel".into(),
        plural: "wstunnels".into(),
    }
}

fn keep(folder: &Path, words: &[String]) -> (Child, Vec<u32>) {
    let mut keeper = Command::new("bash")
        .args(["-c", KEEPER, "keeper"])
        .arg(folder)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (keeper, line.split_whitespace().map(|pid| pid.parse().unwrap()).collect())
}

fn etcd_words(folder: &Path, client: u16, peer: u16) -> Vec<String> {
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    vec![
        tools::path("etcd").display().to_string(),
        format!("--data-dir={}", folder.join("etcd").display()),
        "--unsafe-no-fsync".into(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ]
}

/// What deletes the children of objects that are gone.
fn collects(folder: &Path) -> Process {
    let admin = folder.join("admin.yaml").display().to_string();
    let args = [
        format!("--kubeconfig={admin}"),
        "--controllers=garbage-collector-controller".into(),
        "--leader-elect=false".into(),
        format!("--secure-port={}", ports::free()),
        format!("--cert-dir={}", folder.display()),
    ];
    Process::start(tools::path("kube-controller-manager"), &args)
}

fn apiserver_words(folder: &Path, etcd: u16, port: u16) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        tools::path("kube-apiserver").display().to_string(),
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={}", file("accounts.key")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        "--min-request-timeout=5".into(),
        "--event-ttl=5m".into(),
    ]
}

/// A CA, the API server's certificate, the key that signs tokens, and the admin's kubeconfig.
fn write_keys(folder: &Path, port: u16) {
    let script = r#"
        new() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
        new ca.key; new server.key; new accounts.key
        openssl req -x509 -new -key ca.key -subj /CN=tests -days 2 -out ca.crt
        openssl req -new -key server.key -subj /CN=kube-apiserver -out server.csr
        printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' > san
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
            -extfile san -out server.crt
    "#;
    let output = Command::new("bash")
        .args(["-ec", script])
        .current_dir(folder)
        .output()
        .unwrap_or_else(|e| panic!("bash and openssl are needed: {e}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let admin = format!("{ADMIN},admin,admin,\"system:masters\"\n");
    std::fs::write(folder.join("tokens.csv"), admin).unwrap();
    let url = format!("https://127.0.0.1:{port}");
    std::fs::write(folder.join("admin.yaml"), kubeconfig(folder, &url, ADMIN)).unwrap();
}

fn kubeconfig(folder: &Path, url: &str, token: &str) -> String {
    let ca = folder.join("ca.crt");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": ca}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    });
    config.to_string()
}
