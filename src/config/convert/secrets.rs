//! Passwords and files into Secrets, and references to them.

use std::collections::{BTreeMap, BTreeSet};

use super::meaning::each_node;
use super::names::{free, label};
use super::object::{SecretObject, Use};
use super::tunnel::Wanted;
use crate::base::name::is_secret_key;
use crate::base::shell::quoted;
use crate::base::{Reason, Secret};
use crate::config::error::Findings;
use crate::config::raw;

/// The Secrets of one `WsTunnel`.
pub(super) struct Vault<'a> {
    wanted: &'a Wanted<'a>,
    /// Those whose content is known.
    pub(super) objects: Vec<SecretObject>,
    taken: BTreeSet<String>,
    /// Those that are made of files: which ones, and what the Secret is called.
    of_files: BTreeMap<(Content, String, String), String>,
}

/// What is made of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Certificate,
    Ca,
    Credentials(Use),
}

impl<'a> Vault<'a> {
    /// No Secrets yet, but for the names of those that the configuration refers to.
    pub(super) fn new(wanted: &'a Wanted<'a>, config: &mut raw::Config) -> Self {
        let (objects, of_files) = (Vec::new(), BTreeMap::new());
        Self { wanted, objects, taken: referred(config), of_files }
    }

    fn name(&mut self, what: &str) -> String {
        let name = format!("{}-{what}", self.wanted.name);
        let name = free(&name, |name| !self.taken.contains(name));
        self.taken.insert(name.clone());
        name
    }

    /// Adds a Secret, or finds one with the same content.
    fn add(
        &mut self,
        what: &str,
        purpose: Use,
        data: BTreeMap<String, Secret<String>>,
    ) -> raw::SecretRef {
        let namespace = self.wanted.namespace;
        let object = SecretObject::new(String::new(), namespace, purpose, data.clone());
        if let Some(same) = self.objects.iter().find(|o| o.is_like(&object)) {
            return raw::SecretRef { name: same.metadata.name.clone() };
        }
        let name = self.name(what);
        self.objects.push(SecretObject::new(name.clone(), namespace, purpose, data));
        raw::SecretRef { name }
    }

    /// `kubectl ... -n NAMESPACE`.
    fn kubectl(&self, words: &str) -> String {
        let namespace = self.wanted.namespace.map(|n| format!(" -n {n}")).unwrap_or_default();
        format!("kubectl {words}{namespace}")
    }

    /// The command that makes a Secret, and the one that labels it.
    fn made(&self, words: &str, name: &str, label: Option<(&str, &str)>) -> String {
        let create = self.kubectl(&format!("create secret {words}"));
        match label {
            Some((key, value)) => {
                format!(
                    "{create} && {}",
                    self.kubectl(&format!("label secret {name} {key}={value}"))
                )
            }
            None => create,
        }
    }

    fn of_files(&mut self, content: Content, first: &str, second: &str, what: &str) -> String {
        let key = (content, first.to_string(), second.to_string());
        if let Some(name) = self.of_files.get(&key) {
            return name.clone();
        }
        let name = self.name(what);
        self.of_files.insert(key, name.clone());
        name
    }

    /// `listener.tls` and `dialer.tls`: files become references to Secrets that are still to be made.
    pub(super) fn tls(
        &mut self,
        tls: &mut raw::Tls,
        of_listener: bool,
        owner: &str,
        path: &str,
        findings: &mut Findings,
    ) {
        let (chain, key) = (std::mem::take(&mut tls.cert_file), std::mem::take(&mut tls.key_file));
        if !chain.is_empty() {
            let what = format!("{owner}-tls");
            let name = self.of_files(Content::Certificate, &chain, &key, &what);
            let (chain, key) = (quoted(&chain), quoted(&key));
            let words = format!("tls {name} --cert={chain} --key={key}");
            refer(&format!("{path}.certFile"), &self.made(&words, &name, None), findings);
            tls.secret_ref = Some(raw::SecretRef { name });
        }
        let file = std::mem::take(&mut tls.ca_file);
        if !file.is_empty() {
            let name = self.of_files(Content::Ca, &file, "", &format!("{owner}-ca"));
            let words = format!("generic {name} --from-file=ca.crt={}", quoted(&file));
            let made = self.made(&words, &name, Some(("adit.dev/usage", "ca")));
            refer(&format!("{path}.caFile"), &made, findings);
            let reference = Some(raw::SecretKeyRef { name, key: "ca.crt".into() });
            match of_listener {
                true => tls.client_ca_ref = reference,
                false => tls.ca_ref = reference,
            }
        }
    }

    /// A user name and password.
    pub(super) fn auth(
        &mut self,
        auth: &mut raw::Auth,
        purpose: Use,
        what: &str,
        path: &str,
        findings: &mut Findings,
    ) {
        if !auth.file.is_empty() {
            let file = std::mem::take(&mut auth.file);
            let name = self.of_files(Content::Credentials(purpose), &file, "", what);
            let words = format!(
                "generic {name} --type=kubernetes.io/basic-auth --from-literal=username=USER \
                 --from-literal=password=PASSWORD"
            );
            let made = self.made(&words, &name, purpose.label());
            refer(&format!("{path}.file"), &made, findings);
            auth.secret_ref = Some(raw::SecretRef { name });
            return;
        }
        // Without a password nothing is secret: a user of SOCKS4.
        let Some(password) = auth.password.take_if(|p| !p.is_empty() && !self.wanted.inline) else {
            return;
        };
        let pair = [("username", std::mem::take(&mut auth.username)), ("password", password)];
        let data = pair.into_iter().map(|(key, value)| (key.into(), Secret::new(value))).collect();
        auth.secret_ref = Some(self.add(what, purpose, data));
    }

    /// The users of an auther: one Secret, and one for each user whose name cannot be a key.
    pub(super) fn auther(&mut self, auther: &mut raw::Auther, path: &str, findings: &mut Findings) {
        let what = auther.name.clone();
        let mut data = BTreeMap::new();
        if !self.wanted.inline && auther.secret_ref.is_none() {
            auther.auths.retain_mut(|auth| match &auth.password {
                Some(password) if !password.is_empty() && is_secret_key(&auth.username) => {
                    let user = std::mem::take(&mut auth.username);
                    data.insert(user, Secret::new(password.clone()));
                    false
                }
                _ => true,
            });
        }
        if !data.is_empty() {
            auther.secret_ref = Some(self.add(&what, Use::Users, data));
        }
        for (i, auth) in auther.auths.iter_mut().enumerate() {
            let what = format!("{what}-{}", label(&auth.username, "user"));
            self.auth(auth, Use::Accepted, &what, &format!("{path}.auths[{i}]"), findings);
        }
        let Some(file) = auther.file.take() else { return };
        auther.reload = None;
        let path = format!("{path}.file.path");
        if let Some(reference) = &auther.secret_ref {
            let message = format!(
                "a cluster reads no files: add the users of {:?} to Secret {:?}, under their names",
                file.path, reference.name
            );
            findings.warn(&path, Reason::Accepted, message);
        } else {
            let name = self.name(&what);
            let words = format!("generic {name} --from-literal=USER=PASSWORD ..");
            refer(&path, &self.made(&words, &name, Use::Users.label()), findings);
            auther.secret_ref = Some(raw::SecretRef { name });
        }
    }
}

fn refer(path: &str, command: &str, findings: &mut Findings) {
    let message =
        format!("a cluster reads no files; make the Secret that is referred to: {command}");
    findings.warn(path, Reason::Accepted, message);
}

/// The names of the Secrets that a configuration refers to.
fn referred(config: &mut raw::Config) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut auth = |auth: Option<&raw::Auth>| {
        names.extend(auth.and_then(|a| a.secret_ref.as_ref()).map(|r| r.name.clone()));
    };
    for service in &config.services {
        auth(service.handler.as_ref().and_then(|h| h.auth.as_ref()));
    }
    config.authers.iter().flat_map(|a| &a.auths).for_each(|a| auth(Some(a)));
    each_node(config, |node| auth(node.connector.as_ref().and_then(|c| c.auth.as_ref())));
    names.extend(config.authers.iter().filter_map(|a| Some(a.secret_ref.as_ref()?.name.clone())));
    let mut tls = |tls: Option<&raw::Tls>| {
        let Some(tls) = tls else { return };
        names.extend(tls.secret_ref.as_ref().map(|r| r.name.clone()));
        let keys = [&tls.client_ca_ref, &tls.ca_ref];
        names.extend(keys.into_iter().flatten().map(|r| r.name.clone()));
    };
    for service in &config.services {
        tls(service.listener.as_ref().and_then(|l| l.tls.as_ref()));
    }
    each_node(config, |node| tls(node.dialer.as_ref().and_then(|d| d.tls.as_ref())));
    names
}
