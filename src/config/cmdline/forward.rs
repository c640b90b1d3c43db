//! `-F`: a hop.

use super::objects::Objects;
use super::parts::Parts;
use crate::base::Reason;
use crate::config::error::Findings;
use crate::config::raw;
use crate::config::types::{CONNECTORS, DIALERS};

const PARTS: &[&str] = &["hop", "node", "connector", "dialer"];

/// Parameters of a hop that go to its own metadata only.
const OF_HOP: &[&str] = &["interface", "so_mark", "proxyProtocol", "netns"];

/// The hop of one `-F`. Nodes have GOST's names, and their hop's before it if there are `several`.
pub(super) fn hop(
    text: &str,
    index: usize,
    several: bool,
    path: &str,
    config: &mut raw::Config,
    findings: &mut Findings,
) -> Option<raw::Hop> {
    if text.trim().is_empty() {
        findings.invalid(path, "the text is empty");
        return None;
    }
    let mut parts = Parts::cut(text, "http", path, findings)?;
    let (connector, dialer) = parts.types(&CONNECTORS, &DIALERS, "http", path, findings)?;
    let auth = parts.auth(path, findings);
    if !parts.path.is_empty() {
        let message = "what stands after the / is ignored, as in GOST; did you mean ?path=/..";
        findings.warn(path, Reason::Invalid, message);
    }
    let mut objects = Objects { parts: &mut parts, path, config, findings };
    let tls = objects.tls(&dialer, true);
    let hop = raw::Hop {
        name: format!("hop-{index}"),
        selector: objects.selector(),
        bypass: objects.bypass(),
        resolver: objects.resolver(),
        hosts: objects.hosts(),
        ..raw::Hop::default()
    };
    let own = parts.own(OF_HOP);
    let node = |(i, addr): (usize, &str)| raw::Node {
        name: if several { format!("hop-{index}-node-{i}") } else { format!("node-{i}") },
        addr: addr.into(),
        connector: Some(raw::Connector {
            kind: connector.clone(),
            auth: auth.clone(),
            metadata: parts.metadata("connector", PARTS),
        }),
        dialer: Some(raw::Dialer {
            kind: dialer.clone(),
            tls: tls.clone(),
            metadata: parts.metadata("dialer", PARTS),
        }),
        metadata: parts.metadata("node", PARTS),
        ..raw::Node::default()
    };
    let nodes = parts.address.split(',').enumerate().map(node).collect();
    let mut metadata = parts.metadata("hop", PARTS);
    metadata.extend(own);
    Some(raw::Hop { nodes: Some(nodes), metadata, ..hop })
}
