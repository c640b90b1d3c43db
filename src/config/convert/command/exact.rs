//! Whether a command line says exactly what a service does.

use super::Chain;
use crate::config::cmdline;
use crate::config::convert::meaning::{meaning, without_tls};
use crate::config::raw;

/// What services refer to, but for what is kept in files: no URL says that, and they need not be here.
pub(super) fn objects(config: &raw::Config) -> raw::Config {
    let mut objects = raw::Config {
        services: Vec::new(),
        chains: Vec::new(),
        hops: Vec::new(),
        tls: None,
        ..config.clone()
    };
    objects.authers.retain(|a| a.file.is_none() && a.auths.iter().all(|auth| auth.file.is_empty()));
    objects.admissions.retain(|entry| entry.file.is_none());
    objects.bypasses.retain(|entry| entry.file.is_none());
    objects.hosts.retain(|entry| entry.file.is_none());
    for limiters in [&mut objects.limiters, &mut objects.climiters, &mut objects.rlimiters] {
        limiters.retain(|entry| entry.file.is_none());
    }
    objects
}

/// Whether a command line does what a service does that goes through a chain. TLS is not looked at, for
/// the same reason.
pub(super) fn says(
    listen: &[String],
    service: &raw::Service,
    chain: &Chain,
    objects: &raw::Config,
) -> bool {
    let Ok(line) = cmdline::parse(listen, &chain.texts) else { return false };
    let mut written = raw::Config { services: vec![service.clone()], ..objects.clone() };
    if !chain.hops.is_empty() {
        let name = cmdline::CHAIN;
        written.chains = vec![raw::Chain { name: name.into(), hops: chain.hops.clone() }];
        written.services.iter_mut().for_each(cmdline::through_chain);
    }
    let meant = |config| meaning(&without_tls(config)).map(|(services, _)| services);
    match (meant(written), meant(line.config)) {
        (Ok(written), Ok(read)) => written == read,
        _ => false,
    }
}
