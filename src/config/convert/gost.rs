//! To a file of GOST's.

use std::collections::BTreeSet;
use std::mem::take;

use super::names::{apart, free};
use crate::base::shell::quoted;
use crate::base::{ListenAddr, Reason};
use crate::config::error::{ConfigErrors, Diagnostic, Findings};
use crate::config::metadata::flat;
use crate::config::raw;
use crate::config::read::TunnelDoc;
use crate::config::secrets::{SecretState, Secrets};

/// Keys of a listener's metadata that are ours.
const OURS: &[(&str, &str)] = &[
    ("trustedProxies", "gost believes every X-Forwarded-For"),
    ("origins", "gost takes any Origin"),
    ("pingInterval", "gost's servers send no pings"),
    ("lingerTimeout", "gost cuts a half-closed tunnel after 10 s"),
];

/// A `WsTunnel` that may run, as GOST would read it, and a word on everything that is other than it was.
///
/// Secrets become what they hold, and files where GOST has files only or their documents are missing:
/// the diagnostics say how to write these.
///
/// # Errors
/// A Secret that is missing and that no file can stand for.
pub fn gost(
    tunnel: &TunnelDoc,
    secrets: &Secrets,
) -> Result<(raw::Config, Vec<Diagnostic>), ConfigErrors> {
    // Every field by its name, here and below: one that only a cluster has must not slip through.
    let raw::TunnelSpec { class_name, suspend, drain, mut config } = tunnel.spec.clone();
    let mut findings = Findings::default();
    for (key, given, message) in [
        ("className", !class_name.is_empty(), "dropped: a class's rules hold in its cluster only"),
        ("suspend", suspend, "dropped: gost runs every service that it reads"),
        ("drain", drain.is_some(), "dropped: gost ends tunnels when their service goes"),
    ] {
        if given {
            findings.warn(key, Reason::Accepted, message);
        }
    }
    let taken = config.authers.iter().map(|auther| auther.name.clone()).collect();
    let mut opened =
        Opened { namespace: &tunnel.namespace, secrets, taken, findings: &mut findings };
    for (i, auther) in config.authers.iter_mut().enumerate() {
        opened.auther(auther, &format!("authers[{i}]"));
    }
    for (i, service) in config.services.iter_mut().enumerate() {
        config.authers.extend(opened.service(service, &format!("services[{i}]")));
    }
    for (c, chain) in config.chains.iter_mut().enumerate() {
        for (h, hop) in chain.hops.iter_mut().enumerate() {
            opened.hop(hop, &format!("chains[{c}].hops[{h}]"));
        }
    }
    for (h, hop) in config.hops.iter_mut().enumerate() {
        opened.hop(hop, &format!("hops[{h}]"));
    }
    config.hosts.iter_mut().for_each(without_aliases);
    for (i, service) in config.services.iter().enumerate() {
        shared(service, config.services.iter().take(i), &format!("services[{i}]"), &mut findings);
    }
    findings.into_result(config)
}

/// Puts a configuration behind another one. Names that are taken get a word before them.
pub fn join(into: &mut raw::Config, mut config: raw::Config, word: &str) -> Vec<Diagnostic> {
    let mut findings = Findings::default();
    for (i, service) in config.services.iter().enumerate() {
        shared(service, into.services.iter(), &format!("services[{i}]"), &mut findings);
    }
    apart(&mut config, word, into, &mut findings);
    into.extend(config);
    findings.warnings
}

/// Services of the ws family may share an address, by hostnames and path. GOST's cannot.
fn shared<'a>(
    service: &raw::Service,
    mut others: impl Iterator<Item = &'a raw::Service>,
    path: &str,
    findings: &mut Findings,
) {
    let place = |service: &raw::Service| {
        let is_udp = service.listener.as_ref().is_some_and(|listener| listener.kind == "udp");
        let addr = service.addr.trim().parse::<ListenAddr>().ok()?;
        (addr.port != 0).then_some((is_udp, addr))
    };
    let own = place(service);
    if own.is_some() && others.any(|other| place(other) == own) {
        let message = "gost binds an address once, and another service has it: write another one";
        findings.warn(&format!("{path}.addr"), Reason::Accepted, message);
    }
}

/// GOST reads no aliases.
fn without_aliases(hosts: &mut raw::Hosts) {
    let names = |mapping: &raw::Mapping| {
        let names = std::iter::once(&mapping.hostname).chain(&mapping.aliases);
        let ip = mapping.ip.clone();
        let one = |hostname: &String| raw::Mapping {
            ip: ip.clone(),
            hostname: hostname.clone(),
            ..raw::Mapping::default()
        };
        names.map(one).collect::<Vec<_>>()
    };
    hosts.mappings = hosts.mappings.iter().flat_map(names).collect();
}

/// The parts of one tunnel on their way into a file.
struct Opened<'a> {
    namespace: &'a str,
    secrets: &'a Secrets,
    /// Names of authers.
    taken: BTreeSet<String>,
    findings: &'a mut Findings,
}

impl Opened<'_> {
    /// A service; the auther that it needs besides.
    fn service(&mut self, service: &mut raw::Service, path: &str) -> Option<raw::Auther> {
        let raw::Service {
            name,
            addr: _,
            admission: _,
            admissions: _,
            bypass: _,
            bypasses: _,
            resolver: _,
            hosts: _,
            limiter: _,
            climiter: _,
            rlimiter: _,
            hostnames,
            handler,
            listener,
            forwarder,
            expose,
            metadata,
        } = service;
        *metadata = flat(metadata);
        if !take(hostnames).is_empty() {
            let message = "dropped: gost serves any Host header; give each service an addr or \
                           metadata.path of its own";
            self.findings.warn(&format!("{path}.hostnames"), Reason::Accepted, message);
        }
        if take(expose).is_some() {
            let message = "dropped: gost makes no Services; its service listens on addr";
            self.findings.warn(&format!("{path}.expose"), Reason::Accepted, message);
        }
        if let Some(raw::Listener { kind: _, chain: _, tls, metadata }) = listener {
            *metadata = flat(metadata);
            for (name, instead) in OURS {
                if metadata.keys().any(|key| key.eq_ignore_ascii_case(name)) {
                    let path = format!("{path}.listener.metadata.{name}");
                    let message = format!("kept for adit: {instead}");
                    self.findings.warn(&path, Reason::Accepted, message);
                }
            }
            tls.iter_mut().for_each(|tls| self.tls(tls, &format!("{path}.listener.tls")));
        }
        if let Some(raw::Forwarder { selector: _, hop: _, nodes }) = forwarder {
            for node in nodes {
                // Without a cluster a serviceRef is refused before it comes here.
                let raw::ForwardNode {
                    name: _,
                    addr: _,
                    service_ref: _,
                    bypass: _,
                    bypasses: _,
                    metadata,
                } = node;
                *metadata = flat(metadata);
            }
        }
        let Some(raw::Handler {
            kind: _,
            chain: _,
            auther,
            authers: _,
            auth,
            retries: _,
            metadata,
        }) = handler
        else {
            return None;
        };
        *metadata = flat(metadata);
        let written = auth.as_mut()?;
        let reference = self.auth(written)?;
        // A server's auth has no file in GOST, and an auther has.
        let file = self.users_file(&reference, USER, &format!("{path}.handler.auth.secretRef"));
        *auth = None;
        let name = free(name, |name| !self.taken.contains(name));
        self.taken.insert(name.clone());
        auther.clone_from(&name);
        Some(raw::Auther { name, file: Some(file), ..raw::Auther::default() })
    }

    fn hop(&mut self, hop: &mut raw::Hop, path: &str) {
        hop.metadata = flat(&hop.metadata);
        for (i, node) in hop.nodes.iter_mut().flatten().enumerate() {
            let path = format!("{path}.nodes[{i}]");
            node.metadata = flat(&node.metadata);
            if let Some(raw::Connector { kind: _, auth, metadata }) = &mut node.connector {
                *metadata = flat(metadata);
                if let Some(auth) = auth
                    && let Some(reference) = self.auth(auth)
                {
                    let path = format!("{path}.connector.auth.secretRef");
                    auth.file = self.users_file(&reference, USER, &path).path;
                }
            }
            if let Some(raw::Dialer { kind: _, tls, metadata }) = &mut node.dialer {
                *metadata = flat(metadata);
                tls.iter_mut().for_each(|tls| self.tls(tls, &format!("{path}.dialer.tls")));
            }
        }
    }

    /// Puts in what the Secret holds; its name if it is not here.
    fn auth(&self, auth: &mut raw::Auth) -> Option<String> {
        let raw::Auth { username, password, secret_ref, file: _ } = auth;
        let reference = secret_ref.take()?.name;
        let SecretState::Known(data) = self.secrets.find(self.namespace, &reference) else {
            return Some(reference);
        };
        let value = |key: &str| {
            let bytes = data.values.get(key)?;
            String::from_utf8(bytes.expose().clone()).ok()
        };
        *username = value("username").unwrap_or_default();
        *password = value("password");
        None
    }

    fn auther(&mut self, auther: &mut raw::Auther, path: &str) {
        let raw::Auther { name: _, auths, secret_ref, file, reload: _ } = auther;
        for (i, auth) in auths.iter_mut().enumerate() {
            let path = format!("{path}.auths[{i}]");
            if let Some(reference) = self.auth(auth) {
                self.missing(&reference, &format!("{path}.secretRef"));
            }
        }
        let Some(reference) = secret_ref.take().map(|r| r.name) else { return };
        let path = format!("{path}.secretRef");
        match (self.secrets.find(self.namespace, &reference), &file) {
            (SecretState::Known(data), _) => {
                auths.extend(data.values.iter().map(|(username, password)| raw::Auth {
                    username: username.clone(),
                    password: String::from_utf8(password.expose().clone()).ok(),
                    ..raw::Auth::default()
                }));
            }
            (_, None) => *file = Some(self.users_file(&reference, USERS, &path)),
            (_, Some(_)) => self.missing(&reference, &path),
        }
    }

    fn missing(&mut self, name: &str, path: &str) {
        let message = format!(
            "Secret {name:?} is not among the documents; add it: {}",
            self.get(name, "-o yaml")
        );
        self.findings.error(path, Reason::SecretNotFound, message);
    }

    fn tls(&mut self, tls: &mut raw::Tls, path: &str) {
        let raw::Tls {
            cert_file,
            key_file,
            ca_file,
            secret_ref,
            client_ca_ref,
            ca_ref,
            secure: _,
            server_name: _,
            options: _,
            reject_unknown_sni: _,
            server_names: _,
        } = tls;
        if let Some(raw::SecretRef { name }) = secret_ref.take() {
            (*cert_file, *key_file) = (format!("{name}.crt"), format!("{name}.key"));
            let keys = [("tls.crt", &*cert_file), ("tls.key", &*key_file)];
            self.files(&name, &keys, &format!("{path}.secretRef"));
        }
        for (reference, field) in [(client_ca_ref, "clientCARef"), (ca_ref, "caRef")] {
            let Some(raw::SecretKeyRef { name, key }) = reference.take() else { continue };
            let key = if key.is_empty() { "ca.crt" } else { &key };
            *ca_file = format!("{name}.ca.crt");
            self.files(&name, &[(key, &*ca_file)], &format!("{path}.{field}"));
        }
    }

    /// Files for keys of a Secret.
    fn files(&mut self, name: &str, keys: &[(&str, &String)], path: &str) {
        let command = |(key, file): &(&str, &String)| {
            let template = format!("{{{{index .data {key:?} | base64decode}}}}");
            format!("{} > {file}", self.get(name, &format!("-o go-template='{template}'")))
        };
        let commands = keys.iter().map(command).collect::<Vec<_>>().join(" && ");
        let message = format!("gost reads files, not Secrets: {commands}");
        self.findings.warn(path, Reason::Accepted, message);
    }

    /// A file for the users of a Secret, "name password" a line.
    fn users_file(&mut self, name: &str, template: &str, path: &str) -> raw::FileRef {
        let file = format!("{name}.users");
        let get = self.get(name, &format!("-o go-template='{template}'"));
        let message = format!(
            "Secret {name:?} is not among the documents; add it, or write its users to a file: {get} \
             > {file}"
        );
        self.findings.warn(path, Reason::Accepted, message);
        raw::FileRef { path: file }
    }

    fn get(&self, name: &str, output: &str) -> String {
        format!("kubectl get secret {} -n {} {output}", quoted(name), quoted(self.namespace))
    }
}

/// The user of a Secret of type kubernetes.io/basic-auth.
const USER: &str = r#"{{.data.username | base64decode}} {{.data.password | base64decode}}{{"\n"}}"#;
/// The users of a Secret whose keys are their names.
const USERS: &str = r#"{{range $k, $v := .data}}{{$k}} {{$v | base64decode}}{{"\n"}}{{end}}"#;
