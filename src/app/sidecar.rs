//! `adit sidecar`: services of a mounted folder, and its changes.

use std::process::ExitCode;
use std::time::Duration;

use super::files::{self, Loaded, Source};
use super::process::{Process, ProcessOptions};
use crate::cli::SidecarArgs;
use crate::config::raw;
use crate::engine::Ports;
use crate::net::guard::Guard;
use crate::net::resolve::{Resolver, Search};
use crate::sidecar::Folder;

/// Runs until a signal. A folder that is wrong at the start ends the process; later the
/// configuration that runs goes on, and the log, `/readyz` and a metric say so.
///
/// # Errors
/// A folder that cannot be read or run at the start.
pub(super) async fn run(args: SidecarArgs) -> anyhow::Result<ExitCode> {
    let mut folder = Folder::new(&args.config);
    let loaded = load(&mut folder).await?;
    let options = ProcessOptions {
        ports: Ports { reserved: vec![args.admin.port], ..Ports::default() },
        guard: Guard::off(),
        resolver: Resolver::new(Search::System),
        admin: Some((args.admin.clone(), true)),
        drain: (Duration::ZERO, Duration::from_secs(20)),
    };
    let process = Process::start(&args.process, "info", options)?;
    files::warn(&loaded);
    process.engine.apply(loaded.desired(1));
    process.engine.snapshot().wait_for(|snapshot| snapshot.revision == 1).await?;
    process.started.send_replace(true);
    tokio::select! {
        result = process.serve() => result?,
        () = follow(&mut folder, &process) => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn follow(folder: &mut Folder, process: &Process) {
    let mut revision = 1;
    loop {
        folder.changed().await;
        match load(folder).await {
            Ok(loaded) => {
                revision += 1;
                files::warn(&loaded);
                process.engine.apply(loaded.desired(revision));
                process.refused_change.send_replace(None);
                tracing::info!(revision, "configuration taken over");
            }
            Err(error) => {
                process.metrics.config_reload_failures.inc();
                tracing::warn!(
                    error = format!("{error:#}"),
                    "configuration refused, the one before it runs"
                );
                process.refused_change.send_replace(Some(format!("{error:#}")));
            }
        }
    }
}

async fn load(folder: &mut Folder) -> anyhow::Result<Loaded> {
    let files = folder.read().await?;
    let source = |file: crate::sidecar::File| Source { name: file.name, text: file.text };
    let sources: Vec<_> = files.into_iter().map(source).collect();
    Ok(files::load(&sources, raw::Config::default())?)
}
