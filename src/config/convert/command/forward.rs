//! A hop as `-F`.

use super::Unsaid;
use super::said;
use super::url::{Url, sayable, scheme};
use crate::base::Reason;
use crate::config::error::Findings;
use crate::config::raw;
use crate::config::types::{CONNECTORS, DIALERS, is_tls};

/// The hop without what is dropped, its nodes with it, and its URL.
pub(super) fn hop(
    hop: &raw::Hop,
    config: &raw::Config,
    path: &str,
    findings: &mut Findings,
) -> Result<(raw::Hop, Url), Unsaid> {
    let named = config.hops.iter().find(|named| hop.nodes.is_none() && named.name == hop.name);
    let mut hop = named.unwrap_or(hop).clone();
    let mut url = Url::default();
    let mut nodes = hop.nodes.take().unwrap_or_default();
    for (i, node) in nodes.iter().enumerate() {
        let refused = [
            ("bypass", !node.bypass.is_empty() || !node.bypasses.is_empty()),
            ("resolver", !node.resolver.is_empty()),
            ("hosts", !node.hosts.is_empty()),
        ];
        if let Some((key, _)) = refused.iter().find(|(_, given)| *given) {
            let why = format!("{key}= is of the hop");
            return Err(Unsaid::new(format!("nodes[{i}].{key}"), why));
        }
    }
    alike(&mut nodes, path, findings)?;
    let first = nodes.first().cloned().unwrap_or_default();
    let mut connector = first.connector.unwrap_or_default();
    let mut dialer = first.dialer.unwrap_or_default();
    let kind = |written: &str, default: &'static str| {
        if written.is_empty() { default.to_string() } else { written.into() }
    };
    let (connecting, dialing) = (kind(&connector.kind, "http"), kind(&dialer.kind, "tcp"));
    url.scheme = scheme((&connecting, &CONNECTORS), (&dialing, &DIALERS), "http");
    if let Some(auth) = &connector.auth {
        url.user = Some(said::user(auth, "nodes[0].connector.auth")?);
    }
    url.address = nodes.iter().map(|node| node.addr.as_str()).collect::<Vec<_>>().join(",");
    // GOST writes the server's name for plain dialers too.
    let tls = dialer.tls.as_ref().filter(|_| is_tls(&dialing));
    let of_node = |Unsaid { key, why }| Unsaid::new(format!("nodes[0].{key}"), why);
    said::tls(tls, "dialer", &mut url.query).map_err(of_node)?;
    said::selector(hop.selector.as_ref(), &mut url.query);
    said::bypass(&hop.bypass, &hop.bypasses, config, &mut url.query)?;
    said::resolver(&hop.resolver, config, &mut url.query)?;
    said::hosts(&hop.hosts, config, &mut url.query)?;
    let mut metadata = first.metadata;
    let at = format!("{path}.nodes[0]");
    url.metadata = vec![
        ("dialer", sayable(&mut dialer.metadata, &format!("{at}.dialer"), findings)),
        ("connector", sayable(&mut connector.metadata, &format!("{at}.connector"), findings)),
        ("node", sayable(&mut metadata, &at, findings)),
        ("hop", sayable(&mut hop.metadata, path, findings)),
    ];
    for node in &mut nodes {
        node.connector = Some(connector.clone());
        node.dialer = Some(dialer.clone());
        node.metadata = metadata.clone();
    }
    hop.nodes = Some(nodes);
    Ok((hop, url))
}

/// One `-F` says of all its nodes what it says of one: what only weighs them is dropped.
fn alike(nodes: &mut [raw::Node], path: &str, findings: &mut Findings) -> Result<(), Unsaid> {
    let Some(first) = nodes.first().cloned() else { return Ok(()) };
    for (i, node) in nodes.iter().enumerate() {
        for (key, same) in [
            ("connector", node.connector == first.connector),
            ("dialer", node.dialer == first.dialer),
        ] {
            if !same {
                let why = format!("it says one {key} for all of its nodes");
                return Err(Unsaid::new(format!("nodes[{i}].{key}"), why));
            }
        }
    }
    if nodes.iter().any(|node| node.metadata != first.metadata) {
        for (i, node) in nodes.iter_mut().enumerate() {
            for key in std::mem::take(&mut node.metadata).keys() {
                let message = "dropped: the nodes of one -F are alike";
                let path = format!("{path}.nodes[{i}].metadata.{key}");
                findings.warn(&path, Reason::Unsupported, message);
            }
        }
    }
    Ok(())
}
