//! What a class says of a tunnel that is valid in itself.

use super::{Class, Reserved, hosts};
use crate::base::Reason;
use crate::config::error::{ConfigErrors, Findings};
use crate::config::model::{ExposeConfig, HostPattern, ListenerConfig, ServiceConfig, ServiceType};
use crate::config::raw;

/// Checks a tunnel of `namespace` that was lowered to `services`, each with the Service that leads
/// there, against the rules of its class.
///
/// # Errors
/// Everything that the class does not allow, each with what it does allow.
pub fn refusals<'a>(
    class: &Class,
    namespace: &str,
    config: &raw::Config,
    services: impl Iterator<Item = (&'a ServiceConfig, Option<&'a ExposeConfig>)>,
    reserved: Reserved<'_>,
) -> Result<(), ConfigErrors> {
    let mut findings = Findings::default();
    let rules = Rules { class, namespace, reserved };
    for (service, exposed) in services {
        let named = |raw: &raw::Service| raw.name == *service.name;
        let Some(i) = config.services.iter().position(named) else { continue };
        let Some(raw) = config.services.get(i) else { continue };
        rules.service(raw, service, exposed, &format!("services[{i}]"), &mut findings);
    }
    if !class.inline_credentials {
        for path in inline(config) {
            let message =
                format!("class {:?} wants passwords in Secrets: write secretRef", class.name);
            findings.error(&path, Reason::NotAllowedByClass, message);
        }
    }
    findings.into_result(()).map(|_| ())
}

struct Rules<'a> {
    class: &'a Class,
    namespace: &'a str,
    reserved: Reserved<'a>,
}

impl Rules<'_> {
    fn service(
        &self,
        raw: &raw::Service,
        service: &ServiceConfig,
        exposed: Option<&ExposeConfig>,
        path: &str,
        findings: &mut Findings,
    ) {
        let class = self.class;
        let listener = service.listener.kind();
        let handler = handler(raw);
        for (kind, allowed, part) in
            [(listener, &class.listeners, "listener"), (handler, &class.handlers, "handler")]
        {
            if !allowed.iter().any(|name| name == kind) {
                let message = format!(
                    "class {:?} does not allow {part} {kind}; it allows {}",
                    class.name,
                    list(allowed)
                );
                findings.error(&format!("{path}.{part}.type"), Reason::NotAllowedByClass, message);
            }
        }
        if class.require_auth && service.handler.lacks_users() {
            self.without_users(handler, path, findings);
        }
        match exposed {
            Some(expose) => self.exposure(service, expose, path, findings),
            None => self.port(service, path, findings),
        }
        if let ListenerConfig::Ws(ws) = &service.listener {
            self.hostnames(&ws.hostnames, path, findings);
            self.path(&ws.path.0, path, findings);
        }
    }

    /// Open as far as the class has not refused it for that already.
    fn is_open(&self, service: &ServiceConfig) -> bool {
        !self.class.require_auth && service.handler.lacks_users()
    }

    fn without_users(&self, handler: &str, path: &str, findings: &mut Findings) {
        // SOCKS4 cannot have users.
        let instead = if handler == "socks4" { "use socks5 and " } else { "" };
        let message = format!(
            "class {:?} requires users: {instead}add auth or an auther, or ask the operator for \
             requireAuth: false",
            self.class.name
        );
        findings.error(&format!("{path}.handler"), Reason::NotAllowedByClass, message);
    }

    /// Its port is allocated, but what leads there is not everybody's.
    fn exposure(
        &self,
        service: &ServiceConfig,
        expose: &ExposeConfig,
        path: &str,
        findings: &mut Findings,
    ) {
        let (class, allowed) = (self.class, &self.class.expose);
        let kind = expose.kind.as_str();
        if !allowed.types.iter().any(|name| name == kind) {
            let message = format!(
                "class {:?} does not allow Services of type {kind}; it allows {}",
                class.name,
                list(&allowed.types)
            );
            findings.error(&format!("{path}.expose.type"), Reason::NotAllowedByClass, message);
        } else if expose.kind != ServiceType::ClusterIp && self.is_open(service) {
            let message = format!(
                "a Service of type {kind} would open this service to whoever reaches it: add auth \
                 or an auther"
            );
            findings.error(&format!("{path}.handler"), Reason::NotAllowedByClass, message);
        }
        for (part, written, allowed) in [
            ("annotations", &expose.annotations, &allowed.annotations),
            ("labels", &expose.labels, &allowed.labels),
        ] {
            for key in written.keys().filter(|key| !allowed.contains(key)) {
                let message = format!(
                    "class {:?} does not allow {key:?} on Services; it allows {}",
                    class.name,
                    list(allowed)
                );
                let at = format!("{path}.expose.{part}");
                findings.error(&at, Reason::NotAllowedByClass, message);
            }
        }
    }

    fn port(&self, service: &ServiceConfig, path: &str, findings: &mut Findings) {
        let (port, bind) = (service.listen.port, self.class.bind);
        let front = !matches!(service.listener, ListenerConfig::Udp(_))
            && self.reserved.fronts.contains(&port);
        if front || bind.contains(port) {
            return;
        }
        let fronts: Vec<_> = self.reserved.fronts.iter().map(|port| format!(":{port}")).collect();
        let or = if fronts.is_empty() {
            String::new()
        } else {
            format!(", or the front port {}", fronts.join(", "))
        };
        let message = format!(
            "port {port} is outside of the ports {bind} of class {:?}: choose one of them{or}",
            self.class.name
        );
        findings.error(&format!("{path}.addr"), Reason::PortNotAllowed, message);
    }

    fn hostnames(&self, hostnames: &[HostPattern], path: &str, findings: &mut Findings) {
        let patterns = self.filled(&self.class.hostnames);
        let at = format!("{path}.hostnames");
        let class = &self.class.name;
        if patterns.is_empty() {
            return;
        }
        let allows = list(&patterns);
        if hostnames.is_empty() {
            let message =
                format!("class {class:?} does not allow to serve any Host; it allows {allows}");
            findings.error(&at, Reason::HostnameNotAllowed, message);
        }
        for host in hostnames {
            if !patterns.iter().any(|pattern| hosts::covers_host(pattern, host)) {
                let name = match host {
                    HostPattern::Exact(name) => name.clone(),
                    HostPattern::Wildcard(name) => format!("*.{name}"),
                };
                let message =
                    format!("class {class:?} does not allow {name:?}; it allows {allows}");
                findings.error(&at, Reason::HostnameNotAllowed, message);
            }
        }
    }

    fn path(&self, ws_path: &str, path: &str, findings: &mut Findings) {
        let prefixes = self.filled(&self.class.paths);
        if prefixes.is_empty() || prefixes.iter().any(|prefix| hosts::covers_path(prefix, ws_path))
        {
            return;
        }
        let message = format!(
            "class {:?} does not allow path {ws_path}; it allows what is below {}",
            self.class.name,
            list(&prefixes)
        );
        findings.error(&format!("{path}.listener.metadata.path"), Reason::PathNotAllowed, message);
    }

    fn filled(&self, patterns: &[String]) -> Vec<String> {
        patterns.iter().map(|pattern| hosts::filled(pattern, self.namespace)).collect()
    }
}

/// The handler's type without its second names.
fn handler(service: &raw::Service) -> &str {
    match service.handler.as_ref().map_or("", |handler| handler.kind.as_str()) {
        "" => "auto",
        "socks" => "socks5",
        "socks4a" => "socks4",
        kind => kind,
    }
}

/// Where passwords are written into the spec.
fn inline(config: &raw::Config) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |auth: Option<&raw::Auth>, path: String| {
        if auth.is_some_and(|auth| auth.password.is_some()) {
            found.push(path);
        }
    };
    for (i, service) in config.services.iter().enumerate() {
        let auth = service.handler.as_ref().and_then(|handler| handler.auth.as_ref());
        note(auth, format!("services[{i}].handler.auth"));
    }
    let of_hop = |hop: &raw::Hop, path: &str, note: &mut dyn FnMut(Option<&raw::Auth>, String)| {
        for (i, node) in hop.nodes.iter().flatten().enumerate() {
            let connector = node.connector.as_ref().and_then(|connector| connector.auth.as_ref());
            note(connector, format!("{path}.nodes[{i}].connector.auth"));
        }
    };
    for (i, chain) in config.chains.iter().enumerate() {
        for (j, hop) in chain.hops.iter().enumerate() {
            of_hop(hop, &format!("chains[{i}].hops[{j}]"), &mut note);
        }
    }
    for (i, hop) in config.hops.iter().enumerate() {
        of_hop(hop, &format!("hops[{i}]"), &mut note);
    }
    for (i, auther) in config.authers.iter().enumerate() {
        for (j, auth) in auther.auths.iter().enumerate() {
            note(Some(auth), format!("authers[{i}].auths[{j}]"));
        }
    }
    found
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
