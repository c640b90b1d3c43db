//! `-L`: a service, or one for each port of a range.

use super::parts::Parts;
use crate::base::Reason;
use crate::config::error::Findings;
use crate::config::raw;
use crate::config::types::{HANDLERS, LISTENERS};

/// Parameters that name features of this list in GOST and of none here.
const LACKING: &[&str] = &[
    "tls.certFile",
    "certFile",
    "cert",
    "tls.keyFile",
    "keyFile",
    "key",
    "tls.caFile",
    "caFile",
    "ca",
    "interface",
    "so_mark",
    "proxyProtocol",
    "netns",
    "netns.out",
    "strategy",
    "maxFails",
    "max_fails",
    "failTimeout",
    "fail_timeout",
    "dns",
    "admission",
    "bypass",
    "resolver",
    "prefer",
    "hosts",
    "limiter.in",
    "limiter.out",
    "limiter.conn.in",
    "limiter.conn.out",
    "climiter",
    "rlimiter",
    "quotas",
];

/// Listeners whose handler has their own name when the text names targets.
const FORWARDING: &[&str] =
    &["tcp", "udp", "rtcp", "rudp", "tun", "tap", "dns", "unix", "runix", "serial"];

const PARTS: &[&str] = &["handler", "listener", "service"];

/// The most services or targets that one range stands for.
const LONGEST_RANGE: usize = 4096;

/// The services of one `-L`; none after an error.
pub(super) fn services(text: &str, path: &str, findings: &mut Findings) -> Vec<raw::Service> {
    let errors = findings.errors.len();
    let mut parts = Parts::cut(text, "auto");
    let types = parts.types(&HANDLERS, &LISTENERS, "auto", path, findings);
    let auth = parts.auth(path, findings);
    parts.refuse(LACKING, path, findings);
    let retries = retries(&mut parts, path, findings);
    let addrs = ranges(parts.address, path, findings);
    let targets = match parts.path {
        "" => Vec::new(),
        targets => targets.split(',').flat_map(|t| ranges(t, path, findings)).collect(),
    };
    let Some((mut handler, listener)) = types else { return Vec::new() };
    if findings.errors.len() > errors {
        return Vec::new();
    }
    if !targets.is_empty() && handler != "relay" {
        let forward = if FORWARDING.contains(&listener.as_str()) { &listener } else { "forward" };
        if !matches!(handler.as_str(), "auto" | "forward") && handler != listener {
            let message = format!(
                "the target after the / makes this a port forward; handler {handler:?} is not used"
            );
            findings.warn(path, Reason::Accepted, message);
        }
        handler = forward.into();
    }
    let forwarders = pair(&targets, addrs.len(), path, findings);
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
            metadata: parts.metadata("listener", PARTS),
        }),
        forwarder,
        metadata: parts.metadata("service", PARTS),
        ..raw::Service::default()
    };
    addrs.into_iter().zip(forwarders).map(service).collect()
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
/// they go in pairs.
fn pair(
    targets: &[String],
    services: usize,
    path: &str,
    findings: &mut Findings,
) -> Vec<Option<raw::Forwarder>> {
    if targets.is_empty() {
        return vec![None; services];
    }
    let forwarder = |targets: &[String]| {
        let node = |(i, addr): (usize, &String)| raw::ForwardNode {
            name: format!("target-{i}"),
            addr: addr.clone(),
        };
        Some(raw::Forwarder { nodes: targets.iter().enumerate().map(node).collect() })
    };
    if services == 1 || targets.len() == 1 {
        return vec![forwarder(targets); services];
    }
    if targets.len() != services {
        let message = format!("{services} ports and {} targets do not go in pairs", targets.len());
        findings.invalid(path, message);
    }
    targets.iter().map(|target| forwarder(std::slice::from_ref(target))).collect()
}

/// `host:80-82` as `host:80`, `host:81`, `host:82`.
fn ranges(address: &str, path: &str, findings: &mut Findings) -> Vec<String> {
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
