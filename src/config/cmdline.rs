//! `-L` and `-F` texts to a configuration, as GOST reads them.
//!
//! A superset where GOST is silent: an unknown scheme is an error and never `auto` over `tcp`, a port
//! that is none is an error and never a random one, a handler that a target would displace is an
//! error, as is TLS for a scheme without TLS; a parameter whose feature is missing is refused by
//! name. Messages name parts of a text, never the text: it may hold a password.

mod forward;
mod listen;
mod objects;
mod parts;

use super::error::{ConfigErrors, Diagnostic, Findings};
use super::raw;

/// The chain that all `-F` make up, and all `-L` go through.
pub(super) const CHAIN: &str = "chain-0";

/// The most services that a command line stands for: port ranges multiply them.
const MOST_SERVICES: usize = 4096;

/// Listeners that ask the last node of their chain to listen, as in GOST.
const REMOTE: &[&str] = &["rtcp", "rudp", "runix"];

/// What a command line declares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// The configuration, as GOST would write it down.
    pub config: raw::Config,
    /// What was read in spite of a doubt.
    pub warnings: Vec<Diagnostic>,
    /// How messages call what is at a path: `services[0]` is `-L ws://:8080`.
    pub labels: Vec<(String, String)>,
}

/// Reads the texts of all `-L` and all `-F`, in their order.
///
/// The services are called `service-0` and so on; every `-F` is a hop of the chain `chain-0`.
///
/// # Errors
/// All at once; their paths are `-L ws://:8080`, without user info and parameters.
pub fn parse(listen: &[String], forward: &[String]) -> Result<Line, ConfigErrors> {
    let mut findings = Findings::default();
    let mut line = Line::default();
    for (i, text) in forward.iter().enumerate() {
        let label = parts::label("-F", i, text);
        let several = forward.len() > 1;
        let before = objects::Counts::of(&line.config);
        let hop = forward::hop(text, i, several, &label, &mut line.config, &mut findings);
        if let Some(hop) = hop {
            let path = match line.config.chains.first_mut() {
                Some(chain) => {
                    chain.hops.push(hop);
                    format!("chains[0].hops[{}]", chain.hops.len() - 1)
                }
                None => {
                    line.config.chains.push(raw::Chain { name: CHAIN.into(), hops: vec![hop] });
                    "chains[0].hops[0]".into()
                }
            };
            line.labels.push((path, label.clone()));
        }
        before.label_new(&label, &mut line);
    }
    for (i, text) in listen.iter().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let label = parts::label("-L", i, text);
        let before = objects::Counts::of(&line.config);
        let services = listen::services(text, &label, &mut line.config, &mut findings);
        if line.config.services.len() + services.len() > MOST_SERVICES {
            findings.invalid(&label, format!("more than {MOST_SERVICES} services in all"));
            continue;
        }
        for mut service in services {
            let at = line.config.services.len();
            service.name = format!("service-{at}");
            if !forward.is_empty() {
                through_chain(&mut service);
            }
            line.config.services.push(service);
            line.labels.push((format!("services[{at}]"), label.clone()));
        }
        before.label_new(&label, &mut line);
    }
    let (mut line, warnings) = findings.into_result(line)?;
    line.warnings = warnings;
    Ok(line)
}

/// Whether it is the listener that goes through the chain, and not the handler.
pub(super) fn is_remote(listener: &str) -> bool {
    REMOTE.contains(&listener)
}

/// Sends a service through the chain.
pub(super) fn through_chain(service: &mut raw::Service) {
    let listener = service.listener.get_or_insert_default();
    if is_remote(&listener.kind) {
        listener.chain = CHAIN.into();
    } else {
        service.handler.get_or_insert_default().chain = CHAIN.into();
    }
}

#[cfg(test)]
mod tests;
