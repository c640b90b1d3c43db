//! From texts to services: what `run`, `sidecar` and `check` share.

mod cluster;
mod planned;

pub(super) use cluster::{ADMIN, FRONTS};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::places::Places;
use super::top::{Top, top};
use crate::base::{Origin, Reason, Secret, ServiceKey};
use crate::config::cmdline::Line;
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::config::files::{Files, Need, referenced};
use crate::config::lower::{LowerContext, Lowered, References, lower, lower_tunnel};
use crate::config::model::{ExposeConfig, ServiceConfig};
use crate::config::raw;
use crate::config::read::{Documents, TunnelDoc, read};
use crate::control::policy::Policy;
use crate::engine::{Claim, Desired, DesiredSet, Flaw};
use crate::sidecar::{Inputs, Look};

/// How long tunnels of a service go on when it leaves the files.
const DRAIN: Duration = Duration::from_secs(60);

/// Services that may run.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub services: BTreeMap<ServiceKey, Desired>,
    /// Those that a cluster would not serve before it has what they refer to.
    pub outlines: BTreeMap<ServiceKey, ServiceConfig>,
    /// Which of them a Service would lead to, in a cluster.
    pub exposures: BTreeMap<ServiceKey, ExposeConfig>,
    /// What the files say of the process.
    pub top: Top,
    pub warnings: Vec<Diagnostic>,
    /// Services whose Secrets or Services nobody has looked for.
    pub unresolved: usize,
}

impl Loaded {
    /// As a desired set.
    pub(super) fn desired(self, revision: u64) -> DesiredSet {
        DesiredSet { revision, services: self.services }
    }
}

/// What the inputs say, and what they looked like just before they were read.
pub(super) struct Attempt {
    pub outcome: Result<Loaded, ConfigErrors>,
    pub seen: Look,
}

/// The documents of all inputs and of the command line.
pub(super) struct Merged {
    pub documents: Documents,
    places: Places,
    errors: Vec<Diagnostic>,
}

impl Merged {
    /// The documents if all of them could be read, and where each part is from.
    ///
    /// # Errors
    /// Everything that could not be read, each with its file.
    pub(super) fn complete(self) -> Result<(Documents, Places), ConfigErrors> {
        match self.errors.is_empty() {
            true => Ok((self.documents, self.places)),
            false => Err(ConfigErrors(self.errors)),
        }
    }
}

/// Reads inputs. The GOST documents of all of them and the command line are one configuration, as in
/// GOST; every `WsTunnel` is one of its own.
pub(super) fn merge(inputs: &Inputs, line: &Line) -> Merged {
    let mut merged =
        Merged { documents: Documents::default(), places: Places::default(), errors: Vec::new() };
    let all = &mut merged.documents;
    for file in inputs.read() {
        let file = match file {
            Ok(file) => file,
            Err((name, error)) => {
                merged.errors.push(Diagnostic::new(name, Reason::Invalid, error.to_string()));
                continue;
            }
        };
        match read(&file.text) {
            Ok(documents) => {
                merged.places.file(&file.name, &all.gost, &documents.gost);
                let warnings = documents.warnings.into_iter();
                all.warnings.extend(warnings.map(|warning| warning.within(&file.name)));
                all.gost.extend(documents.gost);
                all.log = documents.log.or(all.log.take());
                all.metrics = documents.metrics.or(all.metrics.take());
                all.tunnels.extend(documents.tunnels);
                all.secrets.0.extend(documents.secrets.0);
            }
            Err(found) => merged.errors.extend(found.within(&file.name).0),
        }
    }
    merged.places.line(&all.gost, line);
    all.gost.extend(line.config.clone());
    all.warnings.extend(line.warnings.iter().cloned());
    merged
}

/// Who shall run what is judged.
#[derive(Clone, Copy, Debug)]
pub(super) enum For<'a> {
    /// This process.
    Here,
    /// A cluster, as far as it is about `WsTunnel`s, with these classes if they are known: what they
    /// refer to may be there.
    Cluster(Option<&'a Policy>),
}

/// What one configuration comes to: the GOST documents and the command line together, or a `WsTunnel`.
pub(super) struct Part<'a> {
    /// Of a `WsTunnel`.
    pub tunnel: Option<&'a TunnelDoc>,
    /// As it was written.
    pub config: &'a raw::Config,
    /// Paths are those of `config`.
    pub outcome: Result<Lowered, ConfigErrors>,
}

impl Merged {
    /// What was read, judged part by part, and what is wrong with the rest.
    pub(super) fn parts(&self, who: For<'_>) -> (Vec<Part<'_>>, Vec<Diagnostic>) {
        let all = &self.documents;
        let files = read_referenced(&self.referenced());
        let context = LowerContext::files("default", &all.secrets).with_files(&files);
        let outcome = lower(&all.gost, &context).and_then(flawless);
        let mut parts = vec![Part { tunnel: None, config: &all.gost, outcome }];
        let runs = |tunnel: &&TunnelDoc| matches!(who, For::Cluster(_)) || !tunnel.spec.suspend;
        for tunnel in all.tunnels.iter().filter(runs) {
            let outcome = match who {
                For::Here => {
                    let context = LowerContext::files(&tunnel.namespace, &all.secrets)
                        .of_tunnel(&tunnel.name);
                    lower_tunnel(&tunnel.spec, &context.with_files(&files)).and_then(flawless)
                }
                For::Cluster(classes) => cluster::judge(tunnel, &all.secrets, classes),
            };
            parts.push(Part { tunnel: Some(tunnel), config: &tunnel.spec.config, outcome });
        }
        planned::refuse(&mut parts, who);
        let mut errors = self.errors.clone();
        errors.extend(twice(&all.tunnels));
        (parts, errors)
    }

    /// The files that are referred to.
    fn referenced(&self) -> BTreeMap<String, Need> {
        let configs = std::iter::once(&self.documents.gost).chain(specs(&self.documents.tunnels));
        configs.flat_map(referenced).collect()
    }
}

/// From inputs and the command line to services, or everything that is wrong in all of them.
pub(super) fn load(inputs: &Inputs, line: &Line) -> Attempt {
    load_for(For::Here, inputs, line)
}

/// The same for somebody else.
pub(super) fn load_for(who: For<'_>, inputs: &Inputs, line: &Line) -> Attempt {
    let seen = inputs.look([]);
    let merged = merge(inputs, line);
    let (all, places) = (&merged.documents, &merged.places);
    let seen = seen.referring(merged.referenced().keys().map(String::as_str));
    let (parts, mut errors) = merged.parts(who);
    let (mut wrong, mut odd) = (Vec::new(), Vec::new());
    let top = top(all, &mut wrong, &mut odd);
    errors.extend(wrong.into_iter().map(|d| places.tell(d)));
    let mut loaded = Loaded { top, ..Loaded::default() };
    loaded.warnings.extend(odd.into_iter().map(|d| places.tell(d)));
    loaded.warnings.extend(all.warnings.iter().cloned());
    for Part { tunnel, outcome, .. } in parts {
        let tell = |found: Vec<Diagnostic>| found.into_iter().map(|d| places.tell(d)).collect();
        let (origin, outcome) = match tunnel {
            None => {
                let told =
                    |lowered: Lowered| Lowered { warnings: tell(lowered.warnings), ..lowered };
                (Origin::Files, outcome.map(told).map_err(|found| ConfigErrors(tell(found.0))))
            }
            Some(tunnel) => {
                let outcome = outcome.map_err(|found| found.within(&tunnel.title()));
                (Origin::tunnel(&tunnel.namespace, &tunnel.name), outcome)
            }
        };
        take(&mut loaded, &mut errors, &origin, outcome);
    }
    let outcome = if errors.is_empty() { Ok(loaded) } else { Err(ConfigErrors(errors)) };
    Attempt { outcome, seen }
}

fn specs(tunnels: &[TunnelDoc]) -> impl Iterator<Item = &raw::Config> {
    tunnels.iter().map(|tunnel| &tunnel.spec.config)
}

/// Reads the files that configurations refer to. What cannot be read is an error of the field that
/// names it, when the configuration is lowered.
fn read_referenced(needs: &BTreeMap<String, Need>) -> Files {
    let mut files = Files::default();
    for (path, need) in needs {
        let bytes = std::fs::read(path);
        let absent = bytes.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
        if absent && *need == Need::Optional {
            continue;
        }
        let bytes = bytes.map(|bytes| Secret::new(bytes.into())).map_err(|e| e.to_string());
        files.0.insert(path.clone(), bytes);
    }
    files
}

/// Says in the log what was read in spite of a doubt.
pub(super) fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
}

/// Services that can run. What shows only when they are built must not stop a part of a change.
fn flawless(lowered: Lowered) -> Result<Lowered, ConfigErrors> {
    let told = |(at, config)| {
        let Flaw { field, message } = Flaw::of(config)?;
        Some(Diagnostic::new(format!("services[{at}].{field}"), Reason::Invalid, message))
    };
    let found: Vec<_> = lowered.services.iter().enumerate().filter_map(told).collect();
    if found.is_empty() { Ok(lowered) } else { Err(ConfigErrors(found)) }
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
            let closed = |references: &&References| !references.missing.is_empty();
            loaded.unresolved += lowered.references.values().filter(closed).count();
            let outlines = lowered.outlines.into_iter();
            loaded.outlines.extend(
                outlines.map(|config| (ServiceKey::new(origin.clone(), &config.name), config)),
            );
            let exposures = lowered.exposures.into_iter();
            loaded.exposures.extend(
                exposures.map(|(name, expose)| (ServiceKey::new(origin.clone(), &name), expose)),
            );
            loaded.services.extend(lowered.services.into_iter().map(|config| {
                let key = ServiceKey::new(origin.clone(), &config.name);
                let desired = Desired {
                    config: Arc::new(config),
                    claim: Claim::default(),
                    drain,
                    closed: false,
                    terms: None,
                };
                (key, desired)
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
