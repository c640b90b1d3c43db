//! `-L`: a service, or one for each port of a range.

use super::objects::Objects;
use super::parts::Parts;
use crate::config::error::Findings;
use crate::config::raw;
use crate::config::types::{HANDLERS, LISTENERS};

/// Parameters that only a file can say, and GOST's that mean nothing to a handler that we have.
const LACKING: &[&str] = &["dns", "quotas", "rejectUnknownSNI", "serverNames"];

/// Parameters of a service that go to its own metadata only.
const OF_SERVICE: &[&str] = &["interface", "so_mark", "proxyProtocol", "netns", "netns.out"];

/// Listeners whose handler has their own name when the text names targets.
const FORWARDING: &[&str] =
    &["tcp", "udp", "rtcp", "rudp", "tun", "tap", "dns", "unix", "runix", "serial"];

const PARTS: &[&str] = &["handler", "listener", "service"];

/// The most services or targets that one range stands for.
const LONGEST_RANGE: usize = 4096;

/// The services of one `-L`; none after an error.
pub(super) fn services(
    text: &str,
    path: &str,
    config: &mut raw::Config,
    findings: &mut Findings,
) -> Vec<raw::Service> {
    let errors = findings.errors.len();
    let Some(mut parts) = Parts::cut(text, "auto", path, findings) else { return Vec::new() };
    // What else the text of a missing type says would be taken for a mistake.
    let types = parts.types(&HANDLERS, &LISTENERS, "auto", path, findings);
    let Some((handler, listener)) = types else { return Vec::new() };
    let auth = parts.auth(path, findings);
    parts.refuse(LACKING, path, findings);
    let retries = retries(&mut parts, path, findings);
    let addrs = ranges(parts.address, path, findings);
    let targets = targets(parts.path, path, findings);
    let handler = forwarding(handler, &listener, &targets, path, findings);
    let mut objects = Objects { parts: &mut parts, path, config, findings };
    let tls = objects.tls(&listener, false);
    let selector = objects.selector();
    let service = raw::Service {
        admission: objects.admission(),
        bypass: objects.bypass(),
        resolver: objects.resolver(),
        hosts: objects.hosts(),
        limiter: objects.limiter(),
        climiter: objects.climiter(),
        rlimiter: objects.rlimiter(),
        ..raw::Service::default()
    };
    if selector.is_some() && targets.is_empty() {
        let message = "strategy, maxFails and failTimeout choose among targets; there are none";
        findings.invalid(path, message);
    }
    let forwarders = pair(&targets, selector.as_ref(), addrs.len(), path, findings);
    if findings.errors.len() > errors {
        return Vec::new();
    }
    let own = parts.own(OF_SERVICE);
    let mut metadata = parts.metadata("service", PARTS);
    metadata.extend(own);
    let service = |(addr, forwarder)| raw::Service {
        addr,
        handler: Some(raw::Handler {
            kind: handler.clone(),
            auth: auth.clone(),
            retries,
            metadata: parts.metadata("handler", PARTS),
            ..raw::Handler::default()
        }),
        listener: Some(raw::Listener {
            kind: listener.clone(),
            tls: tls.clone(),
            metadata: parts.metadata("listener", PARTS),
            ..raw::Listener::default()
        }),
        forwarder,
        metadata: metadata.clone(),
        ..service.clone()
    };
    addrs.into_iter().zip(forwarders).map(service).collect()
}

/// The handler of a service with targets. GOST drops a handler that does not forward; nobody means
/// that, so it is an error.
fn forwarding(
    handler: String,
    listener: &str,
    targets: &[String],
    path: &str,
    findings: &mut Findings,
) -> String {
    if targets.is_empty() || handler == "relay" {
        return handler;
    }
    let forward = if FORWARDING.contains(&listener) { listener } else { "forward" };
    if !matches!(handler.as_str(), "auto" | "forward" | "tcp") && handler != listener {
        let message = format!(
            "handler {handler:?} does not go with the target after the /; remove the target, or \
             write {forward}+{listener}:// for a port forward (gost drops the handler)"
        );
        findings.invalid(path, message);
    }
    forward.into()
}

fn targets(text: &str, path: &str, findings: &mut Findings) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let targets: Vec<_> = text.split(',').flat_map(|t| ranges(t, path, findings)).collect();
    if targets.iter().any(|target| !target.contains(':')) {
        let message = "what stands after the / is the target of a port forward, host:port; \
                       did you mean ?path=/..";
        findings.invalid(path, message);
    }
    if targets.len() > LONGEST_RANGE {
        findings.invalid(path, format!("more than {LONGEST_RANGE} targets"));
    }
    targets
}

fn retries(parts: &mut Parts, path: &str, findings: &mut Findings) -> Option<i32> {
    let (_, text) = parts.take(&["retries"])?;
    match text.parse() {
        Ok(retries) => Some(retries),
        Err(_) => {
            findings.invalid(path, "retries= is not a whole number");
            None
        }
    }
}

/// Which targets each of so many services has: one service has all, one target is everybody's, else
/// they go in pairs. GOST leaves out what has no partner; here that is an error.
fn pair(
    targets: &[String],
    selector: Option<&raw::Selector>,
    services: usize,
    path: &str,
    findings: &mut Findings,
) -> Vec<Option<raw::Forwarder>> {
    if targets.is_empty() {
        return vec![None; services];
    }
    let named = |i: usize, addr: &String| raw::ForwardNode {
        name: format!("target-{i}"),
        addr: addr.clone(),
        ..raw::ForwardNode::default()
    };
    let forwarder = |nodes: Vec<raw::ForwardNode>| {
        Some(raw::Forwarder { selector: selector.cloned(), nodes, ..raw::Forwarder::default() })
    };
    let nodes = targets.iter().enumerate().map(|(i, addr)| named(i, addr));
    if services == 1 || targets.len() == 1 {
        return vec![forwarder(nodes.collect()); services];
    }
    if targets.len() != services {
        let message = format!("{services} ports and {} targets do not go in pairs", targets.len());
        findings.invalid(path, message);
    }
    nodes.map(|node| forwarder(vec![node])).collect()
}

/// `host:80-82` as `host:80`, `host:81`, `host:82`.
fn ranges(address: &str, path: &str, findings: &mut Findings) -> Vec<String> {
    // A service of the command line without an address has any port, as in gost.
    let address = if address.is_empty() { ":0" } else { address };
    let range = address.rsplit_once(':').and_then(|(host, ports)| {
        let (from, to) = ports.split_once('-')?;
        Some((host, from, to))
    });
    let Some((host, from, to)) = range else { return vec![address.into()] };
    match (from.parse::<u16>(), to.parse::<u16>()) {
        (Ok(from), Ok(to)) if from <= to && usize::from(to - from) < LONGEST_RANGE => {
            (from..=to).map(|port| format!("{host}:{port}")).collect()
        }
        _ => {
            let message = format!(
                "\"{from}-{to}\" is not a range of at most {LONGEST_RANGE} ports, smallest first"
            );
            findings.invalid(path, message);
            Vec::new()
        }
    }
}
