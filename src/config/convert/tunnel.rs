//! To a `WsTunnel`.

use serde_json::Value;

use super::copies::{drop_copies, drop_left_over};
use super::names::labels;
use super::object::{Objects, TunnelObject, Use};
use super::own_tls;
use super::secrets::Vault;
use crate::base::{Host, ListenAddr, Reason};
use crate::config::error::{Diagnostic, Findings};
use crate::config::raw;
use crate::config::read::go_bool;
use crate::config::types::is_tls;

/// What is wanted of the object.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its name, a DNS label. Names of Secrets begin with it.
    pub name: &'a str,
    /// Its namespace; none is the one that kubectl is in.
    pub namespace: Option<&'a str>,
    /// Leave passwords where they are, instead of Secrets for them.
    pub inline: bool,
    /// Ports for listeners of the ws family that have none: without TLS, and with it.
    pub fronts: (u16, u16),
}

/// A configuration that may run, as a `WsTunnel` and Secrets, and a word on everything that is other than
/// it was.
///
/// None if nothing of it can be in a cluster; the last diagnostics say why.
pub fn tunnel(mut spec: raw::TunnelSpec, wanted: &Wanted) -> (Option<Objects>, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let config = &mut spec.config;
    named_services(config);
    labels(config, &mut findings);
    drop_left_over(config, &mut findings);
    own_tls(config);
    let origins = leave_out(config, &mut findings);
    let mut vault = Vault::new(wanted, config);
    for (service, origin) in config.services.iter_mut().zip(origins) {
        let path = format!("services[{origin}]");
        address(service, &path, wanted, &mut findings);
        handler(service, &path, &mut findings);
        let owner = service.name.clone();
        if let Some(tls) = service.listener.as_mut().and_then(|l| l.tls.as_mut()) {
            vault.tls(tls, true, &owner, &format!("{path}.listener.tls"), &mut findings);
        }
        if let Some(auth) = service.handler.as_mut().and_then(|h| h.auth.as_mut()) {
            let path = format!("{path}.handler.auth");
            vault.auth(auth, Use::Accepted, &format!("{owner}-auth"), &path, &mut findings);
        }
    }
    for (i, auther) in config.authers.iter_mut().enumerate() {
        vault.auther(auther, &format!("authers[{i}]"), &mut findings);
    }
    for (c, chain) in config.chains.iter_mut().enumerate() {
        for (h, hop) in chain.hops.iter_mut().enumerate() {
            let path = format!("chains[{c}].hops[{h}]");
            nodes(hop, &chain.name, &path, &mut vault, &mut findings);
        }
    }
    for (h, hop) in config.hops.iter_mut().enumerate() {
        let owner = hop.name.clone();
        nodes(hop, &owner, &format!("hops[{h}]"), &mut vault, &mut findings);
    }
    drop_copies(config);
    if config.services.is_empty() {
        return (None, findings.warnings);
    }
    let secrets = vault.objects;
    let tunnel = TunnelObject::new(wanted.name, wanted.namespace, spec);
    (Some(Objects { secrets, tunnel }), findings.warnings)
}

/// Names for services that have none, the same that they would run under.
fn named_services(config: &mut raw::Config) {
    for i in 0..config.services.len() {
        let is_free = |name: &String| config.services.iter().all(|s| s.name != *name);
        let name = (i..).map(|n| format!("service-{n}")).find(is_free).unwrap_or_default();
        if let Some(service) = config.services.get_mut(i).filter(|s| s.name.is_empty()) {
            service.name = name;
        }
    }
}

/// Leaves out services that a cluster cannot have; which ones stay, by their old places.
fn leave_out(config: &mut raw::Config, findings: &mut Findings) -> Vec<usize> {
    let mut origins = Vec::new();
    let mut at = 0..;
    config.services.retain(|service| {
        let i = at.next().unwrap_or_default();
        let kind = listener(service);
        let port = service.addr.trim().parse::<ListenAddr>().map_or(0, |addr| addr.port);
        let (key, message) = if kind == "rtcp" {
            let message = "left out: a remote port is not had in a cluster; run it with -C or -L, \
                           or in a sidecar";
            ("listener.type", message)
        } else if port == 0 && !is_ws(kind) {
            ("addr", "left out: a cluster needs a port; write one, for example \":1080\"")
        } else {
            origins.push(i);
            return true;
        };
        findings.warn(&format!("services[{i}].{key}"), Reason::Unsupported, message);
        false
    });
    origins
}

fn listener(service: &raw::Service) -> &str {
    service.listener.as_ref().map(|l| l.kind.as_str()).unwrap_or_default()
}

fn is_ws(kind: &str) -> bool {
    matches!(kind, "ws" | "wss" | "mws" | "mwss")
}

/// `:PORT`: the host is the controller's.
fn address(service: &mut raw::Service, path: &str, wanted: &Wanted, findings: &mut Findings) {
    let path = format!("{path}.addr");
    let Ok(addr) = service.addr.trim().parse::<ListenAddr>() else { return };
    let secure = is_tls(listener(service));
    let port = match (addr.port, secure) {
        (0, false) => wanted.fronts.0,
        (0, true) => wanted.fronts.1,
        (port, _) => port,
    };
    let written = std::mem::replace(&mut service.addr, format!(":{port}"));
    if addr.port == 0 {
        let message = format!("{written:?} is \":{port}\" now: any port is none to be reached at");
        findings.warn(&path, Reason::Accepted, message);
    }
    let message = match addr.host {
        None => return,
        Some(Host::Ip(ip)) if ip.is_loopback() => format!(
            "{written:?} is \":{port}\" now, for whoever reaches the controller there: add auth \
             or an admission"
        ),
        Some(_) => format!("{written:?} is \":{port}\" now: the host is the controller's"),
    };
    findings.warn(&path, Reason::Accepted, message);
}

/// `rtcp` is `forward` with another name; `bind` is not had.
fn handler(service: &mut raw::Service, path: &str, findings: &mut Findings) {
    let Some(handler) = &mut service.handler else { return };
    if handler.kind == "rtcp" {
        handler.kind = "forward".into();
    }
    if !matches!(handler.kind.as_str(), "" | "auto" | "socks5" | "socks" | "relay") {
        return;
    }
    let bind = |key: &String| key.eq_ignore_ascii_case("bind");
    let Some(key) = handler.metadata.keys().find(|key| bind(key)).cloned() else { return };
    let on = match handler.metadata.remove(&key) {
        Some(Value::Bool(on)) => on,
        Some(Value::String(text)) => go_bool(&text).unwrap_or_default(),
        Some(Value::Number(number)) => number.as_f64().is_some_and(|n| n != 0.0),
        _ => false,
    };
    // Copies of it, which nobody would know any more.
    service.metadata.retain(|key, _| !bind(key));
    if let Some(listener) = &mut service.listener {
        listener.metadata.retain(|key, _| !bind(key));
    }
    if on {
        let message = "dropped: clients would open ports of the controller; run it with -C or \
                       -L, or in a sidecar, for BIND";
        let path = format!("{path}.handler.metadata.{key}");
        findings.warn(&path, Reason::Unsupported, message);
    }
}

/// The nodes of a hop that belongs to `owner`.
fn nodes(hop: &mut raw::Hop, owner: &str, path: &str, vault: &mut Vault, findings: &mut Findings) {
    for (i, node) in hop.nodes.iter_mut().flatten().enumerate() {
        let path = format!("{path}.nodes[{i}]");
        if let Some(auth) = node.connector.as_mut().and_then(|c| c.auth.as_mut()) {
            let path = format!("{path}.connector.auth");
            vault.auth(auth, Use::Sent, &format!("{owner}-auth"), &path, findings);
        }
        let Some(dialer) = &mut node.dialer else { continue };
        // GOST writes the server's name for plain dialers too.
        if !is_tls(&dialer.kind) {
            dialer.tls = None;
        }
        if let Some(tls) = &mut dialer.tls {
            vault.tls(tls, false, owner, &format!("{path}.dialer.tls"), findings);
        }
    }
}
