//! `-F`: a hop.

use super::parts::Parts;
use crate::base::Reason;
use crate::config::error::Findings;
use crate::config::raw;
use crate::config::types::{CONNECTORS, DIALERS};

/// Parameters that name features of a hop in GOST and of none here.
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
    "tls.secure",
    "secure",
    "tls.serverName",
    "serverName",
    "interface",
    "so_mark",
    "proxyProtocol",
    "netns",
    "strategy",
    "maxFails",
    "max_fails",
    "failTimeout",
    "fail_timeout",
    "bypass",
    "resolver",
    "prefer",
    "hosts",
];

const PARTS: &[&str] = &["hop", "node", "connector", "dialer"];

/// The hop of one `-F`.
pub(super) fn hop(
    text: &str,
    index: usize,
    path: &str,
    findings: &mut Findings,
) -> Option<raw::Hop> {
    if text.trim().is_empty() {
        findings.invalid(path, "the text is empty");
        return None;
    }
    let mut parts = Parts::cut(text, "http");
    let types = parts.types(&CONNECTORS, &DIALERS, "http", path, findings);
    let auth = parts.auth(path, findings);
    parts.refuse(LACKING, path, findings);
    if !parts.path.is_empty() {
        let message = "what stands after the / is ignored, as in GOST; did you mean ?path=/..";
        findings.warn(path, Reason::Invalid, message);
    }
    let (connector, dialer) = types?;
    let node = |(i, addr): (usize, &str)| raw::Node {
        name: format!("node-{i}"),
        addr: addr.into(),
        connector: Some(raw::Connector {
            kind: connector.clone(),
            auth: auth.clone(),
            metadata: parts.metadata("connector", PARTS),
        }),
        dialer: Some(raw::Dialer {
            kind: dialer.clone(),
            metadata: parts.metadata("dialer", PARTS),
        }),
        metadata: parts.metadata("node", PARTS),
    };
    Some(raw::Hop {
        name: format!("hop-{index}"),
        nodes: Some(parts.address.split(',').enumerate().map(node).collect()),
        metadata: parts.metadata("hop", PARTS),
    })
}
