//! To command lines.

mod chain;
mod exact;
mod forward;
mod listen;
mod said;
mod url;

use std::collections::BTreeMap;
use std::fmt;

use chain::Chain;

use super::copies::drop_left_over;
use super::own_tls;
use crate::base::Reason;
use crate::base::shell::quoted;
use crate::config::cmdline;
use crate::config::error::{Diagnostic, Findings};
use crate::config::raw;

/// One command: services that go through the same chain.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// The values of `-L`.
    pub listen: Vec<String>,
    /// The values of `-F`.
    pub forward: Vec<String>,
}

impl fmt::Display for Command {
    /// As a shell takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("adit")?;
        self.listen.iter().try_for_each(|text| write!(f, " -L {}", quoted(text)))?;
        self.forward.iter().try_for_each(|text| write!(f, " -F {}", quoted(text)))
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = (self.listen.len(), self.forward.len());
        f.debug_tuple("Command").field(&counts).finish()
    }
}

/// A service or hop that no URL can say: the end of its path, and why.
#[derive(Debug)]
struct Unsaid {
    key: String,
    why: String,
}

impl Unsaid {
    fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self { key: key.into(), why: why.into() }
    }
}

/// A configuration that may run as commands, one for each chain, and a word on everything that is
/// other than it was. What a URL cannot say of how a service looks is dropped; a service that would be
/// open without it, or go elsewhere, is left out.
pub fn commands(config: &raw::Config) -> (Vec<Command>, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let mut config = config.clone();
    own_tls(&mut config);
    drop_left_over(&mut config, &mut findings);
    let objects = exact::objects(&config);
    let chains = chain::all(&config, &objects, &mut findings);
    // By the chain's name: the names of its services, and the command.
    let mut groups: Vec<(&str, Vec<&str>, Command)> = Vec::new();
    for (i, service) in config.services.iter().enumerate() {
        let path = format!("services[{i}]");
        let written = chain_of(service, &chains).and_then(|(name, chain)| {
            let both = (&config, &objects);
            Ok((name, chain, listen_text(service, chain, both, &path, &mut findings)?))
        });
        match written {
            Ok((name, chain, text)) => {
                let mut same = groups.iter_mut().filter(|(other, ..)| *other == name);
                if let Some((_, names, command)) = same.next() {
                    names.push(&service.name);
                    command.listen.push(text);
                } else {
                    let command = Command { listen: vec![text], forward: chain.texts.clone() };
                    groups.push((name, vec![&service.name], command));
                }
            }
            Err(Unsaid { key, why }) => {
                let message = format!("the service is left out: {why}; keep it in a file");
                findings.warn(&format!("{path}.{key}"), Reason::Unsupported, message);
            }
        }
    }
    let numbered =
        |names: &[&str]| names.iter().enumerate().all(|(i, name)| *name == format!("service-{i}"));
    if !groups.iter().all(|(_, names, _)| numbered(names)) {
        let message = "names are dropped: on a command line services are service-0 and so on";
        findings.warn("", Reason::Accepted, message);
    }
    let commands: Vec<Command> = groups.into_iter().map(|(.., command)| command).collect();
    // Everywhere else an @ is encoded.
    let mut texts = commands.iter().flat_map(|c| c.listen.iter().chain(&c.forward));
    if texts.any(|text| text.contains('@')) {
        let message =
            "a password is part of a command: a file keeps it out of the list of processes";
        findings.warn("", Reason::Accepted, message);
    }
    (commands, findings.warnings)
}

/// The chain that a service goes through, with its name.
fn chain_of<'a>(
    service: &'a raw::Service,
    chains: &'a BTreeMap<&str, Option<Chain>>,
) -> Result<(&'a str, &'a Chain), Unsaid> {
    let of_handler = service.handler.as_ref().map(|h| h.chain.as_str()).unwrap_or_default();
    let (key, name) = match &service.listener {
        Some(listener) if cmdline::is_remote(&listener.kind) => {
            if !of_handler.is_empty() {
                let why = "-F is the chain of the remote listener";
                return Err(Unsaid::new("handler.chain", why));
            }
            ("listener.chain", listener.chain.as_str())
        }
        _ => ("handler.chain", of_handler),
    };
    match chains.get(name) {
        _ if name.is_empty() => Ok(("", Chain::none())),
        Some(Some(chain)) => Ok((name, chain)),
        _ => Err(Unsaid::new(key, format!("no -F says what chain {name:?} does"))),
    }
}

/// A service as `-L`.
fn listen_text(
    service: &raw::Service,
    chain: &Chain,
    (config, objects): (&raw::Config, &raw::Config),
    path: &str,
    findings: &mut Findings,
) -> Result<String, Unsaid> {
    let (service, url) = listen::service(service, config, path, findings)?;
    let texts = [true, false].map(|plain| url.text(plain));
    let mut exact = texts
        .into_iter()
        .filter(|text| exact::says(std::slice::from_ref(text), &service, chain, objects));
    exact.next().ok_or_else(|| Unsaid::new("handler", "no -L says exactly this"))
}
