//! From what a user wrote to what may run: the only way to a [`ServiceConfig`].
//!
//! The pass goes on after an error, to report all of them; what an error touches is left out, so no
//! error is the consequence of another. The texts are the same on stderr, in `adit check` and in
//! an object's condition.

mod addr;
mod auth;
mod chain;
mod handler;
mod listener;
mod references;
mod service;

use std::collections::BTreeSet;
use std::time::Duration;

use super::defaults;
use super::error::{ConfigErrors, Diagnostic, Findings};
use super::model::ServiceConfig;
use super::raw;
use super::secrets::Secrets;
use crate::base::GoDuration;

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
    /// `pingInterval` where none is written.
    pub default_ping: Option<Duration>,
    /// The ports that all tunnels share. A loopback target never means one of them.
    pub front_ports: &'a [u16],
}

impl<'a> LowerContext<'a> {
    /// For files and the command line. GOST documents have no namespace of their own: `default`.
    pub fn files(namespace: &'a str, secrets: &'a Secrets) -> Self {
        Self { mode: Mode::Files, namespace, secrets, default_ping: None, front_ports: &[] }
    }

    /// For objects of the API server.
    pub fn controller(namespace: &'a str, secrets: &'a Secrets, front_ports: &'a [u16]) -> Self {
        let default_ping = Some(defaults::CONTROLLER_PING_INTERVAL);
        Self { mode: Mode::Controller, namespace, secrets, default_ping, front_ports }
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
    let services = services(&spec.config, context, &mut findings);
    finish(Lowered { services, drain, warnings: Vec::new() }, findings)
}

fn finish(lowered: Lowered, findings: Findings) -> Result<Lowered, ConfigErrors> {
    let (mut lowered, warnings) = findings.into_result(lowered)?;
    lowered.warnings = warnings;
    Ok(lowered)
}

fn drain(spec: &raw::TunnelSpec, findings: &mut Findings) -> Option<Duration> {
    let text = spec.drain.as_ref()?.timeout.as_ref()?;
    match text.parse::<GoDuration>() {
        Ok(duration) => Some(duration.0),
        Err(e) => {
            findings.invalid("drain.timeout", e.to_string());
            None
        }
    }
}

fn services(
    config: &raw::Config,
    context: &LowerContext,
    findings: &mut Findings,
) -> Vec<ServiceConfig> {
    // What services refer to is lowered first, but reported in the order of the document.
    let mut later = Findings::default();
    let loopback_ports = loopback_ports(config, context);
    let chains = chain::lower_all(config, context, &loopback_ports, &mut later);
    let authers = auth::lower_all(config, context, &mut later);
    let scope = service::Scope {
        context,
        chains: &chains,
        authers: &authers,
        loopback_ports: &loopback_ports,
    };
    let services = service::lower_all(&config.services, &scope, findings);
    findings.errors.append(&mut later.errors);
    findings.warnings.append(&mut later.warnings);
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
