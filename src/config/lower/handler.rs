//! Handlers: what is done with an accepted stream.

use std::sync::Arc;
use std::time::Duration;

use super::chain::Routes;
use super::scope::Scope;
use super::{Mode, auth, forward, listener, mux};
use crate::base::Reason;
use crate::config::defaults;
use crate::config::error::Findings;
use crate::config::metadata::{Reader, SignedDuration, keys};
use crate::config::model::{
    AutoHandlerConfig, AutoProtocols, ForwardHandlerConfig, HandlerConfig, HttpHandlerConfig,
    RelayHandlerConfig, Socks4HandlerConfig, Socks5HandlerConfig, Users,
};
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
    (scope, routes): (&Scope, &Routes),
    findings: &mut Findings,
) -> Option<HandlerConfig> {
    let at = format!("{path}.handler");
    let kind = listener::kind(&HANDLERS, &handler.kind, "auto", &at, findings)?;
    let errors = findings.errors.len();
    if kind == "rtcp" && scope.context.mode == Mode::Controller {
        let message = "handler rtcp is not supported in a cluster; write forward";
        findings.unsupported(&format!("{at}.type"), message);
        return None;
    }
    if datagrams(service) && !matches!(kind, "tcp" | "udp" | "forward" | "rtcp") {
        let message =
            format!("listener udp brings datagrams, which handler {kind} cannot read; write udp");
        findings.invalid(&format!("{at}.type"), message);
        return None;
    }
    if matches!(kind, "tcp" | "udp" | "forward" | "rtcp") {
        metadata.lacks(keys::FORWARD_HANDLER);
        refuse_auth(handler, kind, &at, findings);
        let idle_timeout = metadata.duration(&["idleTimeout"], findings);
        let to = forward::lower(service, kind, path, scope, routes, findings)?;
        return Some(HandlerConfig::Forward(ForwardHandlerConfig {
            to: Arc::new(to),
            idle_timeout,
            send_proxy_protocol: None,
        }));
    }
    let has_targets =
        service.forwarder.as_ref().is_some_and(|f| !f.nodes.is_empty() || !f.hop.is_empty());
    if has_targets && kind != "relay" {
        let message = format!(
            "handler {kind} goes where its clients ask; remove the forwarder, or use handler forward"
        );
        findings.invalid(&format!("{path}.forwarder"), message);
    }
    let users = users(handler, &at, scope, findings);
    let hash_by_target = hash_by_target(metadata, findings);
    let config = match kind {
        "socks4" | "socks4a" => {
            metadata.lacks(keys::SOCKS4_HANDLER);
            if let Some(key) = asks(handler) {
                let message = "SOCKS4 has no password, and users without one are refused here: \
                               nobody could pass; use socks5, or admissions";
                findings.invalid(&format!("{at}.{key}"), message);
            }
            HandlerConfig::Socks4(Socks4HandlerConfig {
                hash_by_target,
                ..socks4(users, metadata, findings)
            })
        }
        "socks5" | "socks" => {
            metadata.lacks(keys::SOCKS5_HANDLER);
            HandlerConfig::Socks5(Socks5HandlerConfig {
                hash_by_target,
                ..socks5(users, &at, metadata, scope, findings)
            })
        }
        "relay" => {
            metadata.lacks(keys::RELAY_HANDLER);
            let forward = match has_targets {
                true => Some(forward::lower(service, kind, path, scope, routes, findings)?),
                false => None,
            };
            // The response always leaves at once.
            metadata.bool(&["nodelay"], findings);
            HandlerConfig::Relay(RelayHandlerConfig {
                users,
                read_timeout: positive_read_timeout(metadata, findings),
                forward: forward.map(Arc::new),
                bind: bind(&at, metadata, scope, findings),
                udp_buffer_size: listener::udp_buffer_size(metadata, findings),
                mux: mux::read(metadata, &format!("{at}.metadata"), findings),
                hash_by_target,
            })
        }
        "http" => {
            metadata.lacks(keys::HTTP_HANDLER);
            HandlerConfig::Http(HttpHandlerConfig {
                hash_by_target,
                ..http(users, &at, metadata, findings)
            })
        }
        _ => {
            metadata.lacks(keys::AUTO_HANDLER);
            HandlerConfig::Auto(AutoHandlerConfig {
                speaks: AutoProtocols::default(),
                http: HttpHandlerConfig {
                    hash_by_target,
                    ..http(users.clone(), &at, metadata, findings)
                },
                socks4: Socks4HandlerConfig {
                    hash_by_target,
                    ..socks4(users.clone(), metadata, findings)
                },
                socks5: Socks5HandlerConfig {
                    hash_by_target,
                    ..socks5(users, &at, metadata, scope, findings)
                },
            })
        }
    };
    (findings.errors.len() == errors).then_some(config)
}

/// Whether a service's listener brings datagrams.
pub(super) fn datagrams(service: &raw::Service) -> bool {
    service.listener.as_ref().is_some_and(|listener| listener.kind == "udp")
}

fn http(
    users: Option<Arc<Users>>,
    path: &str,
    metadata: &mut Reader,
    findings: &mut Findings,
) -> HttpHandlerConfig {
    let realm = metadata.text(&["authBasicRealm"], findings);
    let realm = realm.unwrap_or_else(|| defaults::REALM.into());
    if realm.contains(['"', '\\']) {
        findings.invalid(&format!("{path}.metadata.authBasicRealm"), "a realm cannot have quotes");
    }
    let proxy_agent = metadata.text(&["http.proxyAgent", "proxyAgent"], findings);
    let proxy_agent = proxy_agent.unwrap_or_else(|| defaults::PROXY_AGENT.into());
    for (key, text) in [("authBasicRealm", &realm), ("proxyAgent", &proxy_agent)] {
        if text.chars().any(char::is_control) {
            let message = "a header's value cannot have control characters";
            findings.invalid(&format!("{path}.metadata.{key}"), message);
        }
    }
    HttpHandlerConfig {
        users,
        realm,
        proxy_agent,
        header: metadata.headers(&["http.header", "header"], RESPONSE_HEADERS, findings),
        keepalive: metadata.bool(&["http.keepalive", "keepalive"], findings),
        read_timeout: read_timeout(metadata, findings),
        idle_timeout: metadata.duration(&["idleTimeout"], findings),
        udp: metadata.bool(&["udp"], findings),
        udp_buffer_size: listener::udp_buffer_size(metadata, findings),
        hash_by_target: false,
    }
}

fn socks4(
    users: Option<Arc<Users>>,
    metadata: &mut Reader,
    findings: &mut Findings,
) -> Socks4HandlerConfig {
    Socks4HandlerConfig {
        users,
        read_timeout: positive_read_timeout(metadata, findings),
        hash_by_target: false,
    }
}

fn socks5(
    users: Option<Arc<Users>>,
    path: &str,
    metadata: &mut Reader,
    scope: &Scope,
    findings: &mut Findings,
) -> Socks5HandlerConfig {
    // GOST's TLS methods are never chosen, so there is nothing to turn off.
    metadata.bool(&["notls"], findings);
    let udp = metadata.bool(&["udp"], findings);
    Socks5HandlerConfig {
        users,
        read_timeout: positive_read_timeout(metadata, findings),
        udp,
        udp_associate: udp && scope.context.mode == Mode::Files,
        bind: bind(path, metadata, scope, findings),
        udp_buffer_size: listener::udp_buffer_size(metadata, findings),
        mux: mux::read(metadata, &format!("{path}.metadata"), findings),
        hash_by_target: false,
    }
}

/// `bind`.
fn bind(path: &str, metadata: &mut Reader, scope: &Scope, findings: &mut Findings) -> bool {
    let bind = metadata.bool(&["bind"], findings);
    if bind && scope.context.mode == Mode::Controller {
        let at = metadata.path_of(&["bind"]).unwrap_or_else(|| path.into());
        let message =
            "clients would open ports of the controller, with its identity; remove `bind`";
        findings.unsupported(&at, message);
    }
    bind
}

/// `hash: host`.
fn hash_by_target(metadata: &mut Reader, findings: &mut Findings) -> bool {
    let hash = metadata.text(&["hash"], findings);
    match (hash.as_deref(), metadata.path_of(&["hash"])) {
        (Some("host"), _) => return true,
        (Some(other), Some(path)) => {
            findings.invalid(&path, format!("unknown hash {other:?}; write host, or remove it"));
        }
        _ => {}
    }
    false
}

/// GOST: negative is none, zero is the default.
fn read_timeout(metadata: &mut Reader, findings: &mut Findings) -> Option<Duration> {
    match metadata.signed_duration(&["readTimeout"], findings) {
        Some(SignedDuration::Negative) => None,
        Some(SignedDuration::Positive(timeout)) if !timeout.is_zero() => Some(timeout),
        _ => Some(defaults::READ_TIMEOUT),
    }
}

/// GOST: zero and below are the default.
fn positive_read_timeout(metadata: &mut Reader, findings: &mut Findings) -> Duration {
    metadata.duration(&["readTimeout"], findings).unwrap_or(defaults::READ_TIMEOUT)
}

/// The first key that asks clients who they are.
fn asks(handler: &raw::Handler) -> Option<&'static str> {
    let given = [
        ("auther", !handler.auther.is_empty()),
        ("authers", !handler.authers.is_empty()),
        ("auth", handler.auth.is_some()),
    ];
    given.iter().find(|(_, given)| *given).map(|(key, _)| *key)
}

/// Who may pass; `None` is anybody, or an error that is reported.
fn users(
    handler: &raw::Handler,
    path: &str,
    scope: &Scope,
    findings: &mut Findings,
) -> Option<Arc<Users>> {
    if let Some(written) = &handler.auth {
        let at = format!("{path}.auth");
        if !handler.auther.is_empty() || !handler.authers.is_empty() {
            let message = "auth would be ignored beside an auther; keep one of the two";
            findings.invalid(&at, message);
            return None;
        }
        let user = auth::accepted(written, &at, scope.context, findings)?;
        return Some(Arc::new(Users([(user.username, user.password)].into())));
    }
    let (single, listed) = ((handler.auther.as_str(), "auther"), (&handler.authers[..], "authers"));
    let users = scope.authers.find_all(single, listed, path, findings);
    let mut names = handler.authers.iter().chain([&handler.auther]);
    let reason = match names.any(|name| scope.authers_of_secrets.contains(name)) {
        true => Reason::SecretInvalid,
        false => Reason::Invalid,
    };
    auth::union(&users, path, reason, findings)
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
