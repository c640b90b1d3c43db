//! From texts to services: what `run`, `sidecar` and `check` share.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::base::{Origin, Reason, ServiceKey};
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::config::lower::{LowerContext, Lowered, lower, lower_tunnel};
use crate::config::raw;
use crate::config::read::{Documents, TunnelDoc, read};
use crate::engine::{Claim, Desired, DesiredSet};

/// How long tunnels of a service go on when it leaves the files.
const DRAIN: Duration = Duration::from_secs(60);

/// A text and the name that errors call it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub name: String,
    pub text: String,
}

/// Services that may run.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub services: BTreeMap<ServiceKey, Desired>,
    pub warnings: Vec<Diagnostic>,
}

impl Loaded {
    /// As a desired set.
    pub(super) fn desired(self, revision: u64) -> DesiredSet {
        DesiredSet { revision, services: self.services }
    }
}

/// Reads files; `-` is standard input.
///
/// # Errors
/// A file that cannot be read, with its name.
pub(super) fn sources(paths: &[String]) -> anyhow::Result<Vec<Source>> {
    let source = |path: &String| {
        let text = if path == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(path)
        };
        let text = text.with_context(|| format!("cannot read {path}"))?;
        Ok(Source { name: path.clone(), text })
    };
    paths.iter().map(source).collect()
}

/// From texts and the command line to services. The GOST documents of all sources and the command
/// line are one configuration, as in GOST; every `WsTunnel` is one of its own.
///
/// # Errors
/// Everything that is wrong in all of them, each with its file.
pub(super) fn load(sources: &[Source], line: raw::Config) -> Result<Loaded, ConfigErrors> {
    let mut all = Documents::default();
    let mut errors = Vec::new();
    for source in sources {
        match read(&source.text) {
            Ok(documents) => merge(&mut all, documents, &source.name),
            Err(found) => errors.extend(found.within(&source.name).0),
        }
    }
    let mut loaded = Loaded { warnings: std::mem::take(&mut all.warnings), ..Loaded::default() };
    append(&mut all.gost, line);
    let gost = lower(&all.gost, &LowerContext::files("default", &all.secrets));
    take(&mut loaded, &mut errors, &Origin::Files, gost);
    for tunnel in all.tunnels.iter().filter(|tunnel| !tunnel.spec.suspend) {
        let context = LowerContext::files(&tunnel.namespace, &all.secrets);
        let origin = Origin::tunnel(&tunnel.namespace, &tunnel.name);
        let lowered =
            lower_tunnel(&tunnel.spec, &context).map_err(|found| found.within(&tunnel.title()));
        take(&mut loaded, &mut errors, &origin, lowered);
    }
    errors.extend(twice(&all.tunnels));
    if errors.is_empty() { Ok(loaded) } else { Err(ConfigErrors(errors)) }
}

/// Says in the log what was read in spite of a doubt.
pub(super) fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
}

fn merge(all: &mut Documents, documents: Documents, name: &str) {
    append(&mut all.gost, documents.gost);
    all.tunnels.extend(documents.tunnels);
    all.secrets.0.extend(documents.secrets.0);
    all.warnings.extend(documents.warnings.into_iter().map(|warning| warning.within(name)));
}

/// GOST joins the lists of its sources.
fn append(all: &mut raw::Config, more: raw::Config) {
    all.services.extend(more.services);
    all.chains.extend(more.chains);
    all.hops.extend(more.hops);
    all.authers.extend(more.authers);
}

fn take(
    loaded: &mut Loaded,
    errors: &mut Vec<Diagnostic>,
    origin: &Origin,
    lowered: Result<Lowered, ConfigErrors>,
) {
    match lowered {
        Ok(lowered) => {
            let drain = lowered.drain.unwrap_or(DRAIN);
            loaded.warnings.extend(lowered.warnings);
            loaded.services.extend(lowered.services.into_iter().map(|config| {
                let key = ServiceKey::new(origin.clone(), &config.name);
                (key, Desired { config: Arc::new(config), claim: Claim::default(), drain })
            }));
        }
        Err(found) => errors.extend(found.0),
    }
}

/// The API server has one object of a name; files can have two.
fn twice(tunnels: &[TunnelDoc]) -> Vec<Diagnostic> {
    let mut seen = BTreeSet::new();
    let mut errors = Vec::new();
    for tunnel in tunnels {
        if !seen.insert(tunnel.title()) {
            let text = "is there twice; rename one of them";
            errors.push(Diagnostic::new(tunnel.title(), Reason::Invalid, text));
        }
    }
    errors
}
