//! From what a user wrote to what may run: the only way to a [`ServiceConfig`].
//!
//! The pass goes on after an error, to report all of them; what an error touches is left out, so no
//! error is the consequence of another. The texts are the same on stderr, in `adit check` and in
//! an object's condition.

mod addr;
mod auth;
mod chain;
mod circle;
mod connector;
mod dialer;
mod endpoints;
mod expose;
mod file;
mod forward;
mod gates;
mod handler;
mod limits;
mod listener;
mod mux;
mod names;
mod nodes;
mod outline;
mod references;
mod resolve;
mod scope;
mod secret;
mod selector;
mod service;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::defaults;
use super::envelope;
use super::error::{ConfigErrors, Diagnostic, Findings, Loaded};
use super::files::Files;
use super::model::{ClassLimits, ExposeConfig, HandlerConfig, ServiceConfig};
use super::raw;
use super::secrets::{ClassCertificate, Holder, Kept, Secrets};
use super::services::Services;
use crate::base::duration::DurationError;
use crate::base::{GoDuration, Reason};
pub use tls::{UnusableCertificate, usable as usable_certificate};

/// Who wrote the configuration, and so what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Whoever starts the process: files, the command line.
    Files,
    /// A tenant of the cluster: the process acts with an identity that the author does not have.
    Controller,
}

/// What lowering depends on besides the configuration.
#[derive(Clone, Copy, Debug)]
pub struct LowerContext<'a> {
    /// Who wrote it.
    pub mode: Mode,
    /// The namespace that `secretRef`s look in.
    pub namespace: &'a str,
    /// The name of the `WsTunnel`, which those of its Services begin with; empty if it is none.
    pub tunnel: &'a str,
    /// The Secrets that are known.
    pub secrets: &'a Secrets,
    /// The Services that are known; none are, where there is no cluster.
    pub services: Option<&'a Services>,
    /// What Secrets held when the same object last used them.
    pub kept: Option<&'a Kept>,
    /// What listeners without a certificate show, if their class has one.
    pub class_certificate: Option<ClassCertificate<'a>>,
    /// The files that were read for it; see [`referenced`](super::files::referenced).
    pub files: &'a Files,
    /// `pingInterval` where none is written.
    pub default_ping: Option<Duration>,
    /// The ports that all tunnels share. A loopback target never means one of them.
    pub front_ports: &'a [u16],
    /// What a tenant's class allows, and with it every other bound of [`envelope`]. `None`: files have
    /// GOST's freedom.
    pub limits: Option<&'a ClassLimits>,
    /// How many endpoints of a Service are nodes.
    endpoints: usize,
}

/// Of a class that says nothing.
static LIMITS: LazyLock<ClassLimits> = LazyLock::new(ClassLimits::default);

impl<'a> LowerContext<'a> {
    /// For files and the command line. GOST documents have no namespace of their own: `default`.
    pub fn files(namespace: &'a str, secrets: &'a Secrets) -> Self {
        let files = Files::none();
        Self {
            mode: Mode::Files,
            namespace,
            tunnel: "",
            secrets,
            services: None,
            kept: None,
            class_certificate: None,
            files,
            default_ping: None,
            front_ports: &[],
            limits: None,
            endpoints: envelope::ENDPOINTS,
        }
    }

    /// The same with the files that the configuration refers to.
    #[must_use]
    pub fn with_files(self, files: &'a Files) -> Self {
        Self { files, ..self }
    }

    /// For objects of the API server, whose class says nothing of limits.
    pub fn controller(namespace: &'a str, secrets: &'a Secrets, front_ports: &'a [u16]) -> Self {
        let default_ping = Some(defaults::CONTROLLER_PING_INTERVAL);
        let files = Files::none();
        let mode = Mode::Controller;
        let own = Self::files(namespace, secrets);
        Self { mode, files, default_ping, front_ports, limits: Some(&LIMITS), ..own }
    }

    /// The same for an object whose class has these limits.
    #[must_use]
    pub fn with_limits(self, limits: &'a ClassLimits) -> Self {
        Self { limits: Some(limits), ..self }
    }

    /// The same with the Services of the cluster.
    #[must_use]
    pub fn with_services(self, services: &'a Services) -> Self {
        Self { services: Some(services), ..self }
    }

    /// The same for an object that used Secrets before.
    #[must_use]
    pub fn with_kept(self, kept: &'a Kept) -> Self {
        Self { kept: Some(kept), ..self }
    }

    /// The same for an object of a class with this default certificate.
    #[must_use]
    pub fn with_class_certificate(self, certificate: Option<ClassCertificate<'a>>) -> Self {
        Self { class_certificate: certificate, ..self }
    }

    /// The same for the `WsTunnel` of this name.
    #[must_use]
    pub fn of_tunnel(self, tunnel: &'a str) -> Self {
        Self { tunnel, ..self }
    }
}

/// A configuration that may run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lowered {
    /// The services in the order in which they were written.
    pub services: Vec<ServiceConfig>,
    /// Which of them a Service leads to, by name.
    pub exposures: BTreeMap<Arc<str>, ExposeConfig>,
    /// `spec.drain.timeout` of a `WsTunnel`.
    pub drain: Option<Duration>,
    /// The services that must not run as long as something is missing, as they would be without it.
    pub outlines: Vec<ServiceConfig>,
    /// What is allowed but worth a word, those of the services among them.
    pub warnings: Vec<Diagnostic>,
    /// What is known of the references of each service that has some, by its name. One with
    /// `missing` ones is not among `services`. From files that is an error of the whole.
    pub references: BTreeMap<Arc<str>, References>,
    /// Whose certificates and CAs are in use, and whether they are what they hold now.
    pub loaded: BTreeMap<Holder, bool>,
}

/// What is known of what a service refers to, itself and by its chain and authers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Why it must not serve. None: it may.
    pub missing: Vec<Diagnostic>,
    /// What does not hold any more, while what it led to before goes on.
    pub stale: Vec<Diagnostic>,
    /// Certificates in use: whose each is, and when it ends.
    pub certificates: BTreeMap<Holder, Timestamp>,
}

impl References {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Validates a configuration.
///
/// # Errors
/// Everything that is wrong, at once. Then nothing of the configuration may run. In a cluster a
/// reference that leads to nothing is none of them: it ends the services that need it, and nobody
/// has to edit the object once it leads to something.
pub fn lower(config: &raw::Config, context: &LowerContext) -> Result<Lowered, ConfigErrors> {
    let mut findings = Findings::default();
    within_bounds(config, context)?;
    let services = services(config, context, &mut findings);
    let exposures = expose::lower_all(&config.services, context, &mut findings);
    finish(services, context, Lowered { exposures, ..Lowered::default() }, findings)
}

/// Validates the spec of a `WsTunnel`.
///
/// # Errors
/// As [`lower`].
pub fn lower_tunnel(
    spec: &raw::TunnelSpec,
    context: &LowerContext,
) -> Result<Lowered, ConfigErrors> {
    let mut findings = Findings::default();
    within_bounds(spec, context)?;
    let drain = drain(spec, &mut findings);
    if spec.config.tls.is_some() {
        let message = "a WsTunnel has no certificate for all of its listeners; write listener.tls";
        findings.invalid("tls", message);
    }
    let services = services(&spec.config, context, &mut findings);
    let exposures = expose::lower_all(&spec.config.services, context, &mut findings);
    let lowered = Lowered { exposures, drain, ..Lowered::default() };
    let mut lowered = finish(services, context, lowered, findings)?;
    lowered.outlines = outline::outlines(&spec.config, context, &lowered.references);
    if context.mode == Mode::Controller {
        let services = lowered.services.iter().chain(&lowered.outlines);
        lowered.warnings.extend(open_by_declaration(&spec.config, services));
    }
    Ok(lowered)
}

/// Whether an error is only about what lies outside of the configuration, a file that was not read or
/// a Secret that is not known: with it, the configuration may be fine.
pub fn is_about_outside(error: &Diagnostic) -> bool {
    error.reason == Reason::SecretNotFound || error.message.ends_with(file::NOT_READ)
}

fn finish(
    services: Vec<service::LoweredService>,
    context: &LowerContext,
    mut lowered: Lowered,
    mut findings: Findings,
) -> Result<Lowered, ConfigErrors> {
    let (stale, loaded) =
        (std::mem::take(&mut findings.stale), std::mem::take(&mut findings.loaded));
    let mut missing = Vec::new();
    if context.mode == Mode::Controller
        && findings.errors.iter().all(|e| e.reason.is_of_reference())
    {
        missing = std::mem::take(&mut findings.errors);
    }
    for service in services {
        let touches = |path: &str| service.touches(path);
        let of = |all: &[Diagnostic]| all.iter().filter(|d| touches(&d.path)).cloned().collect();
        let ends = loaded.iter().filter(|l| touches(&l.path));
        let references = References {
            missing: of(&missing),
            stale: of(&stale),
            certificates: ends.filter_map(|l| Some((l.holder.clone(), l.ends?))).collect(),
        };
        // Also by what is missing, not only by what could not be made: never a service without
        // what should have protected it.
        if references.missing.is_empty() {
            lowered.services.extend(service.config);
        }
        if !references.is_empty() {
            lowered.references.insert(service.name.as_str().into(), references);
        }
    }
    for Loaded { holder, current, .. } in loaded {
        *lowered.loaded.entry(holder).or_insert(current) &= current;
    }
    let (mut lowered, warnings) = findings.into_result(lowered)?;
    lowered.warnings = warnings;
    Ok(lowered)
}

/// Whether a tenant's fields are within their bounds. If not, nothing else is looked at: how much that
/// would be is what was not bounded.
fn within_bounds(spec: &impl Serialize, context: &LowerContext) -> Result<(), ConfigErrors> {
    let Some(limits) = context.limits else { return Ok(()) };
    // A spec has text keys only, so it can always be written.
    let spec = serde_json::to_value(spec).unwrap_or_default();
    let diagnostic = |(path, message)| Diagnostic::new(path, Reason::Invalid, message);
    let found: Vec<_> = envelope::misfits(&spec, limits).into_iter().map(diagnostic).collect();
    if found.is_empty() { Ok(()) } else { Err(ConfigErrors(found)) }
}

/// A word on the services that ask nobody who they are and go to declared targets: a tenant of a
/// cluster has to know which these are.
fn open_by_declaration<'a>(
    config: &raw::Config,
    services: impl Iterator<Item = &'a ServiceConfig>,
) -> Option<Diagnostic> {
    let open = services.filter(|service| matches!(service.handler, HandlerConfig::Forward(_)));
    let open: BTreeSet<&str> = open.map(|service| &*service.name).collect();
    // In the order of the spec.
    let names = config.services.iter().map(|service| &*service.name);
    let names: Vec<&str> = names.filter(|name| open.contains(name)).collect();
    let message = match &*names {
        [] => return None,
        [name] => {
            format!("service {name} is open: it forwards to its declared targets without users")
        }
        names => format!(
            "services {} are open: they forward to their declared targets without users",
            names.join(", ")
        ),
    };
    Some(Diagnostic::new("", Reason::Accepted, message))
}

fn drain(spec: &raw::TunnelSpec, findings: &mut Findings) -> Option<Duration> {
    duration(spec.drain.as_ref()?.timeout.as_ref()?, "drain.timeout", findings)
}

/// A duration of a typed field. GOST takes a bare number there for nanoseconds: here it is an error.
fn duration(text: &str, path: &str, findings: &mut Findings) -> Option<Duration> {
    let report = |e: DurationError| findings.invalid(path, e.to_string());
    text.parse::<GoDuration>().map_err(report).ok().map(|duration| duration.0)
}

fn services(
    config: &raw::Config,
    context: &LowerContext,
    findings: &mut Findings,
) -> Vec<service::LoweredService> {
    let most = match nodes::most_endpoints(config, context) {
        Ok(most) => most,
        Err(error) => {
            findings.errors.push(error);
            return Vec::new();
        }
    };
    let context = &LowerContext { endpoints: most, ..*context };
    // What services refer to is lowered first, but reported in the order of the document.
    let mut later = Findings::default();
    let mut of_scope = Findings::default();
    let scope = scope::Scope::new(config, context, loopback_ports(config, context), &mut of_scope);
    let routes = chain::lower_all(config, &scope, &mut later);
    let services = service::lower_all(&config.services, &scope, &routes, findings);
    let mut of_names = Findings::default();
    if context.mode == Mode::Controller {
        names::check(config, &mut of_names);
    }
    for part in [later, of_scope, of_names] {
        findings.append(part);
    }
    services
}

/// Ports of this object's own tcp listeners: the only loopback targets that a tenant may name.
fn loopback_ports(config: &raw::Config, context: &LowerContext) -> BTreeSet<u16> {
    let tcp = |s: &&raw::Service| {
        s.listener.as_ref().is_none_or(|l| matches!(l.kind.as_str(), "" | "tcp"))
    };
    // An exposed one is not bound there.
    let bound =
        config.services.iter().filter(|s| context.mode == Mode::Files || s.expose.is_none());
    let ports = bound.filter(tcp).filter_map(|s| addr::listen(&s.addr).ok());
    ports.map(|a| a.port).filter(|p| !context.front_ports.contains(p)).collect()
}

#[cfg(test)]
mod tests;
