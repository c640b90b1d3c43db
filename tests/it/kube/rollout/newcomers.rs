//! Tunnels that are opened all the time, used once, and ended.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::Tunnel;
use crate::kube::traffic::listens;
use crate::support::process::Process;
use crate::support::{http, ports, tools};

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Fifty in a second.
const EVERY: Duration = Duration::from_millis(20);
/// Sessions of gost, and how long each of them is without a stream: longer than the second after
/// which a session of a server that drains is closed.
const SESSIONS: usize = 6;
const PAUSE: Duration = Duration::from_millis(1500);

/// What became of them.
#[derive(Debug, Default)]
pub struct Came {
    pub opened: usize,
    /// Each that was refused, broken off or late, and why.
    pub failed: Vec<String>,
}

/// Fifty a second of our own, every fifth one by mws.
pub async fn own(server: SocketAddr, target: SocketAddr, stop: CancellationToken) -> Came {
    let (began, mut came, mut visits) = (Instant::now(), Came::default(), JoinSet::new());
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(visited) = visits.join_next() => came.failed.extend(visited.unwrap()),
            _ = ticks.tick() => {
                let mux = came.opened % 5 == 0;
                came.opened += 1;
                visits.spawn(async move {
                    let at = began.elapsed();
                    let visited = tokio::time::timeout(PATIENCE, visit(server, target, mux)).await;
                    let why = visited.unwrap_or_else(|_| Err("it took too long".into())).err()?;
                    Some(format!("mux {mux}, after {at:?}: {why}"))
                });
            }
        }
    }
    while let Some(visited) = visits.join_next().await {
        came.failed.extend(visited.unwrap());
    }
    came
}

async fn visit(server: SocketAddr, target: SocketAddr, mux: bool) -> Result<(), String> {
    let (path, streams) = if mux { ("/m", Some(1)) } else { ("/x", None) };
    let opened = Tunnel::open(server, path, streams, target).await;
    let mut tunnel = opened.map_err(|end| format!("not opened: {end:?}"))?;
    tunnel.echo().await.map_err(|end| format!("no echo: {end:?}"))?;
    tunnel.finish().await.map_err(|end| format!("no end: {end:?}"))
}

/// The real gost with `retries: 1`, and who comes through it.
pub struct Gost {
    _process: Process,
    _folder: tempfile::TempDir,
    visitors: Vec<JoinHandle<Came>>,
}

impl Gost {
    /// Starts it: proxies on loopback, each with an mws session of its own.
    pub fn start(
        runtime: &Runtime,
        server: SocketAddr,
        target: SocketAddr,
        stop: &CancellationToken,
    ) -> Self {
        let proxies: Vec<u16> = (0..SESSIONS).map(|_| ports::free()).collect();
        let service = |port: &u16| {
            let (name, addr) = (format!("s-{port}"), format!("127.0.0.1:{port}"));
            let handler = json!({"type": "http", "chain": format!("c-{port}"), "retries": 1});
            json!({"name": name, "addr": addr, "handler": handler, "listener": {"type": "tcp"}})
        };
        let chain = |port: &u16| {
            let node = json!({
                "name": "n", "addr": server.to_string(), "connector": {"type": "http"},
                "dialer": {"type": "mws", "metadata": {"path": "/m"}},
            });
            json!({"name": format!("c-{port}"), "hops": [{"name": "h", "nodes": [node]}]})
        };
        let config = json!({
            "services": proxies.iter().map(service).collect::<Vec<_>>(),
            "chains": proxies.iter().map(chain).collect::<Vec<_>>(),
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gost.yaml");
        std::fs::write(&file, config.to_string()).unwrap();
        let process = Process::start(tools::path("gost"), &["-C".as_ref(), file.as_os_str()]);
        let visitor = |port| {
            let proxy = SocketAddr::from(([127, 0, 0, 1], port));
            listens(proxy);
            let (stop, handle) = (stop.clone(), runtime.handle().clone());
            std::thread::spawn(move || {
                let (began, mut came) = (Instant::now(), Came::default());
                while !stop.is_cancelled() {
                    came.opened += 1;
                    let at = began.elapsed();
                    if let Err(why) = through(proxy, target) {
                        came.failed.push(format!("gost, after {at:?}: {why}"));
                    }
                    let pause = async { tokio::time::timeout(PAUSE, stop.cancelled()).await };
                    let _ = handle.block_on(pause);
                }
                came
            })
        };
        let visitors = proxies.into_iter().map(visitor).collect();
        Self { _process: process, _folder: folder, visitors }
    }

    /// What became of who came through it, after the stop.
    pub fn came(self) -> Came {
        let mut all = Came::default();
        for visitor in self.visitors {
            let came = visitor.join().unwrap();
            all.opened += came.opened;
            all.failed.extend(came.failed);
        }
        all
    }
}

fn through(proxy: SocketAddr, target: SocketAddr) -> std::io::Result<()> {
    let mut stream = http::connect_through(proxy, target)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[7; 1000])?;
    let mut back = [0; 1000];
    stream.read_exact(&mut back)?;
    stream.shutdown(Shutdown::Write)
}
