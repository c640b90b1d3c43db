//! Handlers: `auto`, `http`, `tcp` and `forward`.

use std::sync::Arc;
use std::time::Duration;

use super::service::Scope;
use super::{addr, auth, listener};
use crate::config::defaults;
use crate::config::error::Findings;
use crate::config::metadata::{Reader, SignedDuration, keys};
use crate::config::model::{ForwardHandlerConfig, HandlerConfig, HttpHandlerConfig, Users};
use crate::config::raw;
use crate::config::types::HANDLERS;

/// Headers that would change how a response of ours is framed.
const RESPONSE_HEADERS: &[&str] = &["Content-Length", "Transfer-Encoding", "Connection"];

/// `services[].handler` and `services[].forwarder`.
pub(super) fn lower(
    service: &raw::Service,
    handler: &raw::Handler,
    path: &str,
    metadata: &mut Reader,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<HandlerConfig> {
    let at = format!("{path}.handler");
    let kind = listener::kind(&HANDLERS, &handler.kind, "auto", &at, findings)?;
    let idle_timeout = metadata.duration(&["idleTimeout"], findings);
    if matches!(kind, "tcp" | "forward") {
        metadata.lacks(keys::FORWARD_HANDLER);
        refuse_auth(handler, kind, &at, findings);
        let target = target(service.forwarder.as_ref(), kind, path, scope, findings)?;
        return Some(HandlerConfig::Forward(ForwardHandlerConfig { target, idle_timeout }));
    }
    metadata.lacks(if kind == "auto" { keys::AUTO_HANDLER } else { keys::HTTP_HANDLER });
    if service.forwarder.as_ref().is_some_and(|f| !f.nodes.is_empty()) {
        let message = format!(
            "handler {kind} goes where its clients ask; remove the forwarder, or use handler forward"
        );
        findings.invalid(&format!("{path}.forwarder"), message);
    }
    let users = users(handler, &at, scope, findings);
    let realm = metadata.text(&["authBasicRealm"], findings);
    let realm = realm.unwrap_or_else(|| defaults::REALM.into());
    if realm.contains(['"', '\\']) {
        findings.invalid(&format!("{at}.metadata.authBasicRealm"), "a realm cannot have quotes");
    }
    let proxy_agent = metadata.text(&["http.proxyAgent", "proxyAgent"], findings);
    let proxy_agent = proxy_agent.unwrap_or_else(|| defaults::PROXY_AGENT.into());
    for (key, text) in [("authBasicRealm", &realm), ("proxyAgent", &proxy_agent)] {
        if text.chars().any(char::is_control) {
            let message = "a header's value cannot have control characters";
            findings.invalid(&format!("{at}.metadata.{key}"), message);
        }
    }
    let http = HttpHandlerConfig {
        users,
        realm,
        proxy_agent,
        header: metadata.headers(&["http.header", "header"], RESPONSE_HEADERS, findings),
        keepalive: metadata.bool(&["http.keepalive", "keepalive"], findings),
        read_timeout: read_timeout(metadata, findings),
        idle_timeout,
    };
    Some(if kind == "auto" { HandlerConfig::Auto(http) } else { HandlerConfig::Http(http) })
}

/// GOST: negative is none, zero is the default.
fn read_timeout(metadata: &mut Reader, findings: &mut Findings) -> Option<Duration> {
    match metadata.signed_duration(&["readTimeout"], findings) {
        Some(SignedDuration::Negative) => None,
        Some(SignedDuration::Positive(timeout)) if !timeout.is_zero() => Some(timeout),
        _ => Some(defaults::READ_TIMEOUT),
    }
}

/// Who may pass; `None` is anybody, or an error that is reported.
fn users(
    handler: &raw::Handler,
    path: &str,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<Arc<Users>> {
    let single = (!handler.auther.is_empty()).then(|| (format!("{path}.auther"), &handler.auther));
    let listed = handler.authers.iter().enumerate();
    let listed = listed.map(|(i, name)| (format!("{path}.authers[{i}]"), name));
    let named: Vec<_> = single.into_iter().chain(listed).collect();
    if let Some(written) = &handler.auth {
        let at = format!("{path}.auth");
        if !named.is_empty() {
            let message = "auth would be ignored beside an auther; keep one of the two";
            findings.invalid(&at, message);
            return None;
        }
        let user = auth::accepted(written, &at, scope.context, findings)?;
        return Some(Arc::new(Users([(user.username, user.password)].into())));
    }
    let users: Vec<_> =
        named.iter().filter_map(|(at, name)| scope.authers.find(name, at, findings)).collect();
    auth::union(&users, path, findings)
}

fn refuse_auth(handler: &raw::Handler, kind: &str, path: &str, findings: &mut Findings) {
    let given = [
        ("auther", !handler.auther.is_empty()),
        ("authers", !handler.authers.is_empty()),
        ("auth", handler.auth.is_some()),
    ];
    for (key, _) in given.iter().filter(|(_, given)| *given) {
        let message = format!("handler {kind} asks nobody for a password; remove `{key}`");
        findings.invalid(&format!("{path}.{key}"), message);
    }
}

fn target(
    forwarder: Option<&raw::Forwarder>,
    kind: &str,
    path: &str,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<crate::base::Target> {
    let path = format!("{path}.forwarder");
    match forwarder.map(|f| f.nodes.as_slice()).unwrap_or_default() {
        [node] => {
            let path = format!("{path}.nodes[0].addr");
            addr::lower_target(&node.addr, &path, scope.context, scope.loopback_ports, findings)
        }
        [] => {
            let message = format!("handler {kind} needs a forwarder with one node: its target");
            findings.invalid(&path, message);
            None
        }
        nodes => {
            let message =
                format!("{} targets are not supported in this version; keep one", nodes.len());
            findings.unsupported(&format!("{path}.nodes"), message);
            None
        }
    }
}
