//! Users that may pass, and credentials that are sent.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::references::Named;
use super::secret::{Purpose, Reference};
use super::{LowerContext, Mode, file};
use crate::base::{Reason, Secret};
use crate::config::error::{Diagnostic, Findings};
use crate::config::model::{Credentials, Users};
use crate::config::raw;
use crate::config::secrets::SecretData;

/// Types of Secrets, and the keys of the first one.
const BASIC_AUTH: &str = "kubernetes.io/basic-auth";
const TLS: &str = "kubernetes.io/tls";
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
            let reason = reason(auth);
            add(&mut users, user, &path, reason, findings);
        }
    }
    if let Some(reference) = &auther.secret_ref {
        let path = format!("{path}.secretRef");
        let purpose = Purpose::Users;
        let reference = Reference { name: &reference.name, path: &path, purpose, sent: false };
        match of_secret(&reference, context) {
            Ok(more) => {
                for user in more {
                    add(&mut users, user, &path, Reason::SecretInvalid, findings);
                }
            }
            Err(problem) => findings.errors.push(problem),
        }
    }
    file::reload(auther.reload.as_ref(), path, findings);
    for (number, line) in
        file::lines(auther.file.as_ref(), path, context, findings).unwrap_or_default()
    {
        let path = format!("{path}.file.path");
        match user_of(&line) {
            Some(user) => {
                if let Some(user) = checked(user, &path, findings) {
                    add(&mut users, user, &path, Reason::Invalid, findings);
                }
            }
            None => findings.invalid(&path, format!("line {number}: {NO_PASSWORD}")),
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

/// The users of a Secret. One without any was emptied: it lets nobody in, whoever else is listed.
///
/// A Secret of type kubernetes.io/basic-auth is one user, as Kubernetes defines its two keys. Every
/// key of another one is a user; where the keys could mean either, nobody gets in by a guess.
fn of_secret(
    reference: &Reference,
    context: &LowerContext,
) -> Result<Vec<Credentials>, Diagnostic> {
    let data = reference.find(context)?;
    if data.values.is_empty() {
        let message = format!("Secret {:?} has no users, so nobody could pass", reference.name);
        return Err(reference.invalid(message));
    }
    let user = |(username, password): (&String, &Secret<Vec<u8>>)| {
        let user = Credentials { username: username.clone(), password: text(password, username)? };
        legal(user)
    };
    let users: Result<Vec<_>, String> = match data.kind.as_str() {
        BASIC_AUTH => one_user(data).map(|user| vec![user]),
        TLS => Err("it is of type kubernetes.io/tls, a certificate and no users".into()),
        _ if is_like_basic_auth(data) => Err(format!(
            "its keys {USERNAME:?} and {PASSWORD:?} mean one user only in a Secret of type \
             {BASIC_AUTH}; make it with --type={BASIC_AUTH}, or name the users otherwise"
        )),
        _ => data.values.iter().map(user).collect(),
    };
    users.map_err(|message| reference.invalid(format!("Secret {:?}: {message}", reference.name)))
}

/// The user of a Secret of type kubernetes.io/basic-auth.
fn one_user(data: &SecretData) -> Result<Credentials, String> {
    let value = |key: &str| match data.values.get(key) {
        Some(bytes) => text(bytes, key),
        None => Err(format!("there is no key {key:?}")),
    };
    let username = value(USERNAME)?.expose().clone();
    legal(Credentials { username, password: value(PASSWORD)? })
}

/// Whether somebody may have meant a Secret of type kubernetes.io/basic-auth.
fn is_like_basic_auth(data: &SecretData) -> bool {
    let is_key = |key: &str| [USERNAME, PASSWORD].contains(&key.to_ascii_lowercase().as_str());
    let found = data.values.keys().filter(|key| is_key(key)).count();
    found > 0 && (found > 1 || data.values.len() == 1)
}

/// Why users cannot be told apart: the fault of a Secret where one has a part in it.
fn reason(auth: &raw::Auth) -> Reason {
    if auth.secret_ref.is_some() { Reason::SecretInvalid } else { Reason::Invalid }
}

/// Every user of several authers: any of them may accept.
pub(super) fn union(
    authers: &[Arc<Users>],
    path: &str,
    reason: Reason,
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
                findings.error(path, reason, message);
                return None;
            }
        }
    }
    Some(Arc::new(all))
}

fn add(users: &mut Users, user: Credentials, path: &str, reason: Reason, findings: &mut Findings) {
    match users.0.entry(user.username) {
        Entry::Vacant(entry) => {
            entry.insert(user.password);
        }
        Entry::Occupied(entry) => {
            findings.error(path, reason, format!("user {:?} is given twice", entry.key()));
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
    let elsewhere = auth.secret_ref.is_some() || !auth.file.is_empty();
    if auth.password.is_none() && !elsewhere && !auth.username.is_empty() {
        findings.invalid(&format!("{path}.password"), NO_PASSWORD);
        return None;
    }
    let user = credentials(auth, path, false, context, findings)?;
    if user.password.expose().is_empty() {
        findings.invalid(path, NO_PASSWORD);
        return None;
    }
    Some(user)
}

const NO_PASSWORD: &str = "the password is missing; GOST would take any, adit takes none";

/// A line `name password`, where the password may have spaces. `None` without a password.
fn user_of(line: &str) -> Option<Credentials> {
    let (username, password) = line.split_once([' ', '\t'])?;
    let password = password.trim();
    let user = Credentials { username: username.into(), password: Secret::new(password.into()) };
    (!password.is_empty()).then_some(user)
}

/// The first line of `auth.file`: `name password`, or a name alone.
fn from_file(
    file: &str,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Credentials> {
    let path = format!("{path}.file");
    let lines = file::text_lines(file, &path, context, findings)?;
    let Some((_, line)) = lines.first() else {
        findings.invalid(&path, format!("{file:?} is empty; write \"name password\" into it"));
        return None;
    };
    let alone = || Credentials { username: line.clone(), password: Secret::default() };
    checked(user_of(line).unwrap_or_else(alone), &path, findings)
}

/// Credentials, inline or by `secretRef`: what `connector.auth` sends, and what is asked for.
pub(super) fn credentials(
    auth: &raw::Auth,
    path: &str,
    sent: bool,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Credentials> {
    let inline = !auth.username.is_empty() || auth.password.is_some();
    if !auth.file.is_empty() {
        if inline || auth.secret_ref.is_some() {
            findings.invalid(path, "file stands beside another form of credentials; keep one");
            return None;
        }
        return from_file(&auth.file, path, context, findings);
    }
    match &auth.secret_ref {
        Some(_) if inline => {
            findings.invalid(path, "username and password stand beside secretRef; keep one form");
            None
        }
        Some(reference) => {
            let path = format!("{path}.secretRef");
            let purpose = Purpose::Credentials;
            let reference = Reference { name: &reference.name, path: &path, purpose, sent };
            let found = reference.find(context).and_then(|data| {
                one_user(data).map_err(|message| {
                    reference.invalid(format!("Secret {:?}: {message}", reference.name))
                })
            });
            found.map_err(|problem| findings.errors.push(problem)).ok()
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
    legal(user).map_err(|message| findings.invalid(path, message)).ok()
}

fn legal(user: Credentials) -> Result<Credentials, String> {
    let bad = |text: &str| text.chars().any(char::is_control);
    let message = if user.username.is_empty() {
        "a user name is empty"
    } else if user.username.contains(':') {
        "a user name cannot have a colon"
    } else if bad(&user.username) || bad(user.password.expose()) {
        "user names and passwords cannot have control characters, line ends included"
    } else {
        return Ok(user);
    };
    Err(message.into())
}

/// A value of a Secret as text. Empty ones are refused: they would let anybody in.
fn text(bytes: &Secret<Vec<u8>>, key: &str) -> Result<Secret<String>, String> {
    let message = match String::from_utf8(bytes.expose().clone()) {
        Ok(text) if text.is_empty() => "is empty",
        Ok(text) => return Ok(Secret::new(text)),
        Err(_) => "is not UTF-8 text",
    };
    Err(format!("the value of key {key:?} {message}"))
}
