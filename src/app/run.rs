//! `adit run`: services of files and GOST's command line.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::process::{Process, ProcessOptions};
use super::reload::Source;
use super::{banner, files, output};
use crate::base::{Origin, Reason, ServiceKey};
use crate::cli::RunArgs;
use crate::config::cmdline::{self, Line};
use crate::engine::{Medium, Ports, ServiceState, Snapshot};
use crate::net::guard::Guard;
use crate::net::resolve::{Resolver, Search};
use crate::sidecar::Inputs;

/// Runs until a signal. As with gost, a service that cannot listen at the start ends the process; a
/// port of another machine is asked for until it is had.
///
/// # Errors
/// A configuration that cannot run, an address that is taken.
pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let admin = args.admin_addr()?;
    let line = cmdline::parse(&args.listen, &args.forward)?;
    let nothing = args.config.is_empty() && args.listen.is_empty();
    anyhow::ensure!(
        !nothing,
        "nothing to run: give a file with -C, or a service with -L; `adit --help` shows the forms"
    );
    let inputs = Inputs::open(&args.config).context("cannot read standard input")?;
    if let Some(format) = args.output {
        let (merged, _) = files::merge(&inputs, &line).complete()?;
        return output::print(&merged, format);
    }
    let labels = labels(&line);
    let mut source = Source::new(inputs, line, args.reload)?;
    source.some_service = true;
    let loaded = source.load().await?;
    let level = match (args.trace, args.debug) {
        (true, _) => "trace",
        (_, true) => "debug",
        // The banner says what a person wants to know; the access line of each tunnel follows.
        _ => loaded.top.level.as_deref().unwrap_or("info"),
    };
    let options = ProcessOptions {
        ports: Ports::default(),
        guard: Guard::off(),
        resolver: Resolver::new(Search::System),
        memory: None,
        admin: admin.or(loaded.top.admin.clone()).map(|addr| (addr, true)),
        tenants: false,
        drain: (Duration::ZERO, Duration::from_secs(5)),
    };
    let process = Process::start(&args.process.or(&loaded.top), level, options)?;
    files::warn(&loaded);
    process.engine.apply(loaded.desired(1));
    let mut snapshot = process.engine.snapshot();
    let first = snapshot.wait_for(|snapshot| snapshot.revision == 1).await?.clone();
    if let Some(problem) = first_problem(&first, &labels) {
        anyhow::bail!(problem);
    }
    process.started.send_replace(true);
    banner::print(&first)?;
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

/// What a person calls the services of the command line, by their names.
fn labels(line: &Line) -> BTreeMap<String, String> {
    let services = line.config.services.iter().enumerate();
    let label = |at: usize| {
        let path = format!("services[{at}]");
        line.labels.iter().find(|(of, _)| *of == path).map(|(_, label)| label.clone())
    };
    services.filter_map(|(at, service)| Some((service.name.clone(), label(at)?))).collect()
}

fn first_problem(snapshot: &Snapshot, labels: &BTreeMap<String, String>) -> Option<String> {
    let shown = |key: &ServiceKey| match labels.get(&*key.name) {
        Some(label) if key.origin == Origin::Files => label.clone(),
        _ => format!("service {key}"),
    };
    snapshot.services.iter().find_map(|(key, service)| match &service.state {
        ServiceState::Serving { .. } => None,
        ServiceState::Failed { reason, .. }
            if *reason != Reason::Invalid && Medium::of(&service.config) == Medium::Remote =>
        {
            None
        }
        ServiceState::Refused { message, .. } | ServiceState::Failed { message, .. } => {
            Some(format!("{}: {message}", shown(key)))
        }
    })
}
