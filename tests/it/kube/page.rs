//! GOST's WebSocket page as WsTunnel objects: each example is the spec as it is written there, applied
//! to a real API server, with the real gost at the other end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::interop::listening;
use crate::support::cluster::{Cluster, OPEN_CLASSES};
use crate::support::http::{connect_through, get};
use crate::support::netns::{add_address, isolated};
use crate::support::ports;
use crate::support::ports::listens;
use crate::support::process::Process;
use crate::support::stream::echo_at;
use crate::support::tools;
use crate::support::wait::eventually;

const EXAMPLES: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/gost-websocket-page.yaml"));

/// An address of the test's network that is not loopback, where tunnels may go.
const OUTSIDE: &str = "10.77.0.1";

/// The examples without the columns that the page puts before them, with each alternative that it
/// gives in a comment.
fn examples() -> Vec<String> {
    let mut all = Vec::new();
    for text in EXAMPLES.split("#### example\n").skip(1) {
        let outer = text.starts_with(' ');
        let line = |line: &str| match line.strip_prefix("    ") {
            Some(inner) if outer => format!("{inner}\n"),
            _ => format!("{line}\n"),
        };
        let text: String = text.lines().map(line).collect();
        let other = text.replace("type: wss\n    # type: mwss", "type: mwss");
        if other != text {
            all.push(other);
        }
        all.push(text);
    }
    all
}

/// An object whose spec is this text.
fn object(name: &str, spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: adit.dev/v1alpha1\nkind: WsTunnel\nmetadata:\n  name: {name}\nspec:\n{spec}"
    )
}

struct Page {
    cluster: Cluster,
    namespace: String,
    target: std::net::SocketAddr,
    _controller: Process,
}

impl Page {
    fn start() -> Self {
        add_address(&format!("{OUTSIDE}/32"));
        let cluster = Cluster::start();
        let namespace = cluster.namespace("page");
        let (front, front_tls, admin) = (ports::free(), ports::free(), ports::free());
        let controller = Process::adit(&[
            "controller".to_string(),
            format!("--kubeconfig={}", cluster.controller_kubeconfig().display()),
            format!("--instance={namespace}"),
            format!("--namespace={namespace}"),
            format!("--front-http=:{front}"),
            format!("--front-https=:{front_tls}"),
            format!("--admin=127.0.0.1:{admin}"),
            // GOST's page asks nobody for a password.
            OPEN_CLASSES.to_string(),
        ]);
        eventually("the controller is ready", Duration::from_secs(20), || {
            get(([127, 0, 0, 1], admin).into(), "/readyz").is_ok_and(|answer| answer.status == 200)
        });
        Self { cluster, namespace, target: echo_at(OUTSIDE), _controller: controller }
    }

    fn apply(&self, name: &str, spec: &str) -> Result<String, String> {
        let args = ["apply", "-n", &self.namespace, "-f", "-"];
        self.cluster.kubectl_with(&args, &object(name, spec))
    }

    fn becomes(&self, name: &str, kind: &str, wanted: &str) {
        self.cluster.becomes(&self.namespace, name, kind, wanted);
    }

    fn message(&self, name: &str) -> String {
        self.cluster.message(&self.namespace, name, "Accepted")
    }

    /// Waits until nothing of the object is left.
    fn delete(&self, name: &str, port: u16) {
        let args = ["delete", "wst", name, "-n", &self.namespace, "--timeout=10s"];
        self.cluster.kubectl(&args).unwrap();
        eventually("its port is free", Duration::from_secs(20), || !listens(port));
    }

    /// A client's side of a tunnel, whose node is loopback there: the controller's own.
    fn client(&self, name: &str, text: &str) {
        self.apply(name, text).unwrap();
        self.becomes(name, "Accepted", "False/LoopbackTarget");
        assert!(self.message(name).contains("chains[0].hops[0].nodes[0].addr"));
        // The same with an address to go to.
        self.apply(name, &text.replace("addr: :8443", &format!("addr: {OUTSIDE}:8443"))).unwrap();
        self.becomes(name, "Ready", "True/Ready");
        let _gost = Process::start(tools::path("gost"), &["-L", &format!("wss://{OUTSIDE}:8443")]);
        listening(8443);
        echoes(connect_through(listening(8080), self.target).unwrap());
        self.delete(name, 8080);
    }

    /// A server's side.
    fn server(&self, name: &str, text: &str) {
        self.apply(name, text).unwrap();
        self.becomes(name, "Ready", "True/Ready");
        assert!(self.message(name).contains("self-signed"), "{}", self.message(name));
        let kinds: Vec<&str> =
            text.lines().filter_map(|line| line.trim().strip_prefix("type: ")).collect();
        // Behind the page's port forward is a SOCKS5 proxy.
        let protocol = match kinds[0] {
            "forward" => "socks5",
            "auto" => "http",
            other => other,
        };
        let url = format!("{protocol}+{}://127.0.0.1:8443", kinds[1]);
        let local = format!("tcp://127.0.0.1:7000/{}", self.target);
        let _gost = Process::start(tools::path("gost"), &["-L", &local, "-F", &url]);
        echoes(TcpStream::connect(listening(7000)).unwrap());
        self.delete(name, 8443);
    }
}

fn echoes(mut stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello");
}

#[test]
fn every_example_that_kubectl_can_read_carries_bytes_where_a_tunnel_may_go() {
    tools::path("gost");
    let (mut unreadable, mut clients, mut servers) = (0, 0, 0);
    isolated(|| {
        let page = Page::start();
        for (number, text) in examples().iter().enumerate() {
            eprintln!("{text}");
            let name = format!("example-{number}");
            if text.contains("addr: :\n") || text.contains('\t') {
                // kubectl itself refuses these: they are no YAML.
                let error = page.apply(&name, text).unwrap_err();
                assert!(error.contains("yaml"), "{error}");
                unreadable += 1;
            } else if text.contains("chains:") {
                page.client(&name, text);
                clients += 1;
            } else {
                page.server(&name, text);
                servers += 1;
            }
        }
    });
    assert_eq!((unreadable, clients, servers), (4, 4, 7));
}
