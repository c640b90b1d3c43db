//! `adit controller`: services of the cluster's WsTunnel objects.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ipnet::IpNet;
use tokio::sync::watch;

use super::classes::Classes;
use super::memory;
use super::process::{Process, ProcessOptions};
use crate::cli::ControllerArgs;
use crate::control::policy::Policy;
use crate::control::{self, Connection, ControlOptions};
use crate::engine::{Front, Ports};
use crate::net::guard::{Guard, GuardConfig};
use crate::net::resolve::{Resolver, Search};

/// Where the Lease and the reports are when no flag and no Pod says so: the namespace of
/// deploy/install.yaml.
const NAMESPACE: &str = "adit-system";

/// Runs until a signal, or until a part of the controller ended, which begins the drain too.
///
/// # Errors
/// A class file that is wrong, no way to the API server, a front or admin port that is taken.
pub(super) async fn run(args: ControllerArgs) -> anyhow::Result<ExitCode> {
    let fronts = vec![
        Front { addr: args.front_http, tls: false },
        Front { addr: args.front_https, tls: true },
    ];
    anyhow::ensure!(
        fronts.iter().all(|front| front.addr.port != 0),
        "--front-http, --front-https: write a port"
    );
    let front_ports: Vec<u16> = fronts.iter().map(|front| front.addr.port).collect();
    anyhow::ensure!(
        front_ports.first() != front_ports.last(),
        "--front-https: has the port of --front-http; choose another one"
    );
    let classes = args.classes.as_deref();
    let classes =
        classes.map(|path| Classes::new(path, front_ports.clone(), Some(args.admin.port)));
    let mut classes = classes.map(|classes| classes.within(&args.namespace));
    let policy = match &mut classes {
        Some(classes) => classes.load().context("--classes")?,
        None => Policy::built_in(),
    };
    let (policy, governs) = watch::channel(Arc::new(policy));
    let connection = Connection::open(args.kubeconfig.as_deref()).await?;
    let api_server = connection.api_addresses().await.into_iter().map(IpNet::from);
    let guard = GuardConfig {
        allow: args.allow_egress,
        deny: args.deny_egress.into_iter().chain(api_server).collect(),
        own: args.pod_ip,
    };
    let reserved = vec![args.admin.port];
    let options = ProcessOptions {
        ports: Ports {
            fronts,
            reserved: reserved.clone(),
            handshakes: Some(args.front_handshakes),
            handshakes_of_source: Some(args.front_handshakes_per_source),
        },
        guard: Guard::controller(guard),
        resolver: Resolver::new(Search::Cluster { domain: args.cluster_domain }),
        memory: Some(args.memory_budget.unwrap_or_else(memory::default_budget)),
        admin: Some((args.admin, false)),
        tenants: true,
        drain: (Duration::from_secs(10), Duration::from_secs(60)),
    };
    let process = Process::start(&args.process, "info", options)?;
    let lease_namespace = args.lease_namespace.or_else(|| args.pod_namespace.clone());
    let options = ControlOptions {
        instance: args.instance,
        namespaces: args.namespace,
        secret_names: args.secret_name,
        lease_namespace: lease_namespace.unwrap_or_else(|| NAMESPACE.into()),
        pod_name: args.pod_name,
        pod_namespace: args.pod_namespace,
        policy: governs,
        fronts: front_ports,
        reserved,
    };
    // On the heap: each future around it would have a copy of its tens of kilobytes on the stack.
    let control = Box::pin(control::run(
        connection,
        options,
        process.engine.clone(),
        process.started.clone(),
        process.metrics.clone(),
        process.shutdown.clone(),
    ));
    // The controller's end is the beginning of the drain: it gives the Lease back, in a few seconds.
    let control = async { control.await.map_err(anyhow::Error::from) };
    let follow = async {
        match &mut classes {
            Some(classes) => classes.follow(&process, &policy).await,
            None => std::future::pending().await,
        }
    };
    let part = async {
        tokio::select! {
            ended = control => ended,
            () = follow => Ok(()),
        }
    };
    process.serve_beside(part).await?;
    Ok(ExitCode::SUCCESS)
}
