//! A service as `-L`.

use super::Unsaid;
use super::said;
use super::url::{Url, sayable, scheme};
use crate::base::{ListenAddr, Reason};
use crate::config::error::Findings;
use crate::config::raw;
use crate::config::types::{HANDLERS, LISTENERS};

/// The service without what is dropped, and its URL.
pub(super) fn service(
    service: &raw::Service,
    config: &raw::Config,
    path: &str,
    findings: &mut Findings,
) -> Result<(raw::Service, Url), Unsaid> {
    let mut service = service.clone();
    let mut url = Url::default();
    let mut handler = service.handler.take().unwrap_or_default();
    let mut listener = service.listener.take().unwrap_or_default();
    let targets = targets(&mut service, config, path, findings)?;
    let kind = |written: &str, default: &'static str| {
        if written.is_empty() { default.to_string() } else { written.into() }
    };
    let listening = kind(&listener.kind, "tcp");
    let handling = match kind(&handler.kind, "auto") {
        // The handlers of port forwards are one, and GOST calls it so.
        _ if !targets.is_empty() && handler.kind != "relay" => match listening.as_str() {
            own @ ("tcp" | "udp" | "rtcp") => own.to_string(),
            _ => "forward".to_string(),
        },
        kind => kind,
    };
    url.scheme = scheme((&handling, &HANDLERS), (&listening, &LISTENERS), "auto");
    url.user = user(&handler, config)?;
    url.address = match service.addr.trim().parse::<ListenAddr>() {
        Ok(addr) => addr.to_string(),
        Err(_) => service.addr.clone(),
    };
    url.path = targets.join(",");
    said::tls(listener.tls.as_ref(), "listener", &mut url.query)?;
    said::selector(service.forwarder.as_ref().and_then(|f| f.selector.as_ref()), &mut url.query);
    said::admission(&service, config, &mut url.query)?;
    said::bypass(&service.bypass, &service.bypasses, config, &mut url.query)?;
    said::resolver(&service.resolver, config, &mut url.query)?;
    said::hosts(&service.hosts, config, &mut url.query)?;
    said::limits(&service, config, &mut url.query)?;
    if let Some(retries) = handler.retries.filter(|retries| *retries != 0) {
        url.query.push(("retries", retries.to_string()));
    }
    if !std::mem::take(&mut service.hostnames).is_empty() {
        let message = "dropped: a URL's service serves any Host header";
        findings.warn(&format!("{path}.hostnames"), Reason::Unsupported, message);
    }
    url.metadata = vec![
        ("listener", sayable(&mut listener.metadata, &format!("{path}.listener"), findings)),
        ("handler", sayable(&mut handler.metadata, &format!("{path}.handler"), findings)),
        ("service", sayable(&mut service.metadata, path, findings)),
    ];
    handler.chain.clear();
    listener.chain.clear();
    (service.handler, service.listener) = (Some(handler), Some(listener));
    Ok((service, url))
}

/// The targets of the forwarder; it is left with what a URL says of it.
fn targets(
    service: &mut raw::Service,
    config: &raw::Config,
    path: &str,
    findings: &mut Findings,
) -> Result<Vec<String>, Unsaid> {
    let Some(forwarder) = &mut service.forwarder else { return Ok(Vec::new()) };
    let hop = config.hops.iter().find(|hop| !hop.name.is_empty() && hop.name == forwarder.hop);
    if let Some(hop) = hop {
        let target = |node: &raw::Node| raw::ForwardNode {
            name: node.name.clone(),
            addr: node.addr.clone(),
            service_ref: node.service_ref.clone(),
            bypass: node.bypass.clone(),
            bypasses: node.bypasses.clone(),
            metadata: node.metadata.clone(),
        };
        let nodes = hop.nodes.iter().flatten().map(target).collect();
        *forwarder = raw::Forwarder { selector: hop.selector.clone(), hop: String::new(), nodes };
    }
    let mut targets = Vec::new();
    for (i, node) in forwarder.nodes.iter_mut().enumerate() {
        let at = format!("forwarder.nodes[{i}]");
        if !node.bypass.is_empty() || !node.bypasses.is_empty() {
            return Err(Unsaid::new(format!("{at}.bypass"), "a target of a URL has no bypass"));
        }
        for key in std::mem::take(&mut node.metadata).keys() {
            let message = "dropped: a URL's targets are alike";
            let path = format!("{path}.{at}.metadata.{key}");
            findings.warn(&path, Reason::Unsupported, message);
        }
        targets.push(node.addr.clone());
    }
    Ok(targets)
}

/// The user who may pass.
fn user(
    handler: &raw::Handler,
    config: &raw::Config,
) -> Result<Option<(String, Option<String>)>, Unsaid> {
    if let Some(auth) = &handler.auth {
        return said::user(auth, "handler.auth").map(Some);
    }
    let names: Vec<&String> = handler.authers.iter().chain([&handler.auther]).collect();
    let mut users = Vec::new();
    for auther in config.authers.iter().filter(|auther| names.contains(&&auther.name)) {
        if auther.file.is_some() || auther.secret_ref.is_some() {
            return Err(Unsaid::new("handler.auther", "a URL has no file or Secret of users"));
        }
        for auth in &auther.auths {
            users.push(said::user(auth, "handler.auther")?);
        }
    }
    users.sort();
    users.dedup();
    match users.as_slice() {
        [] => Ok(None),
        [user] => Ok(Some(user.clone())),
        _ => Err(Unsaid::new("handler.auther", format!("a URL has one user, not {}", users.len()))),
    }
}
