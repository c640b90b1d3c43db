//! `adit controller` as a process.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::cluster::{Cluster, OPEN_CLASSES};
use crate::support::process::Process;
use crate::support::wait::eventually;
use crate::support::{http, ports};

/// A controller for some namespaces, on ports of its own.
pub struct Controller {
    pub process: Process,
    /// The port of the front socket.
    pub front: u16,
    /// The port of the front socket with TLS.
    pub front_tls: u16,
    admin: SocketAddr,
}

impl Controller {
    /// Starts one and waits until it is ready.
    pub fn start(cluster: &Cluster, namespaces: &[&str]) -> Self {
        let controller = Self::launch(&cluster.controller_kubeconfig(), namespaces, &[]);
        controller.is_ready();
        controller
    }

    /// Starts one whose tunnels may dial this machine; without namespaces for all of a cluster that
    /// nobody else uses.
    pub fn launch(kubeconfig: &std::path::Path, namespaces: &[&str], more: &[&str]) -> Self {
        let lifted = ["--allow-egress=127.0.0.0/8"];
        Self::guarded(kubeconfig, namespaces, &[&lifted, more].concat())
    }

    /// Starts one with the egress guard that a cluster has, for tunnels without users unless `more`
    /// names classes.
    pub fn guarded(kubeconfig: &std::path::Path, namespaces: &[&str], more: &[&str]) -> Self {
        let own = more.iter().any(|flag| flag.starts_with("--classes"));
        let classes = if own { &[][..] } else { &[OPEN_CLASSES] };
        Self::shipped(kubeconfig, namespaces, &[classes, more].concat())
    }

    /// Starts one as it is without flags of its own.
    pub fn shipped(kubeconfig: &std::path::Path, namespaces: &[&str], more: &[&str]) -> Self {
        let (front, front_tls, admin) = (ports::free(), ports::free(), ports::free());
        let mut args = vec![
            "controller".to_string(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--instance={}", namespaces.first().unwrap_or(&"adit")),
            format!("--front-http=:{front}"),
            format!("--front-https=:{front_tls}"),
            format!("--admin=127.0.0.1:{admin}"),
            "--log-format=text".into(),
        ];
        args.extend(namespaces.iter().map(|namespace| format!("--namespace={namespace}")));
        args.extend(more.iter().map(ToString::to_string));
        let process = Process::adit(&args);
        Self { process, front, front_tls, admin: ([127, 0, 0, 1], admin).into() }
    }

    /// Waits until it is ready.
    pub fn is_ready(&self) {
        eventually("the controller is ready", Duration::from_secs(20), || {
            self.probe("/readyz") == 200
        });
    }

    /// Ends it as a rollout does: the next one of the instance leads at once.
    pub fn hands_over(self) {
        self.process.signal("TERM");
        self.process.prints("released the Lease");
    }

    /// The status of a probe; 0 if nothing answers.
    pub fn probe(&self, path: &str) -> u16 {
        http::get(self.admin, path).map_or(0, |response| response.status)
    }

    /// What a probe answers.
    pub fn body(&self, path: &str) -> String {
        http::get(self.admin, path).map_or_else(|e| e.to_string(), |response| response.text())
    }

    /// The sum of a metric's samples whose labels contain all of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        metric(self.admin, name, labels)
    }

    /// How often the engine took a step of this kind.
    pub fn steps(&self, kind: &str) -> f64 {
        self.metric("adit_plan_steps_total", &[&format!("kind=\"{kind}\"")])
    }

    /// A service `in` on the front port: an HTTP proxy for anybody.
    pub fn spec(&self, path: &str, hostnames: &[&str]) -> Value {
        spec(&format!(":{}", self.front), path, hostnames)
    }

    /// The status that the front port answers an upgrade with.
    pub fn knock(&self, host: &str, path: &str) -> u16 {
        knock(([127, 0, 0, 1], self.front).into(), host, path)
    }

    /// Waits until it answers so.
    pub fn answers(&self, host: &str, path: &str, status: u16) {
        let what = format!("{host}{path} is answered with {status}");
        eventually(&what, Duration::from_secs(10), || self.knock(host, path) == status);
    }
}

/// A service `in`: an HTTP proxy for anybody behind a ws listener.
pub fn spec(addr: &str, path: &str, hostnames: &[&str]) -> Value {
    json!({"services": [{
        "name": "in", "addr": addr, "hostnames": hostnames,
        "handler": {"type": "http"},
        "listener": {"type": "ws", "metadata": {"path": path}},
    }]})
}

/// The sum of a metric's samples whose labels contain all of `labels`.
pub fn metric(admin: SocketAddr, name: &str, labels: &[&str]) -> f64 {
    let text = http::get(admin, "/metrics").unwrap().text();
    let samples = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Asks for an upgrade; the status of the answer, 0 if there is none.
pub fn knock(front: SocketAddr, host: &str, path: &str) -> u16 {
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let answer = || -> std::io::Result<String> {
        use std::io::{BufRead, BufReader, Write};
        let mut stream = std::net::TcpStream::connect(front)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(text.as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    };
    let line = answer().unwrap_or_default();
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}
