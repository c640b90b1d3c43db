//! What is written means what was read.

use super::meaning::nameless;
use super::*;
use crate::config::cmdline;
use crate::config::error::Diagnostic;
use crate::config::lower::{LowerContext, lower, lower_tunnel};
use crate::config::model::ServiceConfig;
use crate::config::read::{Documents, read};
use crate::config::secrets::Secrets;

mod commands;
mod law;
mod objects;

fn config(text: &str) -> raw::Config {
    read(text).unwrap_or_else(|e| panic!("{text}{e}")).gost
}

fn line(text: &str) -> raw::Config {
    let mut texts = [Vec::new(), Vec::new()];
    let words: Vec<&str> = text.split_whitespace().collect();
    for pair in words.chunks(2) {
        texts[usize::from(pair[0] == "-F")].push(pair[1].to_string());
    }
    cmdline::parse(&texts[0], &texts[1]).unwrap_or_else(|e| panic!("{text}: {e}")).config
}

const WANTED: Wanted =
    Wanted { name: "edge", namespace: Some("team-a"), inline: false, fronts: (8080, 8443) };

fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}

/// The documents of a configuration as a `WsTunnel`, read again, and what is said.
fn as_tunnel(config: &raw::Config, wanted: &Wanted) -> (Documents, Vec<String>) {
    let spec = raw::TunnelSpec { config: config.clone(), ..raw::TunnelSpec::default() };
    let (objects, said) = tunnel(spec, wanted);
    let objects = objects.unwrap_or_else(|| panic!("nothing is left: {said:?}"));
    let mut text = serde_yaml::to_string(&objects.tunnel).unwrap();
    for secret in &objects.secrets {
        text = text + "---\n" + &serde_yaml::to_string(secret).unwrap();
    }
    let documents = read(&text).unwrap_or_else(|e| panic!("{text}{e}"));
    assert_eq!(documents.warnings, []);
    let spec = serde_json::to_value(&documents.tunnels[0].spec).unwrap();
    assert!(spec["services"].is_array());
    (documents, lines(&said))
}

/// The same, opened again into a configuration of GOST's.
fn and_back(documents: &Documents) -> (raw::Config, Vec<String>) {
    let (config, said) = gost(&documents.tunnels[0], &documents.secrets).unwrap();
    (config, lines(&said))
}

fn meant(config: &raw::Config) -> Vec<ServiceConfig> {
    let secrets = Secrets::default();
    let lowered = lower(config, &LowerContext::files("default", &secrets));
    let services = lowered.unwrap_or_else(|e| panic!("{e}\n{config:#?}")).services;
    services.into_iter().map(nameless).collect()
}

fn meant_by_tunnel(documents: &Documents) -> Vec<ServiceConfig> {
    let tunnel = &documents.tunnels[0];
    let context = LowerContext::files(&tunnel.namespace, &documents.secrets);
    let lowered = lower_tunnel(&tunnel.spec, &context);
    let services = lowered.unwrap_or_else(|e| panic!("{e}\n{tunnel:#?}")).services;
    services.into_iter().map(nameless).collect()
}

/// What a cluster makes of addresses: the one thing that it has others of.
fn at_port(mut services: Vec<ServiceConfig>) -> Vec<ServiceConfig> {
    for service in &mut services {
        let tls = matches!(service.listener.kind(), "wss" | "mwss");
        if service.listen.port == 0 {
            service.listen.port = if tls { 8443 } else { 8080 };
        }
        service.listen.host = None;
    }
    services
}

/// Commands for a configuration, read again.
fn as_commands(config: &raw::Config) -> (Vec<Command>, Vec<ServiceConfig>, Vec<String>) {
    let (written, said) = commands(config);
    let read = |command: &Command| {
        let line = cmdline::parse(&command.listen, &command.forward);
        meant(&line.unwrap_or_else(|e| panic!("{command}: {e}")).config)
    };
    let services = written.iter().flat_map(read).collect();
    (written, services, lines(&said))
}
