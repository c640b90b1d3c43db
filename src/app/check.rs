//! `adit check`: what would be wrong.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

use super::EXIT_CONFIG;
use super::classes::Classes;
use super::files::{self, ADMIN, FRONTS, For, Loaded};
use super::reload::NOTHING_TO_RUN;
use crate::base::{Origin, Reason, ServiceKey};
use crate::cli::CheckArgs;
use crate::config::cmdline::{self, Line};
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::config::read::TunnelDoc;
use crate::control::policy::quota::{Asks, Counts};
use crate::control::policy::{Labels, Namespaces, Policy, Reserved, Selected, refusals};
use crate::sidecar::Inputs;

/// Prints every error and warning of files, folders and the command line, and how many services
/// would run. A `WsTunnel` is judged as a cluster would, whose Secrets and Services nobody knows here.
///
/// # Errors
/// If standard input or output is closed, or there is nothing to check.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let nothing = args.files.is_empty() && args.listen.is_empty() && args.forward.is_empty();
    anyhow::ensure!(
        !nothing || args.classes.is_some(),
        "nothing to check: give files or folders, or -L and -F"
    );
    let inputs = Inputs::open(&args.files).context("cannot read standard input")?;
    let (line, mut errors) = match cmdline::parse(&args.listen, &args.forward) {
        Ok(line) => (line, Vec::new()),
        Err(ConfigErrors(errors)) => (Line::default(), errors),
    };
    let policy =
        match args.classes.as_deref().map(|path| Classes::new(path, FRONTS.into(), ADMIN).load()) {
            Some(Ok(policy)) => Some(policy),
            Some(Err(ConfigErrors(found))) => {
                errors.extend(found);
                None
            }
            None => None,
        };
    let mut out = std::io::stdout().lock();
    match files::load_for(For::Cluster(policy.as_ref()), &inputs, &line).outcome {
        Ok(loaded) => {
            let tunnels = files::merge(&inputs, &line).documents.tunnels;
            if let Some(policy) = &policy {
                errors.extend(by_class(policy, &tunnels, &loaded));
            }
            if !nothing && tunnels.is_empty() && loaded.services.is_empty() {
                errors.push(Diagnostic::new("", Reason::Invalid, NOTHING_TO_RUN));
            }
            for warning in &loaded.warnings {
                writeln!(out, "warning: {warning}")?;
            }
            if errors.is_empty() {
                let count = loaded.services.len() + loaded.unresolved;
                writeln!(out, "ok: {count} service{}", if count == 1 { "" } else { "s" })?;
            }
        }
        Err(ConfigErrors(found)) => errors.extend(found),
    }
    for error in &errors {
        writeln!(out, "error: {error}")?;
    }
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) })
}

/// What the classes say of tunnels that are valid in themselves.
fn by_class(policy: &Policy, tunnels: &[TunnelDoc], loaded: &Loaded) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let mut namespaces: BTreeMap<&str, Counts> = BTreeMap::new();
    for tunnel in tunnels {
        let title = tunnel.title();
        let mut refuse = |reason, message: String| {
            errors.push(Diagnostic::new("spec.className", reason, message).within(&title));
        };
        let name = tunnel.spec.class_name.as_str();
        let class = match policy.select(Some(name)) {
            Selected::Class(class) => class,
            Selected::None => {
                refuse(Reason::NoClass, "no class is the default: name one".into());
                continue;
            }
            Selected::Foreign => {
                refuse(Reason::NoClass, format!("class {name:?} is not in the class file"));
                continue;
            }
        };
        // Labels of namespaces are not known here.
        let by_name = !matches!(class.namespaces, Namespaces::Labels(_));
        if by_name && !class.serves(&tunnel.namespace, &Labels::default()) {
            let message =
                format!("class {:?} does not serve namespace {}", class.name, tunnel.namespace);
            refuse(Reason::NotAllowedByClass, message);
        }
        let served = |other: &&TunnelDoc| {
            other.namespace == tunnel.namespace
                && policy.class(Some(&other.spec.class_name)).is_some()
        };
        let all = tunnels.iter().filter(served).count();
        let asks = Asks::of(&tunnel.name, &tunnel.spec.config, &FRONTS);
        // The files' order stands for the objects' age.
        let counts = namespaces.entry(&tunnel.namespace).or_default();
        let beyond = counts.admit(class, asks, all);
        errors.extend(beyond.map(|beyond| beyond.error.within(&title)));
        let origin = Origin::tunnel(&tunnel.namespace, &tunnel.name);
        let raw = &tunnel.spec.config;
        let key = |name: &str| ServiceKey::new(origin.clone(), name);
        let services = raw.services.iter().filter_map(|service| {
            let key = key(&service.name);
            let whole = loaded.services.get(&key).map(|desired| &*desired.config);
            let config = whole.or_else(|| loaded.outlines.get(&key))?;
            Some((config, loaded.exposures.get(&key)))
        });
        let reserved = Reserved { fronts: &FRONTS, admin: ADMIN };
        let refused = refusals(class, &tunnel.namespace, raw, services, reserved);
        errors.extend(refused.err().into_iter().flat_map(|found| found.within(&title).0));
    }
    errors
}
