//! `adit sidecar`: services of a mounted folder, and its changes.

use std::process::ExitCode;
use std::time::Duration;

use super::files;
use super::process::{Process, ProcessOptions};
use super::reload::Source;
use crate::base::Reason;
use crate::cli::SidecarArgs;
use crate::config::cmdline::Line;
use crate::config::error::Diagnostic;
use crate::engine::Ports;
use crate::net::guard::Guard;
use crate::net::resolve::{Resolver, Search};
use crate::sidecar::Inputs;

/// Runs until a signal. A folder that is wrong at the start ends the process; later the
/// configuration that runs goes on, and the log, `/readyz` and metrics say so.
///
/// # Errors
/// A folder that cannot be read or run at the start.
pub(super) async fn run(args: SidecarArgs) -> anyhow::Result<ExitCode> {
    let mut source = Source::new(Inputs::folder(&args.config), Line::default(), None)?;
    let mut loaded = source.load().await?;
    if loaded.top.admin.take().is_some_and(|addr| addr != args.admin) {
        let message = "ignored: a sidecar's probes and metrics are at --admin";
        loaded.warnings.push(Diagnostic::new("metrics.addr", Reason::Unsupported, message));
    }
    let options = ProcessOptions {
        ports: Ports { reserved: vec![args.admin.port], ..Ports::default() },
        guard: Guard::off(),
        resolver: Resolver::new(Search::System),
        memory: None,
        admin: Some((args.admin.clone(), true)),
        tenants: false,
        drain: (Duration::ZERO, Duration::from_secs(20)),
    };
    let level = loaded.top.level.as_deref().unwrap_or("info");
    let process = Process::start(&args.process.or(&loaded.top), level, options)?;
    files::warn(&loaded);
    process.engine.apply(loaded.desired(1));
    process.engine.snapshot().wait_for(|snapshot| snapshot.revision == 1).await?;
    process.started.send_replace(true);
    let follow = async {
        tokio::select! {
            () = source.follow(&process) => {}
            () = process.shutdown.begin().cancelled() => {}
        }
        Ok(())
    };
    process.serve_beside(follow).await?;
    Ok(ExitCode::SUCCESS)
}
