//! From what a user wrote to what may run: the only way to a [`ServiceConfig`].
//!
//! The pass goes on after an error, to report all of them; what an error touches is left out, so no
//! error is the consequence of another. The texts are the same on stderr, in `adit check` and in
//! an object's condition.

mod addr;
mod auth;
mod chain;
mod connector;
mod dialer;
mod file;
mod forward;
mod gates;
mod handler;
mod limits;
mod listener;
mod mux;
mod references;
mod resolve;
mod scope;
mod selector;
mod service;
mod tls;

use std::collections::BTreeSet;
use std::time::Duration;

use super::defaults;
use super::error::{ConfigErrors, Diagnostic, Findings};
use super::files::Files;
use super::model::ServiceConfig;
use super::raw;
use super::secrets::Secrets;
use crate::base::duration::DurationError;
use crate::base::{GoDuration, Reason};

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
    /// The Secrets that are known.
    pub secrets: &'a Secrets,
    /// The files that were read for it; see [`referenced`](super::files::referenced).
    pub files: &'a Files,
    /// `pingInterval` where none is written.
    pub default_ping: Option<Duration>,
    /// The ports that all tunnels share. A loopback target never means one of them.
    pub front_ports: &'a [u16],
}

impl<'a> LowerContext<'a> {
    /// For files and the command line. GOST documents have no namespace of their own: `default`.
    pub fn files(namespace: &'a str, secrets: &'a Secrets) -> Self {
        let files = Files::none();
        Self { mode: Mode::Files, namespace, secrets, files, default_ping: None, front_ports: &[] }
    }

    /// The same with the files that the configuration refers to.
    #[must_use]
    pub fn with_files(self, files: &'a Files) -> Self {
        Self { files, ..self }
    }

    /// For objects of the API server.
    pub fn controller(namespace: &'a str, secrets: &'a Secrets, front_ports: &'a [u16]) -> Self {
        let default_ping = Some(defaults::CONTROLLER_PING_INTERVAL);
        let files = Files::none();
        Self { mode: Mode::Controller, namespace, secrets, files, default_ping, front_ports }
    }
}

/// A configuration that may run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lowered {
    /// The services in the order in which they were written.
    pub services: Vec<ServiceConfig>,
    /// `spec.drain.timeout` of a `WsTunnel`.
    pub drain: Option<Duration>,
    /// What is allowed but worth a word, those of the services among them.
    pub warnings: Vec<Diagnostic>,
}

/// Validates a configuration.
///
/// # Errors
/// Everything that is wrong, at once. Then nothing of the configuration may run.
pub fn lower(config: &raw::Config, context: &LowerContext) -> Result<Lowered, ConfigErrors> {
    let mut findings = Findings::default();
    let lowered =
        Lowered { services: services(config, context, &mut findings), ..Lowered::default() };
    finish(lowered, findings)
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
    let drain = drain(spec, &mut findings);
    if spec.config.tls.is_some() {
        let message = "a WsTunnel has no certificate for all of its listeners; write listener.tls";
        findings.invalid("tls", message);
    }
    let services = services(&spec.config, context, &mut findings);
    finish(Lowered { services, drain, warnings: Vec::new() }, findings)
}

/// Whether an error is only about what lies outside of the configuration, a file that was not read or
/// a Secret that is not known: with it, the configuration may be fine.
pub fn is_about_outside(error: &Diagnostic) -> bool {
    error.reason == Reason::SecretNotFound || error.message.ends_with(file::NOT_READ)
}

fn finish(lowered: Lowered, findings: Findings) -> Result<Lowered, ConfigErrors> {
    let (mut lowered, warnings) = findings.into_result(lowered)?;
    lowered.warnings = warnings;
    Ok(lowered)
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
) -> Vec<ServiceConfig> {
    // What services refer to is lowered first, but reported in the order of the document.
    let mut later = Findings::default();
    let mut of_scope = Findings::default();
    let scope = scope::Scope::new(config, context, loopback_ports(config, context), &mut of_scope);
    let routes = chain::lower_all(config, &scope, &mut later);
    let services = service::lower_all(&config.services, &scope, &routes, findings);
    for mut part in [later, of_scope] {
        findings.errors.append(&mut part.errors);
        findings.warnings.append(&mut part.warnings);
    }
    services
}

/// Ports of this object's own tcp listeners: the only loopback targets that a tenant may name.
fn loopback_ports(config: &raw::Config, context: &LowerContext) -> BTreeSet<u16> {
    let tcp = |s: &&raw::Service| {
        s.listener.as_ref().is_none_or(|l| matches!(l.kind.as_str(), "" | "tcp"))
    };
    let ports = config.services.iter().filter(tcp).filter_map(|s| addr::listen(&s.addr).ok());
    ports.map(|a| a.port).filter(|p| !context.front_ports.contains(p)).collect()
}

#[cfg(test)]
mod tests;
