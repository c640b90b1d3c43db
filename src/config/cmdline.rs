//! `-L` and `-F` texts to a configuration, as GOST reads them.
//!
//! A superset where GOST is silent: an unknown scheme is an error and never `auto` over `tcp`, a port
//! that is none is an error and never a random one, a parameter whose feature is missing is refused by
//! name. Messages name parts of a text, never the text: it may hold a password.

mod forward;
mod listen;
mod parts;

use super::error::{ConfigErrors, Diagnostic, Findings};
use super::raw;

/// The chain that all `-F` make up, and all `-L` go through.
const CHAIN: &str = "chain-0";

/// Reads the texts of all `-L` and all `-F`, in their order.
///
/// The services are called `service-0` and so on; every `-F` is a hop of the chain `chain-0`.
///
/// # Errors
/// All at once; their paths are `-L[0]`, `-F[1]`.
pub fn parse(
    listen: &[String],
    forward: &[String],
) -> Result<(raw::Config, Vec<Diagnostic>), ConfigErrors> {
    let mut findings = Findings::default();
    let mut config = raw::Config::default();
    for (i, text) in listen.iter().enumerate() {
        if !text.trim().is_empty() {
            config.services.extend(listen::services(text, &format!("-L[{i}]"), &mut findings));
        }
    }
    let hop =
        |(i, text): (usize, &String)| forward::hop(text, i, &format!("-F[{i}]"), &mut findings);
    let hops: Vec<raw::Hop> = forward.iter().enumerate().filter_map(hop).collect();
    for (i, service) in config.services.iter_mut().enumerate() {
        service.name = format!("service-{i}");
        if !hops.is_empty() {
            service.handler.get_or_insert_default().chain = CHAIN.into();
        }
    }
    if !hops.is_empty() {
        config.chains.push(raw::Chain { name: CHAIN.into(), hops });
    }
    findings.into_result(config)
}

#[cfg(test)]
mod tests;
