//! Users that may pass, and credentials that are sent.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::references::Named;
use super::{LowerContext, Mode};
use crate::base::{Reason, Secret};
use crate::config::error::Findings;
use crate::config::model::{Credentials, Users};
use crate::config::raw;
use crate::config::secrets::SecretData;

/// The keys of a Secret of type kubernetes.io/basic-auth.
const USERNAME: &str = "username";
const PASSWORD: &str = "password";

/// `authers`.
pub(super) fn lower_all(
    config: &raw::Config,
    context: &LowerContext,
    findings: &mut Findings,
) -> Named<Arc<Users>> {
    let mut named = Named::new("auther");
    for (i, auther) in config.authers.iter().enumerate() {
        let path = format!("authers[{i}]");
        let users = lower_auther(auther, &path, context, findings);
        named.add(&auther.name, users.map(Arc::new), &path, findings);
    }
    named
}

fn lower_auther(
    auther: &raw::Auther,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Users> {
    let before = findings.errors.len();
    let mut users = Users::default();
    for (i, auth) in auther.auths.iter().enumerate() {
        let path = format!("{path}.auths[{i}]");
        if let Some(user) = accepted(auth, &path, context, findings) {
            add(&mut users, user, &path, findings);
        }
    }
    if let Some(reference) = &auther.secret_ref {
        let path = format!("{path}.secretRef");
        if let Some(data) = secret(reference, &path, context, findings) {
            for (username, password) in &data.0 {
                let password = text(password, username, &path, findings);
                let Some(password) = password else { continue };
                let user = Credentials { username: username.clone(), password };
                if let Some(user) = checked(user, &path, findings) {
                    add(&mut users, user, &path, findings);
                }
            }
        }
    }
    if findings.errors.len() > before {
        return None;
    }
    if users.0.is_empty() {
        findings.invalid(path, "the auther has no users, so nobody could pass; add auths");
        return None;
    }
    Some(users)
}

/// Every user of several authers: any of them may accept.
pub(super) fn union(
    authers: &[Arc<Users>],
    path: &str,
    findings: &mut Findings,
) -> Option<Arc<Users>> {
    let [first, rest @ ..] = authers else { return None };
    if rest.is_empty() {
        return Some(first.clone());
    }
    let mut all = (**first).clone();
    for users in rest {
        for (name, password) in &users.0 {
            if all.0.insert(name.clone(), password.clone()).is_some_and(|p| p != *password) {
                let message = format!("user {name:?} has different passwords in these authers");
                findings.invalid(path, message);
                return None;
            }
        }
    }
    Some(Arc::new(all))
}

fn add(users: &mut Users, user: Credentials, path: &str, findings: &mut Findings) {
    match users.0.entry(user.username) {
        Entry::Vacant(entry) => {
            entry.insert(user.password);
        }
        Entry::Occupied(entry) => {
            findings.invalid(path, format!("user {:?} is given twice", entry.key()));
        }
    }
}

/// A user that may pass: `handler.auth`, `authers[].auths[]`.
pub(super) fn accepted(
    auth: &raw::Auth,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Credentials> {
    if auth.password.is_none() && auth.secret_ref.is_none() && !auth.username.is_empty() {
        let message = "the password is missing; GOST would take any, adit takes none";
        findings.invalid(&format!("{path}.password"), message);
        return None;
    }
    credentials(auth, path, context, findings)
}

/// Credentials, inline or by `secretRef`: what `connector.auth` sends.
pub(super) fn credentials(
    auth: &raw::Auth,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Credentials> {
    let inline = !auth.username.is_empty() || auth.password.is_some();
    match &auth.secret_ref {
        Some(_) if inline => {
            findings.invalid(path, "username and password stand beside secretRef; keep one form");
            None
        }
        Some(reference) => {
            let path = format!("{path}.secretRef");
            let data = secret(reference, &path, context, findings)?;
            let mut value = |key: &str| match data.0.get(key) {
                Some(bytes) => text(bytes, key, &path, findings),
                None => {
                    let message = format!("Secret {:?} has no key {key:?}", reference.name);
                    findings.invalid(&path, message);
                    None
                }
            };
            let (username, password) = (value(USERNAME), value(PASSWORD));
            let (username, password) = (username?.expose().clone(), password?);
            checked(Credentials { username, password }, &path, findings)
        }
        None if auth.username.is_empty() => {
            let message = "the user name is missing; without one nobody would be asked";
            findings.invalid(&format!("{path}.username"), message);
            None
        }
        None if auth.password.as_deref() == Some("") => {
            findings.invalid(&format!("{path}.password"), "the password is empty");
            None
        }
        None => {
            if context.mode == Mode::Controller && auth.password.is_some() {
                let message = "the password can be read by everyone who may read this object";
                findings.warn(&format!("{path}.password"), Reason::Accepted, message);
            }
            let password = Secret::new(auth.password.clone().unwrap_or_default());
            let user = Credentials { username: auth.username.clone(), password };
            checked(user, path, findings)
        }
    }
}

/// Refuses what HTTP Basic cannot carry.
fn checked(user: Credentials, path: &str, findings: &mut Findings) -> Option<Credentials> {
    let bad = |text: &str| text.chars().any(char::is_control);
    let message = if user.username.is_empty() {
        "a user name is empty"
    } else if user.username.contains(':') {
        "a user name cannot have a colon"
    } else if bad(&user.username) || bad(user.password.expose()) {
        "user names and passwords cannot have control characters, line ends included"
    } else {
        return Some(user);
    };
    findings.invalid(path, message);
    None
}

fn secret<'a>(
    reference: &raw::SecretRef,
    path: &str,
    context: &LowerContext<'a>,
    findings: &mut Findings,
) -> Option<&'a SecretData> {
    if context.mode == Mode::Controller {
        let message = "a secretRef is resolved from files only in this version; write the user \
                       name and password, or run a sidecar";
        findings.unsupported(path, message);
        return None;
    }
    if reference.name.is_empty() {
        findings.invalid(&format!("{path}.name"), "the Secret's name is missing");
        return None;
    }
    let data = context.secrets.find(context.namespace, &reference.name);
    if data.is_none() {
        let message = format!(
            "Secret {:?} does not exist in namespace {:?}; add a document of kind Secret",
            reference.name, context.namespace
        );
        findings.error(path, Reason::SecretNotFound, message);
    }
    data
}

/// A value of a Secret as text. Empty ones are refused: they would let anybody in.
fn text(
    bytes: &Secret<Vec<u8>>,
    key: &str,
    path: &str,
    findings: &mut Findings,
) -> Option<Secret<String>> {
    let message = match String::from_utf8(bytes.expose().clone()) {
        Ok(text) if text.is_empty() => "is empty",
        Ok(text) => return Some(Secret::new(text)),
        Err(_) => "is not UTF-8 text",
    };
    findings.invalid(path, format!("the value of key {key:?} {message}"));
    None
}
